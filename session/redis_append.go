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

// What append.lua returns in place of a length.
const (
	appendLost   = -1 // another's to write, or ended
	appendLapsed = -2 // the lease ran out
)

// sendAppends is the pipe's send for writers.
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
	if isCluster(*r.client.Load()) {
		together = 1 // each conversation has its slot
	}
	groups := slices.Collect(slices.Chunk(all, together))
	commands := make([]rueidis.Completed, len(groups))
	for i, some := range groups {
		commands[i] = r.appendCommand(c, some)
	}
	// What one script takes is few enough to be shown before the next batch.
	push := len(groups) == 1
	var lapsed []*writer
	for i, result := range r.doAll(ctx, c, commands) {
		sizes, err := result.AsIntSlice()
		if err == nil && len(sizes) != len(groups[i]) {
			err = fmt.Errorf("session: %d answers to %d appends", len(sizes), len(groups[i]))
		}
		for j, a := range groups[i] {
			switch {
			case err != nil:
				failed = err
				settle(a.w, r.failed(a.w, err))
			case sizes[j] == appendLapsed:
				lapsed = append(lapsed, a.w)
			default:
				settle(a.w, r.appended(a.w, sizes[j], push))
			}
		}
	}
	for i, v := range r.retake(ctx, lapsed) {
		settle(lapsed[i], v)
	}
	return failed
}

// appended handles what append.lua returned for one reply, whose lease has not
// run out.
func (r *Redis) appended(w *writer, size int64, push bool) verdict {
	if size == appendLost {
		if !r.lose(w) {
			return rest
		}
		return dropped
	}
	return r.stored(w, int(size), push)
}

// retake takes leases that ran out again, where nobody else has, and returns a
// verdict for each.
func (r *Redis) retake(ctx context.Context, lapsed []*writer) []verdict {
	if len(lapsed) == 0 {
		return nil
	}
	verdicts := make([]verdict, len(lapsed))
	r.mu.Lock()
	for _, w := range lapsed {
		w.renew = time.Time{}
	}
	r.mu.Unlock()
	r.renew(ctx, lapsed)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, w := range lapsed {
		switch {
		case r.writers[w.reply] != w:
			verdicts[i] = dropped
		case w.renew.IsZero():
			verdicts[i] = later
		default:
			verdicts[i] = more
		}
	}
	return verdicts
}

// stored notes that Redis has length bytes, and tells the source.
func (r *Redis) stored(w *writer, length int, push bool) verdict {
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
			slog.String("session", shortID(w.ref.ID)), slog.Int("bytes", lost))
	}
	if tell {
		source.Stored(length, push)
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
			slog.String("session", shortID(w.ref.ID)), slog.Any("error", err))
	}
	if tell && source != nil {
		source.Away()
	}
	return later
}
