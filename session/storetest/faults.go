package storetest

import (
	"context"
	"sync/atomic"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// Call is a call of one of a Backend's methods. An append or a read of several texts
// is a call for each.
type Call struct {
	Method string          // "Load", "Commit", …
	ID     uuid.UUID       // of the conversation; nil: the call is about none
	Change *session.Change // of a Commit; nil: it deletes
	Done   bool            // the call has been made, and succeeded
}

// Faults wraps a Backend whose calls fail as a hook says. The hook is called before each call
// and, if that succeeds, again after it. An error that it returns before the call replaces
// the call, after it the call's answer. A method without an error is then not called, which
// is how it fails. A hook may block, count or panic as well.
type Faults struct {
	session.Backend
	hook atomic.Pointer[func(Call) error]
}

// Set has hook asked from now on; nil: nothing fails any more.
func (f *Faults) Set(hook func(Call) error) {
	if hook == nil {
		f.hook.Store(nil)
		return
	}
	f.hook.Store(&hook)
}

func (f *Faults) ask(c Call) error {
	if hook := f.hook.Load(); hook != nil {
		return (*hook)(c)
	}
	return nil
}

// around makes a call, as far as the hook lets it.
func (f *Faults) around(c Call, call func() error) error {
	if err := f.ask(c); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	c.Done = true
	return f.ask(c)
}

// Load implements session.Backend.
func (f *Faults) Load(ctx context.Context, id uuid.UUID, have *session.Conversation) (c *session.Conversation, err error) {
	var found error // ErrNotFound is an answer
	err = f.around(Call{Method: "Load", ID: id}, func() error {
		c, found = f.Backend.Load(ctx, id, have)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, found
}

// Commit implements session.Backend.
func (f *Faults) Commit(ctx context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) error {
	return f.around(Call{Method: "Commit", ID: id, Change: ch}, func() error { return f.Backend.Commit(ctx, id, was, ch) })
}

// Claim implements session.Backend.
func (f *Faults) Claim(ctx context.Context, key string, id, stale uuid.UUID) (got uuid.UUID, err error) {
	err = f.around(Call{Method: "Claim", ID: id}, func() (err error) {
		got, err = f.Backend.Claim(ctx, key, id, stale)
		return err
	})
	return got, err
}

// Touch implements session.Backend.
func (f *Faults) Touch(ctx context.Context, used []session.Use) (changed []uuid.UUID, err error) {
	err = f.around(Call{Method: "Touch"}, func() (err error) {
		changed, err = f.Backend.Touch(ctx, used)
		return err
	})
	return changed, err
}

// Append implements session.Backend.
func (f *Faults) Append(ctx context.Context, texts []*session.Text) {
	f.each(ctx, "Append", texts, f.Backend.Append)
}

// Read implements session.Backend.
func (f *Faults) Read(ctx context.Context, texts []*session.Text) {
	f.each(ctx, "Read", texts, f.Backend.Read)
}

func (f *Faults) each(ctx context.Context, method string, texts []*session.Text, do func(context.Context, []*session.Text)) {
	var pass []*session.Text
	for _, t := range texts {
		if f.ask(Call{Method: method, ID: t.Ref.ID}) == nil {
			pass = append(pass, t)
		}
	}
	if len(pass) == 0 {
		return
	}
	do(ctx, pass)
	for _, t := range pass {
		_ = f.ask(Call{Method: method, ID: t.Ref.ID, Done: true}) // the text has its answer
	}
}

// Alive implements session.Backend.
func (f *Faults) Alive(node string) (alive bool) {
	if f.around(Call{Method: "Alive"}, func() error { alive = f.Backend.Alive(node); return nil }) != nil {
		return true // nothing is known of it
	}
	return alive
}

// Ready implements session.Backend.
func (f *Faults) Ready(ctx context.Context) error {
	return f.around(Call{Method: "Ready"}, func() error { return f.Backend.Ready(ctx) })
}
