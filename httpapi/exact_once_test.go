package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// TestExactOnce sends the same message id ten times at once, as frames, by
// POST /chat and as streams: the model is asked once and all get one reply.
// With another text it is id_reused, and behind a reply that failed it is
// asked anew, once again.
func TestExactOnce(t *testing.T) {
	x := newExactServer(t, exactOptions{})
	exactRuns(t, 200, func(seed uint64) error { return playOnce(x, seed) })
}

// TestExactOnceFirst does the same without a conversation_id: the key also
// finds the one session that it made.
func TestExactOnceFirst(t *testing.T) {
	x := newExactServer(t, exactOptions{})
	exactRuns(t, 200, func(seed uint64) error {
		plan, said := newOncePlan(x, seed, 3)
		defer x.plans.Delete(said)
		o := onceRun{x: x, id: uuid.NewString(), said: said}
		replies, err := o.together(0, 6, 4)
		if err != nil {
			return err
		}
		return o.one(plan, 1, replies)
	})
}

// newOncePlan makes a reply that nothing goes wrong with.
func newOncePlan(x *exactServer, seed, kind uint64) (*exactPlan, string) {
	rng := rand.New(rand.NewPCG(seed, kind))
	plan := new(exactPlan)
	plan.text, plan.tokens = exactText(rng, 1+rng.IntN(40))
	said := exactSaid(rng, seed, int(kind))
	x.plans.Store(said, plan)
	return plan, said
}

// onceRun is one message that is sent more than once.
type onceRun struct {
	x           *exactServer
	session, id string
	said        string
}

func playOnce(x *exactServer, seed uint64) error {
	plan, said := newOncePlan(x, seed, 4)
	defer x.plans.Delete(said)
	o := onceRun{x: x, id: uuid.NewString(), said: said}
	var err error
	if o.session, err = x.open(); err != nil {
		return err
	}
	asked := int32(1)
	if seed%2 == 0 {
		asked++
		plan.refuse = 1
		if status, code, err := o.refused(said); status != http.StatusBadGateway || code != "upstream_error" {
			return fmt.Errorf("a reply that fails is answered %d %s, %v", status, code, err)
		}
	}
	replies, err := o.together(4, 3, 3)
	if err != nil {
		return err
	}
	if err := o.one(plan, asked, replies); err != nil {
		return err
	}
	if status, code, err := o.refused(said + "!"); status != http.StatusConflict || code != "id_reused" {
		return fmt.Errorf("another text is answered %d %s, %v", status, code, err)
	}
	return o.frameRefused(said + "!")
}

// onceReply is a reply as one of those who asked got it.
type onceReply struct{ session, id, text string }

// together sends the message all at once: as frames over one WebSocket, as
// POST /chat, and as POST /chat with a stream.
func (o *onceRun) together(frames, posts, streams int) ([]onceReply, error) {
	start := make(chan struct{})
	replies := make([]onceReply, 1+posts+streams)
	errs := make([]error, len(replies))
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() {
			<-start
			switch {
			case i > posts:
				replies[i], errs[i] = o.stream()
			case i > 0:
				replies[i], errs[i] = o.post()
			case frames > 0:
				replies[i], errs[i] = o.frames(frames)
			}
		})
	}
	close(start)
	all.Wait()
	if frames == 0 {
		replies = replies[1:]
	}
	return replies, errors.Join(errs...)
}

// one holds the replies to be the same, the one that is stored, and the model
// to have been asked so many times.
func (o *onceRun) one(plan *exactPlan, asked int32, replies []onceReply) error {
	if n := plan.asked.Load(); n != asked {
		return fmt.Errorf("the model was asked %d times, want %d", n, asked)
	}
	for _, r := range replies {
		if r != replies[0] || r.text != plan.text {
			return fmt.Errorf("replies differ: %q and %q, want %q", r, replies[0], plan.text)
		}
	}
	stored, err := o.x.stored(replies[0].session)
	if err != nil {
		return err
	}
	if len(stored) != 2 || stored[0].ID != o.id || stored[0].Content != o.said || stored[1].ID != replies[0].id || stored[1].Content != plan.text {
		return fmt.Errorf("stored are %d messages, or others", len(stored))
	}
	return nil
}

