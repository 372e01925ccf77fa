package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestExactSSE is TestExactDrop for server-sent events: POST /chat is cut off
// at random bytes, sent again under its key as long as nothing came, and
// resumed by Last-Event-ID from then on.
func TestExactSSE(t *testing.T) {
	x := newExactServer(t, exactOptions{})
	exactRuns(t, 1000, func(seed uint64) error { return playSSE(x, seed) })
}

// sseRun is one reply of one client.
type sseRun struct {
	x       *exactServer
	rng     *rand.Rand
	plan    *exactPlan
	session string // known from the beginning, or from the first start
	id      string
	said    string
	drops   int
	stream  refStream
	before  refStream // an earlier state of it
	partial bool      // the Last-Event-ID that was sent was the true one
}

func playSSE(x *exactServer, seed uint64) error {
	r := &sseRun{x: x, rng: rand.New(rand.NewPCG(seed, 2))}
	if r.rng.IntN(2) == 0 {
		var err error
		if r.session, err = x.open(); err != nil {
			return err
		}
	}
	for turn := range 1 + r.rng.IntN(2) {
		r.plan, r.id, r.said = newExactPlan(r.rng, 30), uuid.NewString(), exactSaid(r.rng, seed, turn)
		r.drops, r.stream, r.before = r.rng.IntN(5), refStream{}, refStream{}
		x.plans.Store(r.said, r.plan)
		err := r.turn()
		r.plan.release()
		x.plans.Delete(r.said)
		if err != nil {
			return fmt.Errorf("turn %d: %w", turn, err)
		}
	}
	return nil
}

func (r *sseRun) turn() error {
	for !r.stream.done {
		if err := r.connect(); err != nil && !errors.Is(err, errRefDropped) {
			return err
		}
		if r.rng.IntN(3) == 0 && r.stream.reply != "" {
			r.plan.release()
			if _, err := r.x.settled(r.session); err != nil {
				return err
			}
		}
	}
	if got := r.stream.text(); got != r.plan.text || r.stream.end != "finish" {
		return fmt.Errorf("it ends in %s, %s", r.stream.end, textDiff(got, r.plan.text))
	}
	stored, err := r.x.settled(r.session)
	if err != nil {
		return err
	}
	n := len(stored)
	if got := partsOf(r.stream.parts, "reasoning", "\n\n"); got != stored[n-1].Reasoning {
		return errors.New(textDiff(got, stored[n-1].Reasoning))
	}
	if err := r.plan.thought(stored[n-1].Reasoning); err != nil {
		return err
	}
	if n < 2 || stored[n-2].ID != r.id || stored[n-2].Content != r.said || stored[n-1].ID != r.stream.reply || stored[n-1].Content != r.plan.text {
		return errors.New("the session holds something else")
	}
	return nil
}

// connect sends one request and takes what comes of it.
func (r *sseRun) connect() error {
	var d refDial
	if r.drops > 0 {
		r.drops--
		d.dropAt = 1 + r.rng.Int64N(int64(900+200*len(r.plan.tokens)))
	}
	req, err := r.request()
	if err != nil {
		return err
	}
	conn, resp, err := openRefStream(r.x.addr, d, req)
	if err != nil {
		return err
	}
	defer conn.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent && r.stream.end != "":
		r.stream.done = true // it has everything but the [DONE]
		return nil
	case resp.StatusCode == http.StatusNoContent && !r.partial:
		return nil
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s answers %s", req.Method, req.URL.Path, resp.Status)
	}
	return r.stream.read(resp.Body, func() error {
		r.session = r.stream.session
		if r.rng.IntN(8) == 0 {
			r.before = r.stream.clone()
		}
		got := r.stream.text()
		if !strings.HasPrefix(r.plan.text, got) {
			return errors.New(textDiff(got, r.plan.text))
		}
		r.plan.seen(len(got))
		return nil
	})
}

// request asks for the reply, or for what is missing of it.
func (r *sseRun) request() (*http.Request, error) {
	if r.stream.lastID == "" {
		in := map[string]string{"message": r.said}
		if r.session != "" {
			in["conversation_id"] = r.session
		}
		body, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequest("POST", "http://"+r.x.addr+"/chat", bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Accept", "text/event-stream")
			req.Header.Set("Idempotency-Key", r.id)
		}
		return req, err
	}
	if r.before.lastID != "" && r.stream.end == "" && r.rng.IntN(6) == 0 {
		r.stream, r.before = r.before, refStream{} // a page that was restored
	}
	id := r.stream.lastID
	r.partial = true
	if r.stream.end == "" {
		switch r.rng.IntN(10) {
		case 0: // more text than there is, or the middle of a character
			id = fmt.Sprintf("%s:%d", r.stream.reply, int(r.stream.offset)+r.plan.size()+1+r.rng.IntN(9))
		case 1:
			for _, p := range r.stream.parts {
				for i := range p.body {
					if p.body[i]&0xc0 == 0x80 {
						id = fmt.Sprintf("%s:%d", r.stream.reply, p.begin+int64(i))
					}
				}
				if p.begin >= 2 && r.rng.IntN(2) == 0 { // or of a mark
					id = fmt.Sprintf("%s:%d", r.stream.reply, p.begin-1)
				}
			}
		case 2: // as good as none: there is something only while the reply runs
			id = []string{uuid.NewString() + ":5", "x", r.stream.reply, r.stream.reply + ":-1", ""}[r.rng.IntN(5)]
			r.partial = false
		}
	}
	req, err := http.NewRequest("GET", "http://"+r.x.addr+"/sessions/"+r.session+"/stream", nil)
	if err == nil && id != "" {
		req.Header.Set("Last-Event-ID", id)
	}
	return req, err
}
