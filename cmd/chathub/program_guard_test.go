package main

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lumos/backend/llm/mistralsim"
)

// hello is a model that says hello.
func hello(*mistralsim.Request) mistralsim.Answer { return mistralsim.Answer{Text: "hello"} }

// TestGuardsOfAProgram: what the settings say of tokens, limits and proxies
// holds in the program.
func TestGuardsOfAProgram(t *testing.T) {
	const secret = "the secret of this program's tokens"
	p := serving(t, hello, []string{
		"AUTH_JWT_SECRET=" + secret, "AUTH_JWT_AUDIENCE=hub", "MESSAGES_PER_MINUTE=2", "MAX_SESSION_MESSAGES=2", "MAX_REPLY_BYTES=4",
	})
	token := func(subject, audience string) string {
		signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"sub": subject, "aud": audience, "exp": time.Now().Add(time.Minute).Unix(),
		}).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + signed
	}
	chat := func(want int, says, authorization string) {
		t.Helper()
		status, body := p.request("POST", "/chat", `{"message":"hi"}`, "Authorization", authorization)
		if status != want || !strings.Contains(body, says) {
			t.Errorf("answered by %d %s; want %d with %s", status, body, want, says)
		}
	}
	chat(401, "unauthorized", "")
	chat(401, "unauthorized", token("me", "other"))
	chat(200, `"response":"hell","`, token("me", "hub"))
	chat(200, `"finish_reason":"length"`, token("me", "hub"))
	chat(429, "rate_limited", token("me", "hub"))
	chat(200, "hell", token("you", "hub"))
	status, metrics := p.request("GET", "/metrics", "")
	for _, line := range []string{`chathub_rejected_total{reason="messages"} 1`, `chathub_rejected_total{reason="token"} 2`, "chathub_sessions 3", "go_goroutines ", "process_open_fds "} {
		if status != 200 || !strings.Contains(metrics, "\n"+line) {
			t.Errorf("GET /metrics: %d, without %s", status, line)
		}
	}
	if log := p.log.String(); strings.Contains(log, secret) || strings.Contains(log, token("me", "hub")[7:30]) {
		t.Errorf("the log has a secret or a token:\n%s", log)
	}
}

// TestProxiesOfAProgram: by address, for what a proxy forwards.
func TestProxiesOfAProgram(t *testing.T) {
	p := serving(t, hello, []string{"TRUSTED_PROXIES=127.0.0.1/32", "MESSAGES_PER_MINUTE=1"})
	for _, tt := range []struct {
		address string
		want    int
	}{{"192.0.2.1", 200}, {"192.0.2.1", 429}, {"192.0.2.2", 200}, {"192.0.2.3, 192.0.2.2", 429}} {
		if status, body := p.request("POST", "/chat", `{"message":"hi"}`, "X-Forwarded-For", tt.address); status != tt.want {
			t.Errorf("from %s: %d %s, want %d", tt.address, status, body, tt.want)
		}
	}
}
