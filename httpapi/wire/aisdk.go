package wire

import (
	"strconv"

	"github.com/google/uuid"

	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// AISDK is the AI SDK's UI message stream over server-sent events.
type AISDK struct {
	Resumed bool // the client has what is before the place at which the stream begins
	// Shown is what a page shows of the reply (nil: nothing): it is sent only the rest, as
	// parts of their own. If it shows another text it is sent no text, and if it shows
	// other reasoning no reasoning.
	Shown  *session.Shown
	passed session.Shown // what was left out since the page shows it
	begun  bool
	sent   int          // how much of the reply the client has
	open   session.Part // that was started and not ended; 0: none
}

// Start implements reply.Encoder. Text that was sent cannot be taken back in this stream, so
// then the client has to reconnect.
func (e *AISDK) Start(out *reply.Outbox, r *reply.Reply, at *session.Cursor) error {
	offset := at.Off()
	switch {
	case e.begun && offset >= e.sent: // another writer continues there; only marks are between
		return nil
	case e.begun, !e.Resumed && offset > 0:
		return reply.ErrCut
	case offset == 0:
		e.event(out, r, 0, startChunk(r))
	default: // the client has begun the part
		e.open = at.Part()
	}
	e.begun, e.sent = true, offset
	return nil
}

// begin begins a part at an offset, and ends the one before.
func (e *AISDK) begin(out *reply.Outbox, r *reply.Reply, part session.Part, offset int) {
	e.end(out, r)
	e.open = part
	e.event(out, r, offset, chunk{Type: partName(part) + "-start", ID: r.Reply})
}

func (e *AISDK) end(out *reply.Outbox, r *reply.Reply) {
	if e.open != 0 {
		e.event(out, r, e.sent, chunk{Type: partName(e.open) + "-end", ID: r.Reply})
	}
	e.open = 0
}

// behindShown returns the bytes of p, of a part, that follow what the page shows. A page may
// leave out reasoning before the text that it shows.
func (e *AISDK) behindShown(part session.Part, p []byte) []byte {
	passed, shown := &e.passed.Text, e.Shown.Text
	if part == session.PartReasoning {
		passed, shown = &e.passed.Thought, e.Shown.Thought
	}
	n := min(shown.Bytes-passed.Bytes, len(p))
	*passed = passed.Add(p[:n])
	if *passed != shown || e.passed.Text != e.Shown.Text {
		return nil
	}
	return p[n:]
}

// appendID opens an event, whose id is a place in the reply.
func appendID(b []byte, r *reply.Reply, offset int) []byte {
	b = appendUUID(append(b, "id: "...), r.Reply)
	if epoch := r.Epoch(); epoch != 0 {
		b = strconv.AppendInt(append(b, ':'), epoch, 10)
	}
	return append(strconv.AppendInt(append(b, ':'), int64(offset), 10), "\ndata: "...)
}

func (e *AISDK) event(out *reply.Outbox, r *reply.Reply, offset int, c chunk) {
	out.End(append(AppendJSON(appendID(out.Begin(), r, offset), c), "\n\n"...))
}

// Text implements reply.Encoder. This is the token path: it allocates nothing.
func (e *AISDK) Text(out *reply.Outbox, r *reply.Reply, at *session.Cursor, p []byte) {
	part, offset := at.Part(), at.Off()
	if e.Shown != nil {
		if p = e.behindShown(part, p); len(p) == 0 {
			e.sent = offset
			return
		}
	}
	if part != e.open {
		e.begin(out, r, part, offset-len(p))
	}
	e.sent = offset
	b := append(append(append(appendID(out.Begin(), r, offset), `{"type":"`...), partName(part)...), `-delta","id":"`...)
	b = append(appendUUID(b, r.Reply), `","delta":"`...)
	out.End(append(appendText(b, p), "\"}\n\n"...))
}

// End implements reply.Encoder.
func (e *AISDK) End(out *reply.Outbox, r *reply.Reply, end *session.TextEnd) error {
	e.end(out, r)
	c := endChunk(end)
	c.Code, c.ID, c.RetryAfter = "", uuid.Nil, 0
	b := append(appendUUID(append(out.Begin(), "id: "...), r.Reply), ":end\ndata: "...)
	out.End(append(AppendJSON(b, c), "\n\ndata: [DONE]\n\n"...))
	return nil
}
