package httpapi_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// TestExactStampede has many connections of one page come back in the same
// instant, in which the reply ends too. One stays, and rebuilds the text; all
// others are closed with 4001 and hold nothing but its beginning.
func TestExactStampede(t *testing.T) {
	x := newExactServer(t, exactOptions{})
	exactRuns(t, 80, func(seed uint64) error { return playStampede(x, seed) })
}

func playStampede(x *exactServer, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 11))
	plan, said := longPlan(rng, 20<<10), exactSaid(rng, seed, 0)
	middle := plan.gate(len(plan.tokens) / 2)
	defer plan.release()
	x.plans.Store(said, plan)
	defer x.plans.Delete(said)
	session, err := x.open()
	if err != nil {
		return err
	}
	first := livePage{x: x, page: refPage{session: session, client: uuid.NewString()}}
	if err := first.connect(false); err != nil {
		return err
	}
	first.say(said)
	err = first.until(func(int) (bool, error) {
		first.mu.Lock()
		defer first.mu.Unlock()
		last := first.page.last()
		return last != nil && len(last.text()) >= middle.offset, errors.New("the reply does not come to its middle")
	})
	first.drop()
	if err != nil {
		return err
	}

	pages := make([]*livePage, 2+rng.IntN(10))
	start := make(chan struct{})
	var dials sync.WaitGroup
	for i := range pages {
		p := &livePage{x: x, page: first.page}
		p.page.messages = nil
		for _, m := range first.page.messages {
			held := *m
			held.parts = cloneParts(m.parts)
			p.page.messages = append(p.page.messages, &held)
		}
		again := rng.IntN(2) == 0
		pages[i] = p
		dials.Go(func() {
			<-start
			if err := p.connect(again); err != nil {
				p.fault(err)
			}
		})
		defer p.drop()
	}
	close(start)
	middle.open()
	dials.Wait()
	stored, err := x.settled(session)
	if err != nil {
		return err
	}
	complete := func(p *livePage) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.page.differs(stored) == ""
	}
	open := 0
	for i, p := range pages {
		err := p.until(func(closed int) (bool, error) {
			return closed == 4001 || closed == 0 && complete(p), fmt.Errorf("connection %d neither has all nor was closed with 4001, but %d", i, closed)
		})
		if err != nil {
			return err
		}
	}
	for _, p := range pages {
		// A close frame may still be on its way: who has the conversation answers.
		p.send(`{"type":"ping"}`)
		err := p.until(func(closed int) (bool, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return closed == 4001 || p.pongs > 0, errors.New("neither closed nor answering")
		})
		if err != nil {
			return err
		}
		if closed, _ := p.state(); closed == 0 {
			open++
		}
	}
	if open != 1 {
		return fmt.Errorf("%d of %d connections stay open, want 1", open, len(pages))
	}
	return nil
}

// TestExactText says and hears what JSON can say although it is no text: lone
// surrogates, which become U+FFFD once and for all, NUL, and the escapes of
// everything. What is said again in the same bytes is the same message.
func TestExactText(t *testing.T) {
	x := newExactServer(t, exactOptions{})
	for _, tt := range []struct{ json, text string }{
		{`"a\ud800b"`, "a\ufffdb"},
		{`"\udc00\ud83d"`, "\ufffd\ufffd"},
		{`"\ud83d\ude00 \u0000 \u2028 \/"`, "😀 \x00 \u2028 /"},
		{`"\r\n data: x\n\n  "`, "\r\n data: x\n\n  "},
		{"\"\ufeff\u202e\x7f\"", "\ufeff\u202e\x7f"},
	} {
		plan := new(exactPlan)
		plan.text, plan.tokens = tt.text, []string{tt.text}
		x.plans.Store(tt.text, plan)
		session, err := x.open()
		if err != nil {
			t.Fatal(err)
		}
		p, id := &refPage{session: session}, uuid.NewString()
		s := x.connect(t, p, refDial{})
		frame := fmt.Sprintf(`{"type":"message","id":%q,"content":%s}`, id, tt.json)
		for range 2 {
			if err := s.write(frame); err != nil {
				t.Fatal(err)
			}
		}
		acknowledged := 0
		readUntil(t, p, s, func(f *refFrame) bool {
			if f.Type == "message" {
				acknowledged++
			}
			if f.Type == "error" {
				t.Fatalf("%s: %+v", tt.json, f)
			}
			return p.last() != nil && p.last().FinishReason != "" && acknowledged > 0
		})
		status, body, err := x.call("POST", "/chat", `{"message":`+tt.json+`,"conversation_id":"`+session+`"}`, "Idempotency-Key", id)
		if err != nil || status != http.StatusOK {
			t.Errorf("%s again: %d %s %v", tt.json, status, body, err)
		}
		stored, err := x.stored(session)
		if err != nil {
			t.Fatal(err)
		}
		if d := p.differs(stored); d != "" || len(stored) != 2 || stored[0].Content != tt.text || stored[1].Content != tt.text {
			t.Errorf("%s: %s, %+v", tt.json, d, stored)
		}
		if n := plan.asked.Load(); n != 1 {
			t.Errorf("%s: the model was asked %d times", tt.json, n)
		}
	}
}
