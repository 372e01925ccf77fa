package httpapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"lumos/backend/llm/mistralsim"
)

// soaker is somebody who chats, over a network that breaks.
type soaker struct {
	w    *soak
	rand *rand.Rand
	page refPage
	s    *refSocket // nil: not connected
}

// errSoakDeleted ends a life whose conversation was deleted in mid-reply.
var errSoakDeleted = errors.New("deleted")

// oneIn tells whether something happens that happens once in n times.
func (p *soaker) oneIn(n int) bool { return p.rand.IntN(n) == 0 }

// life is one conversation.
func (p *soaker) life() error {
	p.page, p.s = refPage{client: uuid.NewString()}, nil
	defer func() {
		if p.s != nil {
			p.s.close()
		}
	}()
	for range 1 + p.rand.IntN(6) {
		if err := p.turn(); err == errSoakDeleted {
			return nil
		} else if err != nil {
			return err
		}
	}
	var stored struct{ Messages []*refMessage }
	if err := p.fetch("GET", "/sessions/"+p.page.session, "", "", &stored); err != nil {
		return err
	}
	if d := p.page.differs(stored.Messages); d != "" {
		return errors.New(d)
	}
	if p.oneIn(2) { // otherwise it expires
		return p.delete()
	}
	return nil
}

// soakTurn is what somebody wants of one reply.
type soakTurn struct {
	id, said string
	regen    string // the reply that is to be replaced; "": none, it is a message
	want     string
	stop     bool       // it is stopped behind its first delta
	delete   bool       // there its conversation is deleted
	hasty    int64      // soak.hasty when it began
	on       *refSocket // the connection that it was said on
}

// ended returns the reply, when the page holds all of it.
func (p *soaker) ended(t *soakTurn) *refMessage {
	last := p.page.last()
	if p.page.find(t.id) < 0 || last.Role != "assistant" || last.partial || last.ID == t.regen {
		return nil
	}
	return last
}

// turn says something and follows the reply to its end, however often the
// connection breaks; now and then the reply is asked for again.
func (p *soaker) turn() error {
	id := uuid.NewString()
	t := &soakTurn{id: id, said: "words for " + id, stop: p.oneIn(8), delete: p.oneIn(40)}
	defer p.w.unanswer(t.said)
	p.mean(t)
	if p.page.session != "" && p.oneIn(6) {
		if err := p.post(t); err != nil {
			return err
		}
	}
	if err := p.follow(t); err != nil || !p.oneIn(6) {
		return err
	}
	p.w.again.Add(1)
	t.regen, t.on, t.stop = p.page.last().ID, nil, p.oneIn(8)
	p.mean(t)
	return p.follow(t)
}

// mean has the model mean something new.
func (p *soaker) mean(t *soakTurn) {
	t.hasty = p.w.hasty.Load()
	t.want = soakText(uuid.NewString()[:4], 1+p.rand.IntN(200))
	p.w.answer(t.said, mistralsim.Answer{Text: t.want, Pace: time.Duration(p.rand.IntN(3)) * time.Millisecond})
}

// follow says what is to be said, as often as need be, and reads until the page
// holds the whole reply.
func (p *soaker) follow(t *soakTurn) error {
	for {
		if p.s == nil {
			if err := p.connect(); err != nil {
				return err
			}
		}
		if reply := p.ended(t); reply != nil {
			p.w.turns.Add(1)
			return p.check(t, reply.Content, reply.FinishReason)
		}
		if (p.page.find(t.id) < 0 || t.regen != "" && p.page.last().ID == t.regen) && t.on != p.s {
			t.on = p.s
			if p.say(t) != nil {
				p.drop()
				continue
			}
		}
		raw, err := p.s.read()
		var closed *refClosed
		switch {
		case errors.As(err, &closed) && closed.code != 1001:
			return closed
		case err != nil:
			p.drop()
			continue
		}
		f, err := p.page.take(raw)
		switch {
		case err != nil:
			return err
		case f.Type == "error" && f.Code == "draining":
			p.drop()
		case f.Type == "error":
			return fmt.Errorf("refused: %s", raw)
		case f.Type == "text-delta" && t.delete:
			return p.deleteNow()
		case f.Type == "text-delta" && t.stop:
			_ = p.s.write(`{"type":"stop","id":"` + f.ID + `"}`) // on a connection that is gone it may be read later
		}
	}
}

