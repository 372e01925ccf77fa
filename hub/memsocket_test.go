package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
)

var errKilled = errors.New("the socket is closed")

// memSocket is a Socket in memory: the test is the peer.
type memSocket struct {
	in     chan []byte // from the peer; nil: a binary message
	killed chan struct{}
	kill   func()
	closed chan struct{} // the peer has answered a close frame
	answer func()

	mu       sync.Mutex
	held     [][]byte // corked
	corked   bool
	stalled  bool          // the peer takes nothing
	thaw     chan struct{} // closed when it takes again
	silent   bool          // the peer answers no ping
	sent     [][]byte
	pings    int
	code     CloseCode // of the first Close
	active   time.Time
	arrivals chan struct{} // one slot: something was sent, or the socket ended
}

func newMemSocket() *memSocket {
	s := &memSocket{in: make(chan []byte, 100), killed: make(chan struct{}), thaw: make(chan struct{}), closed: make(chan struct{}), arrivals: make(chan struct{}, 1), active: time.Now()}
	s.kill = sync.OnceFunc(func() { close(s.killed) })
	s.answer = sync.OnceFunc(func() { close(s.closed) })
	return s
}

func (s *memSocket) Await() {}

func (s *memSocket) Read() ([]byte, error) {
	select {
	case frame := <-s.in:
		s.mu.Lock()
		s.active = time.Now()
		s.mu.Unlock()
		if frame == nil {
			return nil, ErrBinary
		}
		return frame, nil
	case <-s.closed:
		return nil, errKilled
	case <-s.killed:
		return nil, errKilled
	}
}

func (s *memSocket) Write(frame []byte) error {
	s.mu.Lock()
	s.held = append(s.held, bytes.Clone(frame))
	corked := s.corked
	s.mu.Unlock()
	if corked {
		return nil
	}
	return s.pass()
}

func (s *memSocket) Cork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = true
}

func (s *memSocket) Flush() error {
	s.mu.Lock()
	s.corked = false
	s.mu.Unlock()
	return s.pass()
}

func (s *memSocket) FlushNow() bool {
	s.mu.Lock()
	stalled := s.stalled
	s.mu.Unlock()
	return !stalled && s.Flush() == nil
}

// pass gives what is held to the peer, or blocks until the socket is killed.
func (s *memSocket) pass() error {
	s.mu.Lock()
	stalled, thaw := s.stalled, s.thaw
	if !stalled {
		s.sent = append(s.sent, s.held...)
		s.held, s.active = nil, time.Now()
	}
	s.mu.Unlock()
	if stalled {
		select {
		case <-s.killed:
			return errKilled
		case <-thaw:
			return s.pass()
		}
	}
	s.arrived()
	return nil
}

func (s *memSocket) arrived() {
	select {
	case s.arrivals <- struct{}{}:
	default:
	}
}

func (s *memSocket) Ping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pings++
	if !s.silent && !s.stalled {
		s.active = time.Now()
	}
}

func (s *memSocket) Alive(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent || s.stalled {
		return errKilled
	}
	return nil
}

// Close leaves it to the reader to find the peer's answer, which one that is
// stalled does not give, and to end the socket.
func (s *memSocket) Close(code CloseCode, _ string) {
	s.mu.Lock()
	if s.code == 0 {
		s.code = code
	}
	stalled := s.stalled
	s.mu.Unlock()
	if stalled {
		time.AfterFunc(2*time.Second, s.Kill)
		return
	}
	s.answer()
}

func (s *memSocket) Kill() {
	s.kill()
	s.arrived()
}

func (s *memSocket) Active() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

func (s *memSocket) set(field *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*field = true
}

// resume has a peer that is stalled take all again.
func (s *memSocket) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalled {
		s.stalled = false
		close(s.thaw)
		s.thaw = make(chan struct{})
	}
}

// took is what has reached the peer.
func (s *memSocket) took() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var frames []map[string]any
	for _, b := range s.sent {
		var f map[string]any
		if err := json.Unmarshal(b, &f); err != nil {
			panic(err)
		}
		frames = append(frames, f)
	}
	return frames
}

// types lists the types of the frames that have reached the peer, deltas that
// follow each other as one.
func (s *memSocket) types() (types []string) {
	for _, f := range s.took() {
		types = append(types, f["type"].(string))
	}
	return slices.Compact(types)
}

// text is what the deltas that have reached the peer say.
func (s *memSocket) text() (text string) {
	for _, f := range s.took() {
		if f["type"] == "text-delta" {
			text += f["delta"].(string)
		}
	}
	return text
}

// closed returns the code that the socket was closed with, 0 when it was only
// killed, and whether it has ended at all.
func (s *memSocket) ended() (CloseCode, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.killed:
		return s.code, true
	default:
		return s.code, false
	}
}
