package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/llm/mistralsim"
)

// TestExactElsewhere changes conversations from everywhere at once: two pages
// that come, go, read slowly and take the conversation from each other, REST,
// regeneration, edits, stops, deletion, and a model that fails now and then.
// When all is done, each page that comes back with what it holds must come to
// hold what GET /sessions/{id} has, message by message; and no frame on the way
// may be one that the contract does not allow in its place.
func TestExactElsewhere(t *testing.T) {
	var asked atomic.Uint64
	x := newExactServer(t, exactOptions{sendBuffer: 4 << 10, voice: func(*mistralsim.Request) mistralsim.Answer {
		return randomAnswer(rand.New(rand.NewPCG(asked.Add(1), 5)))
	}})
	exactRuns(t, 150, func(seed uint64) error { return playElsewhere(x, seed) })
}

// randomAnswer is a reply that takes a moment, or fails.
func randomAnswer(rng *rand.Rand) mistralsim.Answer {
	if rng.IntN(8) == 0 {
		return mistralsim.ModelUnknown("test-model")
	}
	plan := exactPlan{flush: 1 + rng.IntN(4)}
	plan.text, plan.tokens = exactText(rng, 1+rng.IntN(60))
	if rng.IntN(4) == 0 { // more than the kernel holds for a page that is slow
		for range 6 {
			plan.tokens = append(plan.tokens, plan.tokens...)
		}
	}
	if rng.IntN(2) == 0 {
		plan.think(rng)
	}
	a := plan.answer(nil)
	if rng.IntN(2) == 0 {
		a.Pace = time.Duration(rng.IntN(300)) * time.Microsecond
	}
	if rng.IntN(4) == 0 {
		a.CutTokens = 1 + rng.IntN(len(plan.tokens))
	}
	return a
}

// elseRun is one conversation that everybody is at.
type elseRun struct {
	x       *exactServer
	rng     *rand.Rand
	session string
	pages   [2]*livePage
	edits   bool // some messages are forgotten again, maybe before they are acknowledged
	texts   int
	calls   sync.WaitGroup
	mu      sync.Mutex
	errs    []error // of calls; guarded by mu
}

func playElsewhere(x *exactServer, seed uint64) error {
	r := &elseRun{x: x, rng: rand.New(rand.NewPCG(seed, 6)), edits: seed%2 == 0}
	var err error
	if r.session, err = x.open(); err != nil {
		return err
	}
	for i := range r.pages {
		r.pages[i] = &livePage{x: x, page: refPage{session: r.session, client: uuid.NewString(), thinks: i == 0}}
		defer r.pages[i].drop()
	}
	for range 5 + r.rng.IntN(20) {
		if err := r.step(); err != nil {
			return err
		}
	}
	deleted := r.rng.IntN(10) == 0
	if deleted {
		if r.edits { // one that comes later makes the session anew
			r.calls.Wait()
		}
		r.call("DELETE", "/sessions/"+r.session, "")
	}
	r.calls.Wait()
	if err := errors.Join(r.errs...); err != nil {
		return err
	}
	for _, p := range r.pages {
		p.hurry()
	}
	if deleted {
		return r.gone()
	}
	return r.settle()
}

// step does one thing, which need not have happened when it returns.
func (r *elseRun) step() error {
	p := r.pages[r.rng.IntN(2)]
	switch r.rng.IntN(16) {
	case 0, 1:
		body, _ := json.Marshal(map[string]string{"message": r.text(), "conversation_id": r.session})
		r.call("POST", "/chat", string(body))
	case 2, 3, 4:
		p.say(r.text())
	case 5:
		p.send(`{"type":"regenerate"}`)
	case 6:
		if of := p.lastReply(); of != "" {
			p.send(`{"type":"regenerate","of":"` + of + `"}`)
		}
	case 7:
		p.send(`{"type":"stop"}`)
	case 8:
		r.call("POST", "/sessions/"+r.session+"/stop", "")
	case 9:
		p.drop()
	case 10, 11, 12:
		return p.connect(r.rng.IntN(3) == 0)
	case 13:
		if r.rng.IntN(2) == 0 {
			p.slack()
		} else {
			p.hurry()
		}
	case 14:
		if r.edits {
			return r.edit()
		}
	case 15: // all that was asked for over HTTP has been answered
		r.calls.Wait()
	}
	return nil
}

