package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/redis/rueidis"
)

const (
	// maxAppend is the most text that one append carries, in bytes.
	maxAppend = 64 << 10
	// maxTogether bounds the replies that one script appends to.
	maxTogether = 64
)

// errAbsent: no connection to Redis could be made.
var errAbsent = errors.New("session: Redis cannot be reached")

// appending is what is to be appended to one reply.
type appending struct {
	w         *writer
	lease, at string
	text      []byte
	epoch     string
}

// pending returns what the writer's source has behind what Redis has.
func (r *Redis) pending(w *writer) (appending, bool) {
	r.mu.Lock()
	source, at, lease, epoch := w.source, w.stored, w.lease, w.epoch
	r.mu.Unlock()
	if source == nil {
		return appending{}, false
	}
	text := source.From(at, maxAppend)
	return appending{w, lease, strconv.Itoa(at), text, strconv.FormatInt(epoch, 10)}, len(text) > 0
}

// appendCommand builds the call of append.lua for some replies.
func (r *Redis) appendCommand(c rueidis.Client, some []appending) rueidis.Completed {
	keys := make([]string, 0, 3*len(some))
	args := make([]string, 0, 2+4*len(some))
	args = append(args, r.node, r.ttl)
	for _, a := range some {
		keys = append(keys, a.w.keys...)
		args = append(args, a.lease, a.at, rueidis.BinaryString(a.text), a.epoch)
	}
	return c.B().Evalsha().Sha1(appendScript.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// sendAppends is the pipe's send for writers.
func (r *Redis) sendAppends(ctx context.Context, c rueidis.Client, batch []*writer, settle func(*writer, verdict)) {
	all := make([]appending, 0, len(batch))
	for _, w := range batch {
		if a, ok := r.pending(w); !ok {
			settle(w, rest)
		} else if c == nil {
			settle(w, r.failed(w, errAbsent))
		} else {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return
	}
	together := maxTogether
	if c.Mode() == rueidis.ClientModeCluster {
		together = 1 // each conversation has its slot
	}
	groups := slices.Collect(slices.Chunk(all, together))
	commands := make([]rueidis.Completed, len(groups))
	for i, some := range groups {
		commands[i] = r.appendCommand(c, some)
	}
	for i, result := range r.doAll(ctx, c, commands) {
		sizes, err := result.AsIntSlice()
		if err == nil && len(sizes) != len(groups[i]) {
			err = fmt.Errorf("session: %d answers to %d appends", len(sizes), len(groups[i]))
		}
		for j, a := range groups[i] {
			if err != nil {
				settle(a.w, r.failed(a.w, err))
			} else {
				settle(a.w, r.appended(ctx, a.w, sizes[j]))
			}
		}
	}
}

// appended handles what append.lua returned for one reply.
func (r *Redis) appended(ctx context.Context, w *writer, size int64) verdict {
	switch size {
	case -1:
		if !r.lose(w) {
			return rest
		}
		return dropped
	case -2:
		return r.retake(ctx, w)
	}
	return r.stored(w, int(size))
}

// retake takes a lease that ran out again, unless somebody else has.
func (r *Redis) retake(ctx context.Context, w *writer) verdict {
	r.mu.Lock()
	w.renew = time.Time{}
	r.mu.Unlock()
	r.renew(ctx, []*writer{w})
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.writers[w.reply] != w:
		return dropped
	case w.renew.IsZero():
		return later
	}
	return more
}

// stored notes that Redis has length bytes, and tells the source.
func (r *Redis) stored(w *writer, length int) verdict {
	r.mu.Lock()
	lost := w.stored - length
	w.stored = length
	w.reachedLocked()
	source := w.source
	tell := length > w.shown
	if tell {
		w.shown = length
	}
	r.mu.Unlock()
	if lost > 0 {
		r.log.Warn("the store lost text of a running reply; it is appended again",
			slog.String("session", shortID(w.conversation)), slog.Int("bytes", lost))
	}
	if tell {
		source.Stored(length)
	}
	if len(source.From(length, utf8.UTFMax)) > 0 {
		return more
	}
	return rest
}

// reached notes that Redis is there for w.
func (r *Redis) reached(w *writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.reachedLocked()
}

func (w *writer) reachedLocked() {
	if !w.outage.since.IsZero() {
		w.outage, w.back = outage{}, time.Now()
	}
}

// failed notes that an append, or a renewal, did not get through.
func (r *Redis) failed(w *writer, err error) verdict {
	r.mu.Lock()
	first, tell := w.outage.lasts()
	source := w.source
	r.mu.Unlock()
	if first {
		r.log.Warn("a running reply cannot be stored; trying on",
			slog.String("session", shortID(w.conversation)), slog.Any("error", err))
	}
	if tell && source != nil {
		source.Away()
	}
	return later
}
