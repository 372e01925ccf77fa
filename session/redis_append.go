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
func (r *Redis) appendCommand(c rueidis.CoreClient, some []appending) rueidis.Completed {
	n := len(some)
	keys := make([]string, 3*n)
	args := make([]string, 0, 2+4*n)
	args = append(args, r.node, r.ttl)
	for i, a := range some {
		keys[i], keys[n+i], keys[2*n+i] = a.w.turn, a.w.text, a.w.followers
		args = append(args, a.lease, a.at, rueidis.BinaryString(a.text), a.epoch)
	}
	return c.B().Evalsha().Sha1(appendScript.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}

// sendAppends is the pipe's send for writers. What one script takes is few: what
// comes meanwhile can wait until all of that is shown.
func (r *Redis) sendAppends(ctx context.Context, c rueidis.CoreClient, batch []*writer, settle func(*writer, verdict)) (failed error) {
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
		return nil
	}
	together := maxTogether
	if (*r.client.Load()).Mode() == rueidis.ClientModeCluster {
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
				failed = err
				settle(a.w, r.failed(a.w, err))
			} else {
				settle(a.w, r.appended(ctx, a.w, sizes[j], len(groups) == 1))
			}
		}
	}
	return failed
}

// appended handles what append.lua returned for one reply.
func (r *Redis) appended(ctx context.Context, w *writer, size int64, few bool) verdict {
	switch size {
	case -1:
		if !r.lose(w) {
			return rest
		}
		return dropped
	case -2:
		return r.retake(ctx, w)
	}
	return r.stored(w, int(size), few)
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

// stored notes that Redis has length bytes, and tells the source, which may show
// them at once if few are told together.
func (r *Redis) stored(w *writer, length int, few bool) verdict {
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
		source.Stored(length, few)
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