// text is something new to say.
func (r *elseRun) text() string {
	r.texts++
	return exactSaid(r.rng, 0, r.texts)
}

// call sends a request and goes on. Its status must be one that a conversation
// may answer with: it is there, busy, failing, or was deleted.
func (r *elseRun) call(method, path, body string) {
	r.calls.Go(func() {
		status, answer, err := r.x.call(method, path, body)
		switch status {
		case http.StatusOK, http.StatusConflict, http.StatusBadGateway, http.StatusNotFound:
		default:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.errs = append(r.errs, fmt.Errorf("%s %s: %d %.200s %v", method, path, status, answer, err))
		}
	})
}

// edit changes one of the user's messages as useChat does, which forgets all
// that came behind it.
func (r *elseRun) edit() error {
	stored, err := r.x.stored(r.session)
	if err != nil || len(stored) == 0 {
		return err
	}
	m := stored[r.rng.IntN(len(stored))]
	if m.Role != "user" {
		return nil
	}
	text := m.Content
	if r.rng.IntN(3) > 0 {
		text = r.text()
	}
	body, err := json.Marshal(map[string]any{
		"id": r.session, "trigger": "submit-message", "messageId": m.ID,
		"messages": []any{map[string]any{"id": m.ID, "role": "user", "parts": []any{map[string]string{"type": "text", "text": text}}}},
	})
	r.call("POST", "/api/chat", string(body))
	return err
}

// settle holds what each page has against what is stored: first the one that is
// connected, as it is, then both as they come back, and one that begins with
// nothing. What a page has said and was not yet acknowledged is said again
// meanwhile, and a reply may still run to its end.
func (r *elseRun) settle() error {
	fresh := &livePage{x: r.x, page: refPage{session: r.session}}
	defer fresh.drop()
	for i, p := range []*livePage{r.pages[0], r.pages[1], r.pages[0], r.pages[1], fresh} {
		if i >= len(r.pages) {
			if err := p.connect(false); err != nil {
				return err
			}
		}
		if err := r.converge(p, !r.edits || i >= len(r.pages)); err != nil {
			return fmt.Errorf("page %d: %w", i, err)
		}
	}
	// The page that has the conversation is the fresh one.
	if err := r.pages[0].connect(true); err != nil {
		return err
	}
	return r.pages[0].closes(4001)
}

// gone holds that whoever is connected, and whoever comes, is told that the
// session was deleted.
func (r *elseRun) gone() error {
	for _, p := range r.pages {
		closed, _ := p.state()
		if closed == 0 { // connected; unless the other page has taken over, which it may yet read
			err := p.until(func(code int) (bool, error) {
				closed = code
				return p.away() || code != 0, errors.New("it stays connected to a session that was deleted")
			})
			if err != nil {
				return err
			}
		}
		if closed != 4404 {
			if err := p.connect(false); err != nil {
				return err
			}
			if err := p.closes(4404); err != nil {
				return err
			}
		}
	}
	if status, _, err := r.x.call("GET", "/sessions/"+r.session, ""); err != nil || status != http.StatusNotFound {
		return fmt.Errorf("GET of a deleted session: %d %v", status, err)
	}
	return nil
}

// converge waits until the page, unless it is away, holds what is stored, and
// has had an answer to all that it said.
func (r *elseRun) converge(p *livePage, answered bool) error {
	return p.until(func(closed int) (bool, error) {
		if closed == 4001 || closed == 1006 && p.held { // taken over; one that was slow gets no more even of that
			return true, nil
		}
		if closed != 0 {
			return false, fmt.Errorf("closed with %d: %w", closed, p.closed)
		}
		stored, err := r.x.stored(r.session)
		if err != nil {
			return false, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.sock == nil {
			return true, nil
		}
		differs := p.page.differs(stored)
		if differs == "" && answered && len(p.said) > 0 {
			differs = "what it said was not answered"
		}
		return differs == "", errors.New(differs)
	})
}

// closes waits until the hub has closed the page's connection.
func (p *livePage) closes(code int) error {
	return p.until(func(closed int) (bool, error) {
		return closed == code, fmt.Errorf("closed with %d, want %d", closed, code)
	})
}
