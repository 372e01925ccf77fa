package llm

import (
	"context"
	"time"
)

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

// Tokens returns how many tokens were generated so far, at least: the usage
// where the service told it, else one for every event with text, since Mistral
// sends each token by itself. Other services may put several into one.
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
// and Config.MaxElapsed.
func WithBudget(ctx context.Context, b *Budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

// budget returns the context's budget, or one for this call alone.
func (r retries) budget(ctx context.Context) *Budget {
	if b, ok := ctx.Value(budgetKey{}).(*Budget); ok {
		return b
	}
	return NewBudget(max(r.max, 0)+1, r.elapsed)
}
