package httpapi_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// TestMetrics: what happened is counted, by Prometheus' rules for names, and no
// label has anything of a client's.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := hub.NewMetrics(registry)
	r := newRig(t, behindProxy,
		withHub(func(c *hub.Config) { c.Metrics, c.Limits = metrics, hub.Limits{MessagesPerMinute: 5, ReplyBytes: 1000} }),
		withAPI(func(c *httpapi.Config) { c.Registry = registry }))
	answer, g := held(1, "one ", "two")
	r.answer("wait", answer)
	p := r.join("/ws", dialFrom("192.0.2.1"))
	id := p.ready.Conversation
	p.say("", "wait")
	reply := p.begin()
	p.delta(&reply, "one ")
	g.wait(t)
	back := r.join("/ws/"+id+"?after="+reply.id+"&offset=4", dialFrom("192.0.2.1"))
	p.wantClose(4001)
	back.begin()
	r.do("POST", "/sessions/"+id+"/stop", "").want(200)
	r.answer("long", mistralsim.Answer{Text: strings.Repeat("x", 2000)})
	r.do("POST", "/chat", `{"message":"long"}`, from("192.0.2.1")).want(200)
	r.answer("bad", mistralsim.Answer{Status: 400, Body: `{}`})
	r.do("POST", "/chat", `{"message":"bad"}`, from("192.0.2.1")).want(502)
	r.follow("POST", "/chat", `{"message":"hi"}`, from("192.0.2.1")).rest()
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.1")).want(200)
	r.do("POST", "/chat", `{"message":"hi"}`, from("192.0.2.1")).want(429)
	r.do("GET", "/nothing/"+id, "").want(404)

	var text string
	for _, line := range []string{
		`chathub_connections 1`, `chathub_streams 0`, `chathub_replies_running 0`,
		`chathub_replies_total{end="stopped"} 1`, `chathub_replies_total{end="length"} 1`,
		`chathub_replies_total{end="error"} 1`, `chathub_replies_total{end="stop"} 2`,
		`chathub_resumes_total{outcome="exact"} 1`, `chathub_stop_seconds_count 1`, `chathub_first_token_seconds_count 4`,
		`chathub_rejected_total{reason="messages"} 1`, `chathub_rejected_total{reason="reply_bytes"} 1`,
		`chathub_upstream_errors_total{code="upstream_error"} 1`, `chathub_reply_bytes_total 1028`,
		`chathub_http_requests_total{code="429",route="/chat"} 1`, `chathub_http_requests_total{code="404",route="other"} 1`,
		`chathub_http_requests_total{code="101",route="/ws/{session_id}"} 1`,
	} {
		eventually(t, line, func() bool {
			text = string(r.do("GET", "/metrics", "").want(200).body)
			return strings.Contains(text, "\n"+line+"\n")
		})
	}
	for _, name := range []string{"chathub_delta_seconds", "chathub_deltas_received_total", "chathub_deltas_sent_total", "chathub_tokens_total", "chathub_unread_tokens_total"} {
		if !regexp.MustCompile(`\n` + name + `(_count|\{[^}]*\})? [1-9]|\n` + name + ` 0`).MatchString(text) {
			t.Errorf("there is no %s", name)
		}
	}
	named := regexp.MustCompile(`^chathub_[a-z0-9_]+(_total|_seconds_bucket|_seconds_sum|_seconds_count)?$`)
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(strings.Fields(line)[0], "{")
		kind := strings.Fields(line)
		if kind[0] == "#" {
			if kind[1] == "TYPE" && (kind[3] == "counter") != strings.HasSuffix(kind[2], "_total") {
				t.Errorf("by its name this is no %s: %s", kind[3], kind[2])
			}
			continue
		}
		if !named.MatchString(name) {
			t.Errorf("the name %s", name)
		}
		if regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}|192\.0\.2`).MatchString(line) {
			t.Errorf("a client is in %s", line)
		}
	}
}
