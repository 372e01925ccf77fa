package mistralsim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Why a reply ended early.
var (
	errGone = errors.New("the client is gone")
	errCut  = errors.New("the answer wants the connection cut")
	errEnd  = errors.New("the answer wants the body to end")
)

// reply sends one Answer. It belongs to the goroutine of its request.
type reply struct {
	ctx    context.Context // ends when the client leaves
	w      http.ResponseWriter
	rc     *http.ResponseController
	req    *Request
	ans    *Answer
	tokens tokens
	clock  pacer

	id      string
	created int64
	frames  framer

	buf  []byte // what is not written yet
	held int    // tokens in buf
	room int    // bytes of the body until the cut; 0: no cut
}

// buffers are reused between replies; 16 KiB hold a flush of 64 tokens.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// send sends the answer and notes on the request what became of it. It panics
// with [http.ErrAbortHandler] to cut the connection.
func (p *reply) send() {
	buf := buffers.Get().(*[]byte)
	p.buf = (*buf)[:0]
	defer func() { *buf = p.buf[:0]; buffers.Put(buf) }()
	p.clock = pacer{first: p.ans.FirstToken, pace: p.ans.Pace, start: time.Now()}
	defer p.clock.stop()
	p.room = p.ans.CutBytes

	err := p.body()
	if err == nil && p.room > 0 {
		err = p.cut()
	}
	switch err {
	case errGone:
		p.req.gone.Store(time.Now().UnixNano())
	case errCut:
		p.abort()
	}
}

func (p *reply) body() error {
	switch {
	case p.ans.Stall == StallHeaders:
		return p.hang()
	case p.ans.Status != 0:
		return p.fail()
	case p.req.Stream:
		return p.stream()
	}
	return p.whole()
}

// fail sends the status and body that the answer names.
func (p *reply) fail() error {
	if err := p.due(); err != nil {
		return err
	}
	p.ans.header(p.w)
	p.buf = append(p.buf, p.ans.Body...)
	return p.flush()
}

// whole sends the reply as one JSON object, when its last token is due.
func (p *reply) whole() error {
	var text []byte
	i := 0
	for ; ; i++ {
		if err := p.at(i); err != nil {
			return err
		}
		if !p.tokens.more() {
			break
		}
		text = append(text, p.tokens.take()...)
	}
	p.held = i
	if err := p.due(); err != nil {
		return err
	}
	p.w.Header().Set("Content-Type", "application/json")
	p.buf = appendWhole(p.buf, p, text)
	return p.flush()
}

// at does what the answer wants done in front of token i; when there is no
// such token, in front of the reply's end.
func (p *reply) at(i int) error {
	a := p.ans
	if a.Event != "" && p.req.Stream && p.reached(a.EventAfter, i) {
		p.buf = append(p.buf, a.Event...)
	}
	if a.Hold != nil {
		if err := p.settle(i); err != nil {
			return err
		}
		a.Hold(p.ctx, i)
		p.clock.held(p.tokens.fresh)
	}
	if a.Stall == StallTokens && p.reached(a.StallAfter, i) {
		if err := p.settle(i); err != nil {
			return err
		}
		return p.hang()
	}
	if a.CutTokens > 0 && p.reached(a.CutTokens, i) {
		if err := p.settle(i); err != nil {
			return err
		}
		return p.cut()
	}
	return nil
}

// reached reports whether what is to happen after n tokens happens now, in
// front of token i. What is to happen after the last token happens at the end.
func (p *reply) reached(n, i int) bool {
	return n == i || n > i && !p.tokens.more()
}

// settle writes everything in front of token i, when that is due.
func (p *reply) settle(i int) error {
	if i > 0 {
		if err := p.due(); err != nil {
			return err
		}
	}
	if !p.req.Stream {
		return nil
	}
	return p.flush()
}

// due waits until the last token taken is due. What echoes a prefix was not
// generated: all of it is due with the first token.
func (p *reply) due() error {
	i := max(p.tokens.fresh-1, 0)
	if p.ans.KeepAlive > 0 && p.req.Stream && p.ans.Status == 0 {
		for p.clock.left(i) > p.ans.KeepAlive {
			if err := p.comment(); err != nil {
				return err
			}
		}
	}
	return p.clock.wait(p.ctx, i)
}

// comment waits, and sends a comment in front of what is not due yet.
func (p *reply) comment() error {
	select {
	case <-time.After(p.ans.KeepAlive):
	case <-p.ctx.Done():
		return errGone
	}
	if _, err := p.w.Write([]byte(": keepalive\n\n")); err != nil || p.rc.Flush() != nil {
		return errGone
	}
	return nil
}

// flush writes buf to the connection, up to the cut.
func (p *reply) flush() error {
	if p.ctx.Err() != nil {
		return errGone
	}
	b, cut := p.buf, p.room > 0 && len(p.buf) >= p.room
	if cut {
		b = b[:p.room]
	}
	if _, err := p.w.Write(b); err != nil {
		return errGone
	}
	if err := p.rc.Flush(); err != nil {
		return errGone
	}
	if cut {
		return p.cut()
	}
	if p.room > 0 {
		p.room -= len(b)
	}
	p.req.sent.Add(int64(p.held))
	p.buf, p.held = p.buf[:0], 0
	return nil
}

// hang waits until the client leaves.
func (p *reply) hang() error {
	for p.ans.KeepAlive > 0 && p.ans.Stall == StallTokens {
		if err := p.comment(); err != nil {
			return err
		}
	}
	<-p.ctx.Done()
	return errGone
}

func (p *reply) cut() error {
	if p.ans.CleanEnd {
		return errEnd
	}
	return errCut
}

// abort ends the connection (in HTTP/2 the stream) in the middle of the body.
func (p *reply) abort() {
	if p.ans.Reset {
		if conn, _, err := p.rc.Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.SetLinger(0) // close with RST instead of FIN
			}
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
