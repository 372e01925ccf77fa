package redisstore

import (
	"strconv"
	"strings"
	"sync"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// maxDispatched is how many hints of a kind may have the Manager load a conversation at once.
const maxDispatched = 16

// dispatcher delivers hints to the Manager. Text is delivered in order, on the
// subscription's goroutine. Other hints make the Manager ask the store, so each is
// delivered on a goroutine of its own and does not delay text.
type dispatcher struct {
	deliver func(session.Hint)
	work    sync.WaitGroup
	// Of those that a conversation has changed, and of those that a text is followed. A writer
	// that hears late of a follower serves it late, so these do not wait for the others.
	changed, follows chan struct{}

	mu      sync.Mutex
	waiting map[hintKey]bool // guarded by mu
}

// hintKey names a hint that is waiting: the same hint again adds nothing.
type hintKey struct {
	id    uuid.UUID
	fence string
}

// dispatch delivers a hint on a goroutine of its own.
func (d *dispatcher) dispatch(hint session.Hint) {
	key, slots := hintKey{hint.ID, hint.Fence}, d.follows
	if hint.Fence == "" {
		slots = d.changed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting[key] {
		return
	}
	d.waiting[key] = true
	d.work.Go(func() {
		slots <- struct{}{}
		defer func() { <-slots }()
		d.mu.Lock()
		delete(d.waiting, key)
		d.mu.Unlock()
		d.deliver(hint)
	})
}

// receive handles one message. Its first line is a verb and the conversation's id;
// "text" and "follows" add the fence, which is two words; "text" adds its offset,
// and the text is the rest. Unknown messages are ignored: the polls find out, too.
func (d *dispatcher) receive(message string) {
	line, text, _ := strings.Cut(message, "\n")
	f := strings.Fields(line)
	if len(f) < 2 {
		return
	}
	id, err := uuid.Parse(f[1])
	if err != nil {
		return
	}
	switch {
	case f[0] == "changed":
		d.dispatch(session.Hint{ID: id})
	case f[0] == "follows" && len(f) == 4:
		d.dispatch(session.Hint{ID: id, Fence: f[2] + " " + f[3]})
	case f[0] == "text" && len(f) == 5:
		if at, err := strconv.Atoi(f[4]); err == nil {
			d.deliver(session.Hint{ID: id, Fence: f[2] + " " + f[3], At: at, Text: []byte(text)})
		}
	}
}
