package llm

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstWait = 500 * time.Millisecond
	longWait  = 8 * time.Second

	// quickTries is how often a rate limit is met with short waits (a free plan
	// allows about one request a second). Behind them only the next minute helps:
	// the window is one of the wall clock (MISTRAL.md section 3), and those who
	// wait for it should not all come at once.
	quickTries   = 3
	minuteSpread = 5 * time.Second
	// afterSpread is the same for a Retry-After, which many were sent at once: at
	// most half of what it asks for, and a second.
	afterSpread = 5 * time.Second
)

// retries says when to try again. No retry library knows Mistral's minute window.
type retries struct {
	max  int           // attempts after the first
	wait time.Duration // longest single wait
}

// next returns how long to wait after failed attempt number try (from 0); ok is
// false when there is to be no other.
// A wait is exponential with full jitter, or what the server asked for. A server
// that asks for more than the longest wait is not asked again before.
func (r retries) next(try int, f *failure) (wait time.Duration, ok bool) {
	if !f.transient || try >= r.max {
		return 0, false
	}
	wait = rand.N(min(firstWait<<min(try, 10), longWait, r.wait) + 1)
	if f.after > 0 {
		wait = f.after
		if spread := min(wait/2+time.Second, afterSpread, r.wait-wait); spread > 0 {
			wait += rand.N(spread)
		}
	} else if f.minute > 0 && try >= quickTries {
		if minute := f.minute + rand.N(minuteSpread); minute <= r.wait {
			wait = minute
		}
	}
	return wait, wait <= r.wait
}

// sleep waits, or returns false when ctx ends before.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Budget bounds what one reply may cost, over all the calls that it takes, and
// counts what they brought. It is for one goroutine at a time.
type Budget struct {
	requests int           // that may still be sent
	patience time.Duration // no request begins when so long was waited
	waited   time.Duration // while no text came: for answers, between tries, in silence
	pause    time.Duration // to be waited before the next request
	tokens   int
}

// NewBudget returns a budget of so many requests, of which none begins once the
// waits between and in them come to patience.
func NewBudget(requests int, patience time.Duration) *Budget {
	return &Budget{requests: requests, patience: patience}
}

// Spent says that no request may be sent any more.
func (b *Budget) Spent() bool { return !b.allows(0) }

// allows says whether a request may be sent after another wait.
func (b *Budget) allows(wait time.Duration) bool {
	return b.requests > 0 && b.waited+wait < b.patience
}

// Tokens returns how many tokens the reply has, with what was thought for it, at
// least: the usage where the service told it, else one for every event with text,
// since Mistral sends each token by itself. Other services may put several into one.
func (b *Budget) Tokens() int { return b.tokens }

// leastPatience is the shortest silence that is allowed, however long was waited.
const leastPatience = 30 * time.Second

// patient returns for how long an answer may be silent: for limit, unless a good
// part of the patience was spent before.
func (b *Budget) patient(limit time.Duration) time.Duration {
	if b.waited == 0 {
		return limit
	}
	return min(limit, max(b.patience-b.waited, leastPatience))
}

type budgetKey struct{}

// WithBudget has every call with the returned context take its requests from b.
// A call without one has a budget of its own, of Config.MaxRetries + 1 requests
// and DefaultMaxElapsed.
func WithBudget(ctx context.Context, b *Budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

// budget returns the context's budget, or one for this call alone.
func (r retries) budget(ctx context.Context) *Budget {
	if b, ok := ctx.Value(budgetKey{}).(*Budget); ok {
		return b
	}
	return NewBudget(max(r.max, 0)+1, DefaultMaxElapsed)
}

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
	w.heard = now
	if text {
		w.spoke = now
	}
	w.mu.Unlock()
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
