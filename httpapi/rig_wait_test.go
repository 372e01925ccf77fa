package httpapi_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"lumos/backend/llm/mistralsim"
)

// eventually waits until a condition holds that nobody announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	eventuallyIn(t, rigPatience, what, holds)
}

// eventuallyIn is eventually with a patience of its own.
func eventuallyIn(t testing.TB, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	limit, look := time.NewTimer(patience), time.NewTicker(time.Millisecond)
	defer limit.Stop()
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// syncBuffer is a log that is written to and read at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// gate holds a reply back in front of one of its tokens.
type gate struct {
	reached chan struct{} // closed when the reply stands in front of it
	open    func()
}

// held returns an answer of these tokens that waits in front of token at until
// the gate is opened, or the hub goes away.
func held(at int, tokens ...string) (mistralsim.Answer, *gate) {
	opened := make(chan struct{})
	g := &gate{reached: make(chan struct{}), open: sync.OnceFunc(func() { close(opened) })}
	reach := sync.OnceFunc(func() { close(g.reached) })
	return mistralsim.Answer{Tokens: tokens, Hold: func(ctx context.Context, i int) {
		if i != at {
			return
		}
		reach()
		select {
		case <-opened:
		case <-ctx.Done():
		}
	}}, g
}

// wait returns when the reply stands in front of the gate.
func (g *gate) wait(t testing.TB) {
	t.Helper()
	await(t, g.reached, "the reply comes to the gate")
}

// await returns when c is closed or brings something.
func await[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	limit := time.NewTimer(rigPatience)
	defer limit.Stop()
	select {
	case v = <-c:
	case <-limit.C:
		t.Fatalf("not in %v: %s", rigPatience, what)
	}
	return v
}
