package session

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// maxAppend is the most text that one append carries, in bytes.
const maxAppend = 64 << 10

// writer is a reply that this node may write.
type writer struct {
	conversation, reply uuid.UUID
	keys                []string // of append.lua
	ln                  lane

	// Guarded by Redis.mu.
	lease    string // the node's name, then one that no other lease has
	epoch    int64
	source   Source // nil until Write
	expected bool   // Say is asking for the right to write
	stored   int    // what Redis has of it, as far as is known
	shown    int    // what the source was told
	renew    time.Time
	failing  time.Time // since when appends fail; zero: they do not
	away     bool      // and it was told so
}

func (w *writer) lane() *lane { return &w.ln }

func (r *Redis) newWriter(conversation, reply uuid.UUID) *writer {
	return &writer{
		conversation: conversation, reply: reply, lease: r.node + " " + randomName(),
		keys: []string{key(conversation, "turn"), key(conversation, "text:"+reply.String()),
			key(conversation, "followers"), key(conversation, "reply")},
	}
}

// expect notes a reply that may be ours in a moment: nobody here is to take it
// for one that has no writer.
func (r *Redis) expect(conversation, reply uuid.UUID) *writer {
	w := r.newWriter(conversation, reply)
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

func (r *Redis) forgetWriter(reply uuid.UUID) *writer {
	r.mu.Lock()
	w := r.writers[reply]
	delete(r.writers, reply)
	r.mu.Unlock()
	if w != nil {
		r.appends.shut(w)
	}
	return w
}

// lose ends the writing of w, of which Redis said that it is no longer ours.
func (r *Redis) lose(w *writer) {
	r.mu.Lock()
	ours := r.writers[w.reply] == w && !w.expected
	if ours {
		delete(r.writers, w.reply)
	}
	source := w.source
	r.mu.Unlock()
	if !ours {
		return // it has ended here
	}
	r.appends.shut(w)
	r.log.Warn("a reply is no longer this node's to write", slog.String("session", shortID(w.conversation)))
	if source != nil {
		source.Lost()
	}
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

// appendCommand builds what is to be appended next.
func (r *Redis) appendCommand(c rueidis.Client, w *writer) (rueidis.Completed, bool) {
	r.mu.Lock()
	source, at, lease, epoch := w.source, w.stored, w.lease, w.epoch
	r.mu.Unlock()
	if source == nil {
		return rueidis.Completed{}, false
	}
	text := source.From(at, maxAppend)
	if len(text) == 0 {
		return rueidis.Completed{}, false
	}
	reply := w.reply.String()
	head := "text " + w.conversation.String() + " " + reply + " " + strconv.FormatInt(epoch, 10) + " "
	return c.B().Evalsha().Sha1(appendScript.sha).Numkeys(int64(len(w.keys))).Key(w.keys...).
		Arg(lease, strconv.Itoa(at), rueidis.BinaryString(text), millis(leaseTTL), millis(r.cfg.TTL), r.node, reply, head).Build(), true
}

// appended handles the answer to appendCommand: how long the text is now.
func (r *Redis) appended(w *writer, result rueidis.RedisResult) verdict {
	length, err := result.AsInt64()
	switch {
	case err == nil && length < 0:
		r.lose(w)
		return dropped
	case err == nil:
		return r.stored(w, int(length))
	}
	if e, ok := rueidis.IsRedisErr(err); ok && e.IsNoScript() {
		return noSuch
	}
	return r.failed(w, err)
}

// stored notes that Redis has length bytes, and tells the source.
func (r *Redis) stored(w *writer, length int) verdict {
	r.mu.Lock()
	lost := w.stored - length
	w.stored, w.failing, w.away = length, time.Time{}, false
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

// failed notes that an append did not get through.
func (r *Redis) failed(w *writer, err error) verdict {
	r.mu.Lock()
	now := time.Now()
	first := w.failing.IsZero()
	if first {
		w.failing = now
	}
	tell := !w.away && now.Sub(w.failing) >= AwayAfter
	w.away = w.away || tell
	source := w.source
	r.mu.Unlock()
	if first {
		r.log.Warn("text of a running reply cannot be stored; trying on",
			slog.String("session", shortID(w.conversation)), slog.Any("error", err))
	}
	if tell {
		source.Away()
	}
	return later
}

// renewLeases keeps the leases of what is written here.
func (r *Redis) renewLeases(ctx context.Context) {
	every(ctx, leaseTTL/10, func() {
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
		return r.command(c, renewScript, w.conversation, []string{w.reply.String(), lease, millis(leaseTTL)})
	})
	for i, answer := range results {
		switch answer.status {
		case "ok":
			r.mu.Lock()
			due[i].renew = time.Now().Add(leaseTTL / 3)
			r.mu.Unlock()
		case "lost", "not found":
			r.lose(due[i])
		}
	}
}

// Yield implements Log.
func (r *Redis) Yield(ctx context.Context, conversation, reply uuid.UUID) error {
	r.mu.Lock()
	w := r.writers[reply]
	r.mu.Unlock()
	if w == nil {
		return nil
	}
	defer r.forgetWriter(reply)
	select {
	case <-r.appends.shut(w):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.appendRest(ctx, w); err != nil {
		return err
	}
	lease, _ := r.writing(reply)
	_, _, err := r.step(ctx, yieldScript, conversation, reply.String(), lease)
	return err
}

// appendRest appends what the source still has. Nothing else is under way.
func (r *Redis) appendRest(ctx context.Context, w *writer) error {
	for {
		err := r.try(ctx, func(ctx context.Context, c rueidis.Client) error {
			command, ok := r.appendCommand(c, w)
			if !ok {
				return permanent{errNothingLeft}
			}
			length, err := c.Do(ctx, command).AsInt64()
			if err != nil {
				return err
			}
			if length < 0 {
				return permanent{errNothingLeft}
			}
			r.stored(w, int(length))
			return nil
		})
		if errors.Is(err, errNothingLeft) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var errNothingLeft = errors.New("session: nothing left to append")
