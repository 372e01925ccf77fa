package main

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestSignalInMidReply: who is in the middle of a reply gets it to its end,
// whichever way it comes, and then the program ends well. Meanwhile nothing new
// begins.
func TestSignalInMidReply(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			answer, reached, open := gated(2, "Grü", "ße ", "und ", "Ende 👋")
			p := serving(t, answer, nil)
			idle, busy := p.speak("/ws"), p.speak("/ws")
			busy.say("go")
			whole := p.later("POST", "/chat", `{"message":"go"}`)
			stream := p.later("POST", "/chat", `{"message":"go"}`, "Accept", "text/event-stream")
			for range 3 {
				<-reached
			}
			p.signal(signal)
			eventually(t, "readyz tells", func() bool {
				status, body := p.request("GET", "/readyz", "")
				return status == http.StatusServiceUnavailable && strings.Contains(body, `"draining"`)
			})
			if status, _ := p.request("GET", "/healthz", ""); status != http.StatusOK {
				t.Errorf("healthz is %d", status)
			}
			if status, body := p.request("POST", "/chat", `{"message":"more"}`); status != http.StatusServiceUnavailable || !strings.Contains(body, `"draining"`) {
				t.Errorf("a new message is answered by %d, %s", status, body)
			}
			if status, body := p.request("POST", "/sessions", ""); status != http.StatusServiceUnavailable {
				t.Errorf("a new session is answered by %d, %s", status, body)
			}
			if _, last, _, code := idle.rest(); code != websocket.StatusGoingAway || last != "" {
				t.Errorf("the idle connection got %q and was closed with %d", last, code)
			}
			busy.say("more")
			busy.until("error")
			close(open)

			const all = "Grüße und Ende 👋"
			text, last, _, code := busy.rest()
			if !strings.HasSuffix(all, text) || last != "finish" || code != websocket.StatusGoingAway {
				t.Errorf("over WebSocket came %q and %s, closed with %d", text, last, code)
			}
			var reply struct {
				Response string
				Finish   string `json:"finish_reason"`
			}
			status, body := whole()
			if err := json.Unmarshal([]byte(body), &reply); err != nil || status != http.StatusOK || reply.Response != all || reply.Finish != "stop" {
				t.Errorf("POST /chat is answered by %d, %s", status, body)
			}
			if status, body := stream(); status != http.StatusOK || !strings.Contains(body, `"finish"`) || !strings.HasSuffix(body, "data: [DONE]\n\n") {
				t.Errorf("the stream is %d, %s", status, body)
			}
			if code := p.exit(); code != 0 {
				t.Errorf("exit status %d:\n%s", code, p.log.String())
			}
			if p.log.says("panic") || !p.log.says("chathub has ended") {
				t.Errorf("the log:\n%s", p.log.String())
			}
		})
	}
}

// TestSecondSignal ends at once, and what there was of a reply has come.
func TestSecondSignal(t *testing.T) {
	answer, reached, _ := gated(1, "so far", " and never more")
	p := serving(t, answer, nil)
	c := p.speak("/ws")
	c.say("go")
	<-reached
	c.until("text-delta")
	p.signal(syscall.SIGTERM)
	eventually(t, "it drains", func() bool { return p.log.says("draining") })
	p.signal(syscall.SIGTERM)
	if _, last, _, code := c.rest(); code != websocket.StatusGoingAway {
		t.Errorf("behind %q closed with %d", last, code)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit status %d:\n%s", code, p.log.String())
	}
}

// TestDrainTimeout: a reply that takes longer is stopped, and told so, where it would
// be lost with the process.
func TestDrainTimeout(t *testing.T) {
	answer, reached, _ := gated(1, "so far", " and never more")
	p := serving(t, answer, []string{"DRAIN_TIMEOUT=100ms", "DATA_DIR=none"})
	c := p.speak("/ws")
	c.say("go")
	whole := p.later("POST", "/chat", `{"message":"go"}`)
	<-reached
	<-reached
	c.until("text-delta")
	p.signal(syscall.SIGTERM)
	if text, last, _, code := c.rest(); text != "" || last != "abort" || code != websocket.StatusGoingAway {
		t.Errorf("came %q and %s, closed with %d", text, last, code)
	}
	if status, body := whole(); status != http.StatusOK || !strings.Contains(body, `"stopped"`) || !strings.Contains(body, "so far") {
		t.Errorf("POST /chat is answered by %d, %s", status, body)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit status %d:\n%s", code, p.log.String())
	}
}

// TestDrainIntoTheNextStart: with a DATA_DIR it is left to the next process, and who
// follows it is told to come back.
func TestDrainIntoTheNextStart(t *testing.T) {
	const begun, rest = "so far, ", "and now the rest 👋"
	answer, reached, open := gated(1, begun, rest)
	upstream, dir := simulated(t, answer), t.TempDir()
	start := func() *program {
		p := launch(t, []string{"PORT=0", "HOST=127.0.0.1", "MISTRAL_API_KEY=" + programKey, "MISTRAL_BASE_URL=" + upstream, "DRAIN_TIMEOUT=100ms", "DATA_DIR=" + dir})
		p.listens()
		return p
	}
	p := start()
	socket, streamed := p.speak("/ws"), p.speak("/ws")
	ids := []string{socket.id, streamed.id}
	stream := p.later("POST", "/chat", `{"message":"go","conversation_id":"`+streamed.id+`"}`, "Accept", "text/event-stream")
	socket.say("go")
	const key = "6f9619ff-8b86-4d11-b42d-00c04fc964ff"
	whole := p.later("POST", "/chat", `{"message":"go"}`, "Idempotency-Key", key)
	for range 3 {
		<-reached
	}
	socket.until("text-delta")
	streamed.until("text-delta")
	began := time.Now()
	p.signal(syscall.SIGTERM)
	for _, c := range []*speaker{socket, streamed} {
		if text, last, codes, code := c.rest(); text != "" || last == "abort" || last == "finish" || codes != nil || code != websocket.StatusGoingAway {
			t.Errorf("came %q, %s and %q, closed with %d", text, last, codes, code)
		}
	}
	if status, body := stream(); status != http.StatusOK || !strings.Contains(body, begun) || strings.Contains(body, "[DONE]") || strings.Contains(body, `"abort"`) {
		t.Errorf("the stream is %d, %s", status, body)
	}
	if status, body := whole(); status != http.StatusServiceUnavailable || !strings.Contains(body, `"draining"`) {
		t.Errorf("POST /chat is answered by %d, %s", status, body)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit status %d:\n%s", code, p.log.String())
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %s to end", took)
	}
	close(open)

	p = start()
	for _, id := range ids {
		eventually(t, "the reply has gone on", func() bool {
			_, body := p.request("GET", "/sessions/"+id, "")
			return strings.Contains(body, `"`+begun+rest+`"`) && strings.Contains(body, `"finish_reason":"stop"`)
		})
	}
	if status, body := p.request("POST", "/chat", `{"message":"go"}`, "Idempotency-Key", key); status != http.StatusOK || !strings.Contains(body, begun+rest) {
		t.Errorf("the same message is answered by %d, %s", status, body)
	}
}

// TestSignalWhenIdle: with nobody there it ends at once.
func TestSignalWhenIdle(t *testing.T) {
	answer, _, _ := gated(-1, "x")
	p := serving(t, answer, nil)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit status %d:\n%s", code, p.log.String())
	}
	if all := lines(p.log.String(), "level=ERROR"); !slices.Equal(all, nil) {
		t.Errorf("the log has %q", all)
	}
}
