package filestore

import (
	"hash/crc32"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// entry is what the log has of a conversation, as far as the next frame's checks need it. A
// running process and a replay check with the same methods.
type entry struct {
	version string // of the last change in the log; "": there is none
	reply   uuid.UUID
	fence   string
	text    int // length of the running reply's text, in bytes

	// Not for replay.
	sum    uint32 // of the text
	cut    bool   // the text was cut, so sum is not its sum
	stream uint64 // by which appends name the text; 0: none yet
	used   int64  // when its last use was journalled, in Unix seconds
	size   int64  // about how many bytes its messages and its text take in the log
	round  uint64 // journal.round when it last changed
}

// commit makes a change if it was made of what the log has. Errors:
// session.ErrConflict.
func (e *entry) commit(was, version string, reply uuid.UUID, fence string, had, has int) error {
	if was != e.version || had >= 0 && had != e.text {
		return session.ErrConflict
	}
	if reply != e.reply {
		e.text, e.sum, e.cut = 0, 0, false
	} else if had >= 0 && has < e.text {
		e.text, e.cut = has, true
	}
	if reply != e.reply || fence != e.fence {
		e.stream = 0
	}
	e.version, e.reply, e.fence = version, reply, fence
	return nil
}

// grow appends p to the text, which must have at bytes. Errors: session.ErrConflict.
func (e *entry) grow(at int, p []byte) error {
	if e.reply == uuid.Nil || at != e.text {
		return session.ErrConflict
	}
	e.text += len(p)
	e.sum = crc32.Update(e.sum, castagnoli, p)
	return nil
}

// stored returns how much of an ended reply's content the log has as its text.
func (e *entry) stored(ch *session.Change) int {
	for i := range ch.Add {
		m := &ch.Add[i]
		if m.Role == session.Assistant && m.ID == e.reply && ch.Had == e.text && ch.Has == len(m.Content) &&
			len(m.Content) >= e.text && !e.cut &&
			crc32.Checksum([]byte(m.Content[:e.text]), castagnoli) == e.sum {
			return e.text
		}
	}
	return 0
}

// weight is about what messages take in the log.
func weight(messages []session.Message) (n int64) {
	for i := range messages {
		n += perMessage + int64(len(messages[i].Content))
	}
	return n
}

const (
	perMessage = 150 // about what a message takes in the log besides its content
	perSession = 400 // and a conversation
)
