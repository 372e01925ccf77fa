package httpapi_test

import (
	"testing"
	"time"

	"github.com/coder/websocket"

	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// TestTokenExpires: a connection ends within a minute behind its token's exp
// and not before, while the reply that it asked for goes on.
func TestTokenExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		answer, g := held(1, "one ", "two")
		r.answer("hi", answer)
		const life = 10 * time.Minute
		token := tokenOf(t, "me", "exp", time.Now().Add(life).Unix())
		p := r.join("/ws", offering("chathub.v1", "bearer."+token))
		p.say("", "hi")
		reply := p.begin()
		p.delta(&reply, "one ")
		began := time.Now()
		p.wantClose(4401)
		if took := time.Since(began); took < life || took > life+time.Minute {
			t.Errorf("closed after %v, the token was good for %v", took, life)
		}
		g.open()
		fresh := tokenOf(t, "me")
		back := r.join("/ws/"+p.ready.Conversation+"?after="+reply.id+"&offset=4", offering("chathub.v1", "bearer."+fresh))
		if n := len(back.ready.Messages); n == 1 {
			if got := back.ready.Messages[0].Content; got != "one two" {
				t.Errorf("the reply is %q", got)
			}
			return
		}
		rest := back.reply()
		if rest.text != "two" || rest.end.Metadata.FinishReason != "stop" {
			t.Errorf("the rest of the reply is %+v", rest)
		}
	}, withSecret(t), patientModel)
}

// patientModel waits as long as a test does.
var patientModel = withLLM(func(c *llm.Config) { c.FirstTokenTimeout, c.IdleTimeout = 24*time.Hour, 24*time.Hour })

// TestTokenOfStreamExpires: a stream is cut then.
func TestTokenOfStreamExpires(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		answer, g := held(1, "one ", "two")
		r.answer("hi", answer)
		token := tokenOf(t, "me", "exp", time.Now().Add(time.Minute).Unix())
		s := r.follow("POST", "/chat", `{"message":"hi"}`, authorized(token))
		began := time.Now()
		s.rest()
		if took := time.Since(began); s.done || took < time.Minute || took > 2*time.Minute {
			t.Errorf("after %v the stream has ended; [DONE]: %v", took, s.done)
		}
		g.open()
	}, withSecret(t), patientModel)
}

// TestTokensThatLast: exp far away, or beyond what a clock can tell, ends nothing.
func TestTokensThatLast(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.join("/ws", offering("chathub.v1", "bearer."+tokenOf(t, "me", "exp", time.Now().Add(200*365*24*time.Hour).Unix())))
		wait := p.closes(websocket.StatusGoingAway)
		pass(20 * time.Hour)
		r.answer("hi", mistralsim.Answer{Text: "hello"})
		p.ask(message("", "hi"))
		pass(time.Minute)
		r.stop()
		wait()
	}, withSecret(t))
}
