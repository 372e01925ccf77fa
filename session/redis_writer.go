package session

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// writer is a reply that this node may write.
type writer struct {
	ref        Ref
	reply      uuid.UUID
	turn, text string // the keys of append.lua
	followers  string
	ln         lane

	// Guarded by Redis.mu.
	lease    string // the node's name, then one that no other lease has
	epoch    int64
	source   Source // nil until Write
	expected bool   // Say is asking for the right to write
	ending   bool   // Finish is at it, and will tell what becomes of it
	stored   int    // what Redis has of it, as far as is known
	shown    int    // what the source was told
	renew    time.Time
	outage   outage
	back     time.Time // when its last outage ended; zero: it had none
}

func (w *writer) lane() *lane { return &w.ln }

func (r *Redis) newWriter(ref Ref, reply uuid.UUID) *writer {
	keys := conversationKeys(ref.ID, []string{"turn", "text:" + reply.String(), "followers"})
	return &writer{
		ref: ref, reply: reply, lease: r.node + " " + randomName(),
		turn: keys[0], text: keys[1], followers: keys[2],
	}
}

// expect notes a reply that may be ours in a moment: nobody here is to take it
// for one that has no writer.
func (r *Redis) expect(ref Ref, reply uuid.UUID) *writer {
	w := r.newWriter(ref, reply)
	w.expected = true
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.writers[reply]; old != nil {
		return old // the same turn, asked once more
	}
	r.writers[reply] = w
	return w
}

func (r *Redis) forgetExpected(w *writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.expected && r.writers[w.reply] == w {
		delete(r.writers, w.reply)
	}
}

// begin makes w one that writes, under the lease that Redis has for it.
func (r *Redis) begin(w *writer, lease string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.lease, w.expected, w.renew = lease, false, time.Now().Add(leaseTTL/3)
	r.writers[w.reply] = w
}

// writing returns the lease under which a reply is written here, and how much
// of it Redis has.
func (r *Redis) writing(reply uuid.UUID) (lease string, stored int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.writers[reply]; w != nil {
		return w.lease, w.stored
	}
	return "", 0
}

// ending notes that Finish begins, or returns.
func (r *Redis) ending(reply uuid.UUID, begins bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.writers[reply]; w != nil {
		w.ending = begins
	}
}

// forgetWriter returns the writer that it forgets, or nil.
func (r *Redis) forgetWriter(ref Ref, reply uuid.UUID) *writer {
	r.mu.Lock()
	w := r.writers[reply]
	if w == nil || w.ref != ref {
		r.mu.Unlock()
		return nil
	}
	delete(r.writers, reply)
	r.mu.Unlock()
	r.appends.shut(w)
	return w
}

// lose ends the writing of w, of which Redis said that it is no longer ours.
// While Finish asks it is Finish that learns why: the reply may just have ended,
// and lose does nothing and returns false.
func (r *Redis) lose(w *writer) bool {
	r.mu.Lock()
	if w.ending {
		r.mu.Unlock()
		return false
	}
	ours := r.writers[w.reply] == w && !w.expected
	if ours {
		delete(r.writers, w.reply)
	}
	source := w.source
	r.mu.Unlock()
	if !ours {
		return true // it has ended here
	}
	r.appends.shut(w)
	r.warnLost(w)
	if source != nil {
		source.Lost()
	}
	return true
}

func (r *Redis) warnLost(w *writer) {
	r.log.Warn("a reply is no longer this node's to write", slog.String("session", shortID(w.ref.ID)))
}

// shortID names a session in the log, without opening it.
func shortID(id uuid.UUID) string { return id.String()[:8] }

// Write implements Log.
func (r *Redis) Write(reply uuid.UUID, s Source) (wake func(), ok bool) {
	r.mu.Lock()
	w := r.writers[reply]
	if w == nil || w.expected {
		r.mu.Unlock()
		return func() {}, false
	}
	w.source = s
	w.shown = w.stored
	r.mu.Unlock()
	r.appends.wake(w)
	return func() { r.appends.wake(w) }, true
}

// renewLeases keeps the leases of what is written here.
func (r *Redis) renewLeases(ctx context.Context) {
	r.every(ctx, leaseTTL/10, func() {
		now := time.Now()
		var due []*writer
		r.mu.Lock()
		for _, w := range r.writers {
			if !w.expected && now.After(w.renew) {
				due = append(due, w)
			}
		}
		r.mu.Unlock()
		r.renew(ctx, due)
	})
}

func (r *Redis) renew(ctx context.Context, due []*writer) {
	results := r.multi(ctx, len(due), func(c rueidis.Client, i int) rueidis.Completed {
		w := due[i]
		lease, _ := r.writing(w.reply)
		return r.command(c, renewScript, w.ref, []string{w.reply.String(), lease, millis(leaseTTL)})
	})
	for i, answer := range results {
		switch w := due[i]; answer.status {
		case "ok":
			r.mu.Lock()
			w.renew = time.Now().Add(leaseTTL / 3)
			r.mu.Unlock()
			if _, more := r.pending(w); !more {
				r.reached(w) // with more, the append tells
			}
		case "lost", "not found":
			r.lose(w)
		default: // a model that is silent leaves nothing to append, which would tell
			err := answer.err
			if err == nil {
				err = fmt.Errorf("session: %s returned %q", renewScript.name, answer.status)
			}
			r.failed(w, err)
		}
	}
}
