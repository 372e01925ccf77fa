package main

import (
	"encoding/json"
	"fmt"
)

// inexact is text that is not what the model said: a byte lost, doubled,
// changed or out of its place. It makes the whole run a failure.
type inexact struct{ what string }

func (e *inexact) Error() string { return "inexact: " + e.what }

func inexactf(format string, args ...any) error { return &inexact{fmt.Sprintf(format, args...)} }

// rebuilt is a reply as a client rebuilds it from frames, by PROTOCOL.md's
// rules. Every byte is held against the text that the model says, and only its
// length is kept; the text is kept where what the model says is not known.
type rebuilt struct {
	want    span
	text    []byte
	id      string // the reply's message id, once `start` told it
	epoch   int    // -1: none
	held    int    // bytes rebuilt so far, all of them right
	over    bool   // the end was seen
	again   int    // times that the hub went back to before held
	scratch []byte
}

func newRebuilt(want span) rebuilt { return rebuilt{want: want, epoch: -1} }

// apply takes the reply's next frame and tells how many bytes it added.
func (r *rebuilt) apply(f *frame) (added int, err error) {
	if kind := string(f.kind); kind != "start" && f.id != nil && string(f.id) != r.id {
		return 0, inexactf("%s of reply %s amid %s", kind, f.id, r.id)
	}
	switch string(f.kind) {
	case "start":
		if r.id != string(f.id) {
			r.id, r.held, r.text = string(f.id), 0, r.text[:0]
		}
		r.epoch = f.epoch
		return 0, r.cut(f)
	case "text-start":
		return 0, r.cut(f)
	case "text-delta":
		return r.delta(f)
	case "finish":
		if r.want.of != nil && r.held != r.want.len() {
			return 0, inexactf("reply of %d bytes ended at %d", r.want.len(), r.held)
		}
		r.over = true
	}
	return 0, nil
}

// cut keeps what is before a frame's offset.
func (r *rebuilt) cut(f *frame) error {
	if f.offset < 0 || f.offset > r.held {
		return inexactf("text goes on at %d behind byte %d", f.offset, r.held)
	}
	if f.offset < r.held {
		r.again++
	}
	r.held, r.text = f.offset, r.text[:min(f.offset, len(r.text))]
	return nil
}

func (r *rebuilt) delta(f *frame) (added int, err error) {
	text := f.delta
	if f.escaped {
		if r.scratch, err = unescape(r.scratch[:0], f.delta); err != nil {
			return 0, inexactf("delta at byte %d: %v", r.held, err)
		}
		text = r.scratch
	}
	if f.offset >= 0 && f.offset != r.held+len(text) {
		return 0, inexactf("delta of %d bytes behind byte %d has offset %d", len(text), r.held, f.offset)
	}
	if r.want.of == nil {
		r.text = append(r.text, text...)
	} else if right := r.want.match(r.held, text); right < len(text) {
		return 0, inexactf("byte %d of %d is wrong: got %.40q", r.held+right, r.want.len(), text[right:])
	}
	r.held += len(text)
	return len(text), nil
}

// stored takes the messages of a `ready` that may hold the reply whole: the
// one after the user message asked, or, when mine is set, the first. It tells
// whether the user message is among them.
func (r *rebuilt) stored(messages []byte, asked string, mine bool) (known bool, err error) {
	var list []struct{ ID, Role, Content string }
	if err := json.Unmarshal(messages, &list); err != nil {
		return false, fmt.Errorf("ready: messages: %w", err)
	}
	for _, m := range list {
		switch {
		case m.ID == asked:
			known, mine = true, true
		case m.Role == "assistant" && mine:
			r.id, r.held, r.over = m.ID, len(m.Content), true
			if r.want.of == nil {
				r.text = append(r.text[:0], m.Content...)
			} else if r.held != r.want.len() || r.want.match(0, []byte(m.Content)) != r.held {
				return known, inexactf("stored reply of %d bytes is not the one of %d", r.held, r.want.len())
			}
			return known, nil
		}
	}
	return known, nil
}
