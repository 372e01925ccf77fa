package llm

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errSilent is the cause with which a watch cancels a request.
var errSilent = errors.New("silent for too long")

// wordless is how long a stream may bring nothing but signs of life. It bounds
// what a gateway can hold open whose model has died.
const wordless = 10 * time.Minute

// watch cancels a request whose answer is silent for too long: for its limit with
// no byte at all, or for wordless without text. It has one timer and no goroutine:
// what moves is a time stamp, and the timer looks at it when it fires.
type watch struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards all below
	timer *time.Timer
	limit time.Duration // 0: stopped
	heard time.Time     // when the last byte came
	spoke time.Time     // when the last text or thought came
}

func newWatch(cancel context.CancelCauseFunc, limit time.Duration) *watch {
	now := time.Now()
	w := &watch{cancel: cancel, limit: limit, heard: now, spoke: now}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, w.look)
	return w
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit == 0 {
		return
	}
	if left := min(w.limit-time.Since(w.heard), wordless-time.Since(w.spoke)); left > 0 {
		w.timer.Reset(left)
		return
	}
	w.cancel(errSilent)
}

// hear says that the answer went on, perhaps with text.
func (w *watch) hear(text bool) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = now
	if text {
		w.spoke = now
	}
}

// allow changes the silence that is allowed, beginning now.
func (w *watch) allow(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.limit, w.heard, w.spoke = limit, now, now
	w.timer.Reset(limit)
}

// stop ends the watch and returns for how long there was no text.
func (w *watch) stop() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = 0
	w.timer.Stop()
	return time.Since(w.spoke)
}
