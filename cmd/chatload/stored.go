package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// expected is what the reply to a turn should be; nothing, when the model is
// not ours.
func (c *client) expected(turn int) span {
	if c.run.unknown {
		return span{}
	}
	return c.run.speech.reply(c.n, turn, c.run.Tokens)
}

// compareStored holds the rebuilt reply against what the hub has stored of it.
func (c *client) compareStored(ctx context.Context) error {
	u := *c.run.peer.base
	u.Scheme = map[string]string{"ws": "http", "wss": "https"}[u.Scheme]
	u.Path, _ = url.JoinPath("/sessions", c.conversation)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	if c.run.peer.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.run.peer.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("stored session: %w", err)
	}
	defer resp.Body.Close()
	var session struct {
		Messages []struct{ ID, Content string }
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("stored session: status %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&session); err != nil {
		return fmt.Errorf("stored session: %w", err)
	}
	for _, m := range session.Messages {
		if m.ID == c.reply.id {
			if !bytes.Equal([]byte(m.Content), c.reply.text) {
				return inexactf("reply rebuilt of %d bytes is stored with %d, or with others", len(c.reply.text), len(m.Content))
			}
			return nil
		}
	}
	return inexactf("a finished reply is not stored")
}
