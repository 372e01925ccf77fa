package session

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// listen hears what other nodes tell this one, on its channel. When the
// connection was lost, all that is followed is looked at again.
func (r *Redis) listen(ctx context.Context) {
	var told atomic.Bool
	for ctx.Err() == nil {
		c, err := r.connect(ctx)
		if err == nil {
			r.lookAtAll()
			err = c.Dedicated(func(c rueidis.DedicatedClient) error { // its own connection: no history is read before hints
				return c.Receive(ctx, c.B().Subscribe().Channel("chathub:"+r.node).Build(), func(m rueidis.PubSubMessage) {
					told.Store(false)
					r.rescue("a hint", func() { r.hint(m.Message) }) // it runs on a goroutine of rueidis
				})
			})
		}
		if ctx.Err() != nil {
			return
		}
		if !told.Swap(true) {
			r.log.Warn("the other nodes cannot be heard; looking every second", slog.Any("error", err))
		}
		pause := time.NewTimer(retryAfter)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// hint handles one message of another node: a verb, the conversation, a reply or
// a connection, the conversation's incarnation, and for text the text. What it
// does not understand comes from a newer version, and is left to the polls.
func (r *Redis) hint(message string) {
	line, text, _ := strings.Cut(message, "\n")
	f := strings.Fields(line)
	if len(f) < 2 {
		return
	}
	var ids [3]uuid.UUID // the conversation, and what the verb has behind it
	for i := range min(len(f)-1, len(ids)) {
		id, err := uuid.Parse(f[1+i])
		if err != nil {
			break // text goes on with numbers
		}
		ids[i] = id
	}
	id, ref := ids[1], Ref{ids[0], ids[2]}
	switch {
	case f[0] == "text" && len(f) == 5:
		epoch, err1 := strconv.ParseInt(f[3], 10, 64)
		at, err2 := strconv.Atoi(f[4])
		if err1 == nil && err2 == nil {
			r.hear(id, epoch, at, text)
		}
	case f[0] == "look":
		r.lookNow(id)
	case f[0] == "ended":
		r.ended(id)
		r.changed(ref)
	case f[0] == "changed":
		r.changed(Ref{ids[0], ids[1]})
	case f[0] == "taken":
		if e := r.watcher(); e != nil {
			e.Taken(ref, id)
		}
	case f[0] == "left":
		r.left(id)
	case f[0] == "gone":
		ref = Ref{ids[0], ids[1]}
		r.endAll(ref)
		r.isGone(ref)
	}
}

// lookNow looks at a reply whose writer has changed.
func (r *Redis) lookNow(reply uuid.UUID) {
	r.mu.Lock()
	f, w := r.follows[reply], r.writers[reply]
	if w != nil {
		w.renew = time.Time{}
	}
	r.mu.Unlock()
	if f != nil {
		r.looks.wake(f)
	}
}

// endAll ends whatever is here of a conversation that was deleted.
func (r *Redis) endAll(ref Ref) {
	var replies []uuid.UUID
	r.mu.Lock()
	for id, f := range r.follows {
		if f.ref == ref {
			replies = append(replies, id)
		}
	}
	for id, w := range r.writers {
		if w.ref == ref {
			replies = append(replies, id)
		}
	}
	r.mu.Unlock()
	for _, id := range replies {
		r.ended(id)
	}
}

func (r *Redis) watcher() Events {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}

func (r *Redis) changed(ref Ref) {
	if e := r.watcher(); e != nil {
		e.Changed(ref)
	}
}

func (r *Redis) isGone(ref Ref) {
	r.mu.Lock()
	gone := r.gone
	r.mu.Unlock()
	if gone != nil {
		gone(ref)
	}
}
