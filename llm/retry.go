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

	// quickTries is how often a rate limit is met with short waits (a free plan allows
	// about one request a second). After that only the next minute of the wall clock
	// helps (MISTRAL.md section 3); minuteSpread keeps clients from all coming at once.
	quickTries   = 3
	minuteSpread = 5 * time.Second
	// afterSpread is the same for a Retry-After. The spread is also at most half of what
	// that asks for, plus a second.
	afterSpread = 5 * time.Second
)

// nextWait returns how long to wait after failed attempt number try (from 0); ok is false if
// there is no further attempt. A wait is exponential with full jitter, or what the server
// asked for; if that is longer than MaxRetryWait, there is no further attempt. No retry
// library knows Mistral's minute window.
func (cfg *Config) nextWait(try int, f *failure) (wait time.Duration, ok bool) {
	if !f.transient || try >= cfg.MaxRetries {
		return 0, false
	}
	longest := cfg.MaxRetryWait
	wait = rand.N(min(firstWait<<min(try, 10), longWait, longest) + 1)
	if f.after > 0 {
		wait = f.after
		if spread := min(wait/2+time.Second, afterSpread, longest-wait); spread > 0 {
			wait += rand.N(spread)
		}
	} else if f.minute > 0 && try >= quickTries {
		if minute := f.minute + rand.N(minuteSpread); minute <= longest {
			wait = minute
		}
	}
	return wait, wait <= longest
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
	requests  int           // how many may still be sent
	maxWaited time.Duration // no request begins once waited has reached it
	waited    time.Duration // without text: for answers, between tries, in silence
	pause     time.Duration // to be waited before the next request
	tokens    int
}

// NewBudget returns a budget of so many requests, none of which begins once the waits between
// and in them add up to maxWaited.
func NewBudget(requests int, maxWaited time.Duration) *Budget {
	return &Budget{requests: requests, maxWaited: maxWaited}
}

// Spent reports whether no request may be sent any more.
func (b *Budget) Spent() bool { return !b.allows(0) }

// allows reports whether a request may be sent after another wait.
func (b *Budget) allows(wait time.Duration) bool {
	return b.requests > 0 && b.waited+wait < b.maxWaited
}

// Tokens returns how many tokens the reply has at least, reasoning included: the usage if the
// service told it, else one for every event with text. Mistral sends one token per event;
// other services may send several.
func (b *Budget) Tokens() int { return b.tokens }

// minSilence is the least that silenceLimit returns, unless limit is less.
const minSilence = 30 * time.Second

// silenceLimit returns for how long an answer may be silent: limit, or less if much of
// maxWaited is used up.
func (b *Budget) silenceLimit(limit time.Duration) time.Duration {
	if b.waited == 0 {
		return limit
	}
	return min(limit, max(b.maxWaited-b.waited, minSilence))
}

type budgetKey struct{}

// WithBudget has every call with the returned context take its requests from b.
// A call without one has a budget of its own, of Config.MaxRetries + 1 requests
// and DefaultMaxElapsed.
func WithBudget(ctx context.Context, b *Budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

// budget returns the context's budget, or one for this call alone.
func (cfg *Config) budget(ctx context.Context) *Budget {
	if b, ok := ctx.Value(budgetKey{}).(*Budget); ok {
		return b
	}
	return NewBudget(max(cfg.MaxRetries, 0)+1, DefaultMaxElapsed)
}

// errSilent is the cause with which a watch cancels a request.
var errSilent = errors.New("silent for too long")

// wordless is how long a stream may bring bytes without text, so that a gateway whose model
// has died does not hold it open for ever.
const wordless = 10 * time.Minute

// watch cancels a request whose answer is silent for too long: for limit without a byte, or
// for wordless without text. It has one timer, which compares time stamps when it fires, and
// no goroutine.
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

// hear notes that bytes came, perhaps with text.
func (w *watch) hear(text bool) {
	now := time.Now()
	w.mu.Lock()
	w.heard = now
	if text {
		w.spoke = now
	}
	w.mu.Unlock()
}

// allow changes limit, and counts silence from now on.
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