func (p *soaker) say(t *soakTurn) error {
	if t.regen != "" {
		return p.s.write(`{"type":"regenerate","of":"` + t.regen + `"}`)
	}
	return p.s.say(t.id, t.said)
}

// check tells whether a reply is what the model meant, or its beginning, if it
// was stopped.
func (p *soaker) check(t *soakTurn, got, reason string) error {
	mayStop := t.stop || t.hasty%2 == 1 || t.hasty != p.w.hasty.Load()
	if mayStop && reason == "stopped" {
		p.w.stops.Add(1)
		if !strings.HasPrefix(t.want, got) {
			return fmt.Errorf("stopped: %s", textDiff(got, t.want))
		}
		return nil
	}
	if reason != "stop" || got != t.want {
		return fmt.Errorf("%s: %s", reason, textDiff(got, t.want))
	}
	return nil
}

// post says it over REST and waits for the reply; the page hears of it later.
func (p *soaker) post(t *soakTurn) error {
	p.w.posts.Add(1)
	body := fmt.Sprintf(`{"message":%q,"conversation_id":%q}`, t.said, p.page.session)
	var reply chatReply
	if err := p.fetch("POST", "/chat", body, t.id, &reply); err != nil {
		return err
	}
	return p.check(t, reply.Response, reply.FinishReason)
}

// delete forgets the conversation. It may be asked to twice: the answer to the
// first can get lost.
func (p *soaker) delete() error {
	err := p.fetch("DELETE", "/sessions/"+p.page.session, "", "", nil)
	if err != nil && strings.Contains(err.Error(), "404") {
		return nil
	}
	return err
}

// deleteNow does so in mid-reply: the connection ends, as one whose session is
// not there.
func (p *soaker) deleteNow() error {
	p.w.deletes.Add(1)
	if err := p.delete(); err != nil {
		return err
	}
	for {
		_, err := p.s.read()
		var closed *refClosed
		if errors.As(err, &closed) && closed.code != 4404 && closed.code != 1001 {
			return closed
		}
		if err != nil {
			return errSoakDeleted
		}
	}
}

func (p *soaker) drop() {
	p.s.close()
	p.s = nil
	p.w.drops.Add(1)
}

// connect comes, or comes back, on a connection that breaks somewhere, as often
// as the hub that is there is about to go.
func (p *soaker) connect() error {
	for limit := time.Now().Add(refPatience); ; {
		q := p.page.resume()
		path := "/ws"
		if p.page.session != "" {
			path += "/" + p.page.session + "?" + q.Encode()
		}
		var d refDial
		if !p.oneIn(3) {
			d.dropAt = int64(1000 + p.rand.IntN(8000))
		}
		s, err := dialRefSocket(p.w.addr(), path, d)
		if err == nil {
			p.page.connected(q)
			var raw []byte
			if raw, err = s.read(); err == nil {
				p.s = s
				_, err = p.page.take(raw)
				return err
			}
			s.close()
		}
		var closed *refClosed
		if errors.As(err, &closed) && closed.code != 1001 || time.Now().After(limit) {
			return fmt.Errorf("coming back: %w", err)
		}
		p.w.drops.Add(1)
		time.Sleep(time.Duration(p.rand.IntN(20)) * time.Millisecond) // as the contract asks for
	}
}

// unanswer forgets an answer.
func (r *rig) unanswer(said string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.answers, said)
}

// fetch sends a request, again when the hub that is there is about to go, and
// reads JSON into v.
func (p *soaker) fetch(method, path, body, key string, v any) error {
	for limit := time.Now().Add(refPatience); ; {
		req, err := http.NewRequest(method, p.w.url+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		resp, err := p.w.client.Do(req)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			switch {
			case err != nil:
			case resp.StatusCode == http.StatusOK && v == nil:
				return nil
			case resp.StatusCode == http.StatusOK:
				return json.Unmarshal(b, v)
			case resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(b), `"draining"`):
				return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, b)
			}
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		time.Sleep(time.Duration(p.rand.IntN(20)) * time.Millisecond) // as the contract asks for
	}
}