func (o *onceRun) body(said string) string {
	in := map[string]string{"message": said}
	if o.session != "" {
		in["conversation_id"] = o.session
	}
	b, _ := json.Marshal(in) // strings always do
	return string(b)
}

func (o *onceRun) post() (onceReply, error) {
	status, body, err := o.x.call("POST", "/chat", o.body(o.said), "Idempotency-Key", o.id)
	if err != nil || status != http.StatusOK {
		return onceReply{}, fmt.Errorf("POST /chat: %d %.200s %v", status, body, err)
	}
	var r struct {
		Response     string
		Conversation string `json:"conversation_id"`
		MessageID    string `json:"message_id"`
	}
	err = json.Unmarshal(body, &r)
	return onceReply{r.Conversation, r.MessageID, r.Response}, err
}

func (o *onceRun) stream() (onceReply, error) {
	status, body, err := o.x.call("POST", "/chat", o.body(o.said), "Idempotency-Key", o.id, "Accept", "text/event-stream")
	if err != nil || status != http.StatusOK {
		return onceReply{}, fmt.Errorf("POST /chat: %d %.200s %v", status, body, err)
	}
	var s refStream
	err = s.read(bytes.NewReader(body), func() error { return nil })
	return onceReply{s.session, s.reply, s.text()}, err
}

// frames sends the message n times over one connection and reads until it is
// acknowledged as often and the reply is there. A repetition that comes before
// the message was told of is acknowledged by the telling.
func (o *onceRun) frames(n int) (onceReply, error) {
	s, err := dialRefSocket(o.x.addr, "/ws/"+o.session, refDial{})
	if err != nil {
		return onceReply{}, err
	}
	defer s.close()
	for range n {
		if err := s.say(o.id, o.said); err != nil {
			return onceReply{}, err
		}
	}
	if err := s.write(`{"type":"ping"}`); err != nil {
		return onceReply{}, err
	}
	page := refPage{session: o.session}
	for answered := false; ; {
		raw, err := s.read()
		if err != nil {
			return onceReply{}, err
		}
		f, err := page.take(raw)
		if err != nil {
			return onceReply{}, err
		}
		if f.Type == "error" && (f.ID == "" || f.ID != page.last().ID) {
			return onceReply{}, fmt.Errorf("refused: %s", raw)
		}
		answered = answered || f.Type == "pong"
		if last := page.last(); answered && last != nil && last.Role == "assistant" && last.FinishReason == "stop" {
			return onceReply{o.session, last.ID, last.Content}, nil
		}
	}
}

// refused sends the id by POST /chat and returns the error's status and code.
func (o *onceRun) refused(said string) (int, string, error) {
	status, body, err := o.x.call("POST", "/chat", o.body(said), "Idempotency-Key", o.id)
	if err != nil {
		return 0, "", err
	}
	var told struct{ Error struct{ Code string } }
	err = json.Unmarshal(body, &told)
	return status, told.Error.Code, err
}

// frameRefused sends the id as a frame with another text.
func (o *onceRun) frameRefused(said string) error {
	s, err := dialRefSocket(o.x.addr, "/ws/"+o.session, refDial{})
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.say(o.id, said); err != nil {
		return err
	}
	for {
		raw, err := s.read()
		if err != nil {
			return err
		}
		var f refFrame
		if err := json.Unmarshal(raw, &f); err != nil {
			return err
		}
		if f.Type == "error" {
			if f.Code != "id_reused" || f.Ref != o.id {
				return fmt.Errorf("another text is answered by %s", raw)
			}
			return nil
		}
	}
}
