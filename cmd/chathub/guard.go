package main

import (
	"log/slog"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/session"
)

// newTokens returns what checks tokens, nil without any.
func newTokens(cfg config, log *slog.Logger) (*httpapi.Tokens, error) {
	if cfg.AuthJWTSecret == "" && cfg.AuthJWKSURL == "" {
		return nil, nil
	}
	return httpapi.NewTokens(httpapi.TokenConfig{
		Secret: cfg.AuthJWTSecret, JWKSURL: cfg.AuthJWKSURL,
		Issuer: cfg.AuthJWTIssuer, Audience: cfg.AuthJWTAudience, Logger: log,
	})
}

// limits are those that cfg sets, counted where counter counts.
func limits(cfg config, counter session.Counter) hub.Limits {
	return hub.Limits{
		MessagesPerMinute: cfg.MessagesPerMinute, RepliesPerClient: cfg.MaxRepliesPerClient,
		ConnectionsPerClient: cfg.ConnectionsPerClient, Connections: cfg.MaxConnections,
		SessionMessages: cfg.MaxSessionMessages, SessionBytes: cfg.MaxSessionBytes, ReplyBytes: cfg.MaxReplyBytes,
		Upstream: cfg.MaxUpstream, Counter: counter,
	}
}
