package httpapi_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// livePage is a refPage whose connection is read as it comes, unless it is
// slow. Its methods may be called by one goroutine.
type livePage struct {
	x *exactServer

	mu     sync.Mutex // guards what follows
	page   refPage
	sock   *refSocket    // nil: away
	slow   chan struct{} // not nil: nothing is read until it is closed
	held   bool          // it was slow since it connected
	said   []sayFrame    // not yet acknowledged
	closed error         // how the last connection ended, if the hub ended it
	wrong  error         // the first thing that the contract does not allow
	pongs  int

	reading sync.WaitGroup
}

type sayFrame struct{ id, content string }

// liveErrors are the codes of errors that a frame may be refused with while
// others are at the conversation too.
var liveErrors = []string{"conversation_busy", "invalid_request", "session_not_found", "id_reused"}

// connect opens a connection in place of the one that there is.
func (p *livePage) connect(again bool) error {
	p.drop()
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.page.resume()
	if again {
		q.Set("again", "1")
	}
	sock, err := dialRefSocket(p.x.addr, "/ws/"+p.page.session+"?"+q.Encode(), refDial{receive: 4 << 10})
	if err != nil {
		return err
	}
	p.page.connected(q)
	p.sock, p.held, p.closed = sock, false, nil
	for _, s := range p.said {
		_ = sock.say(s.id, s.content) // a connection that is gone is seen by reading
	}
	p.reading.Go(func() { p.read(sock) })
	return nil
}

// drop goes away without a word. Nothing that comes from then on counts.
func (p *livePage) drop() {
	p.mu.Lock()
	if p.sock != nil {
		p.sock.close()
		p.sock = nil
	}
	p.mu.Unlock()
	p.hurry()
	p.reading.Wait()
}

// slack has the page read nothing more, hurry go on.
func (p *livePage) slack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow == nil {
		p.slow, p.held = make(chan struct{}), true
	}
}

func (p *livePage) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow != nil {
		close(p.slow)
		p.slow = nil
	}
}

// say sends a new message, if the page is there.
func (p *livePage) say(content string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sock != nil {
		s := sayFrame{uuid.NewString(), content}
		p.said = append(p.said, s)
		_ = p.sock.say(s.id, s.content)
	}
}

// fault notes what the test itself found wrong.
func (p *livePage) fault(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = err
}

// send sends a frame, if the page is there.
func (p *livePage) send(frame string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sock != nil {
		_ = p.sock.write(frame)
	}
}

// lastReply returns the id of the newest reply that the page has, or "".
func (p *livePage) lastReply() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := p.page.last(); last != nil && last.Role == "assistant" {
		return last.ID
	}
	return ""
}

// read takes what comes over a connection until it ends or is the page's no
// more.
func (p *livePage) read(sock *refSocket) {
	for {
		p.mu.Lock()
		slow := p.slow
		p.mu.Unlock()
		if slow != nil {
			<-slow
			continue
		}
		raw, err := sock.read()
		p.mu.Lock()
		switch {
		case p.sock != sock: // the page went away
			p.mu.Unlock()
			return
		case err != nil:
			p.closed, p.sock = err, nil
			sock.close()
			p.mu.Unlock()
			return
		case p.wrong == nil:
			p.wrong = p.take(raw)
		}
		p.mu.Unlock()
	}
}

// take takes a frame. p.mu is held.
func (p *livePage) take(raw []byte) error {
	f, err := p.page.take(raw)
	if err != nil {
		return err
	}
	if f.Type == "error" && f.ID == "" && !slices.Contains(liveErrors, f.Code) {
		return fmt.Errorf("refused: %s", raw)
	}
	if f.Type == "pong" {
		p.pongs++
	}
	p.said = slices.DeleteFunc(p.said, func(s sayFrame) bool { return f.Ref == s.id || p.page.find(s.id) >= 0 })
	return nil
}

// state returns whether and how the hub has closed the page's connection (0: it
// has not, 1006: without a word), and what is wrong with the page.
func (p *livePage) state() (closed int, wrong error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var frame *refClosed
	switch {
	case p.closed == nil:
		return 0, p.wrong
	case errors.As(p.closed, &frame):
		return frame.code, p.wrong
	}
	return 1006, p.wrong
}

// away tells whether the page has no connection.
func (p *livePage) away() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sock == nil
}

// until looks at the page until holds says yes. What it says instead last is
// the error; so is what the contract does not allow.
func (p *livePage) until(holds func(closed int) (bool, error)) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for limit := time.Now().Add(refPatience / 2); ; <-look.C {
		closed, wrong := p.state()
		if wrong != nil {
			return wrong
		}
		ok, err := holds(closed)
		if ok {
			return nil
		}
		if time.Now().After(limit) {
			return err
		}
	}
}
