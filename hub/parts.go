package hub

import (
	"bytes"
	"time"
	"unicode/utf8"

	"lumos/backend/session"
)

// What the model says and thinks becomes the reply's parts here. Reasoning is appended
// only once somebody can see it. Until then it is held: if the call fails, the next
// call's reasoning replaces it. If somebody has seen some, the next continues behind a
// blank line, since a text never shrinks. A node that dies loses only held reasoning, and
// the next one asks anew.

// resume notes what the reply has, of another node.
func (a *asking) resume() {
	stored := a.r.String(a.r.Appended())
	a.part, a.text = session.LastPart(stored), len(session.TextOf(stored))
	a.had, a.size = a.text, session.SizeOf(stored)
}

// say appends text.
func (a *asking) say(p []byte) error {
	p = a.truncate(p)
	if len(a.held) > 0 {
		a.flushHeld()
	}
	a.shown = false
	if a.first == 0 {
		a.first = time.Since(a.t.began)
	}
	a.text += len(p)
	return a.appendError(a.append(session.PartText, p))
}

// think appends reasoning, or holds it.
func (a *asking) think(p []byte) error {
	a.thought = true
	if a.part == session.PartReasoning && !a.shown && len(a.held) == 0 {
		a.held = append(a.held, a.truncate([]byte("\n\n"))...)
	}
	p = a.truncate(p)
	if !a.shown && a.t.unseen && !a.r.MayBeShown() {
		a.held = append(a.held, p...)
		return a.appendError(a.r.End() == nil)
	}
	return a.appendError(a.flushHeld() && a.append(session.PartReasoning, p))
}

// flushHeld appends what is held.
func (a *asking) flushHeld() bool {
	a.shown = true
	held := a.held
	a.held = a.held[:0]
	return a.append(session.PartReasoning, held)
}

// forget drops what is held, of a call that failed.
func (a *asking) forget() {
	a.size -= len(a.held)
	a.held, a.shown, a.thought = a.held[:0], false, false
}

// append appends p to the reply, behind a mark where it begins a part. It returns
// false when the text has ended.
func (a *asking) append(part session.Part, p []byte) bool {
	if len(p) == 0 {
		return a.r.End() == nil
	}
	if part != a.part {
		a.part = part
		a.marked = append(session.AppendMark(a.marked[:0], part), p...)
		p = a.marked
	}
	return a.r.Append(p)
}

// appendError is what the model's call is told of an append.
func (a *asking) appendError(appended bool) error {
	switch {
	case !appended:
		return errTextEnded
	case a.full:
		return errReplyFull
	}
	return nil
}

// truncate returns as much of p as the reply may have, as valid UTF-8.
func (a *asking) truncate(p []byte) []byte {
	if !utf8.Valid(p) {
		p = bytes.ToValidUTF8(p, []byte("\uFFFD"))
	}
	if most := a.h.cfg.Limits.ReplyBytes; most > 0 && a.size+len(p) > most {
		a.full = true
		p = bytes.ToValidUTF8(p[:max(0, most-a.size)], nil) // ends no character early
	}
	a.size += len(p)
	return p
}
