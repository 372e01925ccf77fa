package hub

import (
	"bytes"
	"time"
	"unicode/utf8"

	"lumos/backend/session"
)

// What the model says and thinks becomes the reply's parts here. Reasoning is appended
// only once somebody can see it. Until then it is held: if the call fails, the next
// call's reasoning replaces it. If somebody has seen some, the next continues after a
// blank line, since a text never shrinks. A node that dies loses only held reasoning, and
// the next one asks anew.

// resume counts what another node has written of the reply.
func (g *generation) resume() {
	stored := g.r.String(g.r.Appended())
	g.part, g.text = session.LastPart(stored), len(session.TextOf(stored))
	g.had, g.size = g.text, session.SizeOf(stored)
}

// say appends text.
func (g *generation) say(p []byte) error {
	p = g.truncate(p)
	if len(g.held) > 0 {
		g.flushHeld()
	}
	g.shown = false
	if g.first == 0 {
		g.first = time.Since(g.t.began)
	}
	g.text += len(p)
	return g.appendError(g.append(session.PartText, p))
}

// think appends reasoning, or holds it.
func (g *generation) think(p []byte) error {
	g.thought = true
	if g.part == session.PartReasoning && !g.shown && len(g.held) == 0 {
		g.held = append(g.held, g.truncate([]byte("\n\n"))...)
	}
	p = g.truncate(p)
	if !g.shown && g.t.unseen && !g.r.MayBeShown() {
		g.held = append(g.held, p...)
		return g.appendError(g.r.End() == nil)
	}
	return g.appendError(g.flushHeld() && g.append(session.PartReasoning, p))
}

// flushHeld appends the held reasoning.
func (g *generation) flushHeld() bool {
	g.shown = true
	held := g.held
	g.held = g.held[:0]
	return g.append(session.PartReasoning, held)
}

// forget drops the reasoning held from a call that failed.
func (g *generation) forget() {
	g.size -= len(g.held)
	g.held, g.shown, g.thought = g.held[:0], false, false
}

// append appends p to the reply, after a mark if it begins a part. It returns false when
// the text has ended.
func (g *generation) append(part session.Part, p []byte) bool {
	if len(p) == 0 {
		return g.r.End() == nil
	}
	if part != g.part {
		g.part = part
		g.marked = append(session.AppendMark(g.marked[:0], part), p...)
		p = g.marked
	}
	return g.r.Append(p)
}

// appendError is the error, after an append, that makes the model's call stop; nil: go on.
func (g *generation) appendError(appended bool) error {
	switch {
	case !appended:
		return errTextEnded
	case g.full:
		return errReplyFull
	}
	return nil
}

// truncate returns as much of p as the reply may have, as valid UTF-8.
func (g *generation) truncate(p []byte) []byte {
	if !utf8.Valid(p) {
		p = bytes.ToValidUTF8(p, []byte("\uFFFD"))
	}
	if most := g.h.cfg.Limits.ReplyBytes; most > 0 && g.size+len(p) > most {
		g.full = true
		p = bytes.ToValidUTF8(p[:max(0, most-g.size)], nil) // ends no character early
	}
	g.size += len(p)
	return p
}
