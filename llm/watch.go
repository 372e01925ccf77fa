package llm

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errSilent is the cause with which a watch cancels a request.
var errSilent = errors.New("silent for too long")

// watch cancels a request whose answer is silent for too long. It has one timer
// and no goroutine: what moves is a time stamp, and the timer looks at it when
// it fires.
type watch struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards all below
	timer *time.Timer
	limit time.Duration // 0: stopped
	heard time.Time     // when the answer was last heard of
}

func newWatch(cancel context.CancelCauseFunc, limit time.Duration) *watch {
	w := &watch{cancel: cancel, limit: limit, heard: time.Now()}
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
	if left := w.limit - time.Since(w.heard); left > 0 {
		w.timer.Reset(left)
		return
	}
	w.cancel(errSilent)
}

// hear says that the answer went on.
func (w *watch) hear() {
	now := time.Now()
	w.mu.Lock()
	w.heard = now
	w.mu.Unlock()
}

// allow changes the silence that is allowed, beginning now.
func (w *watch) allow(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit, w.heard = limit, time.Now()
	w.timer.Reset(limit)
}

// stop ends the watch and returns for how long nothing was heard.
func (w *watch) stop() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit = 0
	w.timer.Stop()
	return time.Since(w.heard)
}
