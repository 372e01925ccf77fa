package filestore

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// commitRecord is a change, in a frame of kindCommit, or all of a conversation,
// in one of kindState. What the checks of a commit need stands before the head,
// which is JSON; of a conversation's heads only the last is ever decoded.
type commitRecord struct {
	id      uuid.UUID
	at      uint64 // seconds since the process began
	was     string // version that it was made of; "": there was nothing. Not of a state
	version string
	reply   uuid.UUID // the running reply; nil: none
	fence   string
	had     int // Change.Had and Has. Of a state: -1
	has     int
	head    []byte
	adds    int    // messages that follow
	rest    reader // at the first of them; after them, in a state, is the reply's text
}

// appendHead appends a head as JSON, without what stands before it, without its
// connection, which ends with the process, and, where it is not whole, without
// what never changes.
func appendHead(buf []byte, h session.Head, whole bool) ([]byte, error) {
	h.Version, h.Conn = "", nil
	if !whole {
		h.Born, h.Owner, h.Key, h.Created = "", "", uuid.Nil, time.Time{}
	}
	if h.Running != nil {
		r := *h.Running
		r.Reply, r.Fence = uuid.Nil, ""
		h.Running = &r
	}
	b, err := json.Marshal(&h)
	if err != nil {
		return buf, fmt.Errorf("failed to encode a head: %w", err)
	}
	return appendBlock(buf, b), nil
}

// decodeHead returns the head of a conversation of which first is the first head
// and last the last.
func decodeHead(first, last []byte, version string, reply uuid.UUID, fence string) (session.Head, error) {
	var whole, h session.Head
	if err := json.Unmarshal(first, &whole); err != nil {
		return h, fmt.Errorf("failed to decode a head: %w", err)
	}
	h.Born, h.Owner, h.Key, h.Created = whole.Born, whole.Owner, whole.Key, whole.Created
	if err := json.Unmarshal(last, &h); err != nil {
		return h, fmt.Errorf("failed to decode a head: %w", err)
	}
	h.Version = version
	if h.Running != nil {
		h.Running.Reply, h.Running.Fence = reply, fence
	}
	return h, nil
}

// appendCommit appends a frame of a change. stored is how much of the ended
// reply's content the log has as its text.
func appendCommit(buf []byte, at uint64, id uuid.UUID, was string, ch *session.Change, stored int) (_ []byte, err error) {
	start, buf := beginFrame(buf, kindCommit)
	buf = appendBlock(binary.AppendUvarint(append(buf, id[:]...), at), was)
	buf = appendNames(buf, &ch.Head)
	buf = binary.AppendUvarint(buf, uint64(max(ch.Had, -1)+1))
	buf = binary.AppendUvarint(buf, uint64(max(ch.Has, 0)))
	if buf, err = appendHead(buf, ch.Head, was == ""); err != nil {
		return buf[:start], err
	}
	buf = binary.AppendUvarint(buf, uint64(len(ch.Add)))
	for i := range ch.Add {
		m := &ch.Add[i]
		part := 0
		if m.Role == session.Assistant {
			part = stored
		}
		buf = appendMessage(buf, m, ch.Version, part)
	}
	return closeFrame(buf, start)
}

// appendState appends a frame of all that there is of a conversation. text is its
// running reply's, as far as that is stored.
func appendState(buf []byte, at uint64, id uuid.UUID, version string, h session.Head, messages []session.Message, text string) (_ []byte, err error) {
	start, buf := beginFrame(buf, kindState)
	buf = binary.AppendUvarint(append(buf, id[:]...), at)
	h.Version = version
	buf = appendNames(buf, &h)
	if buf, err = appendHead(buf, h, true); err != nil {
		return buf[:start], err
	}
	buf = binary.AppendUvarint(buf, uint64(len(messages)))
	for i := range messages {
		buf = appendMessage(buf, &messages[i], version, 0)
	}
	return closeFrame(appendBlock(buf, text), start)
}

func closeFrame(buf []byte, start int) ([]byte, error) {
	if len(buf)-start-frameHeader > maxPayload {
		return buf[:start], fmt.Errorf("%w: a frame would be too long", session.ErrFull)
	}
	endFrame(buf, start)
	return buf, nil
}

// fenceSum is a short name of a fence, for append frames.
func fenceSum(fence string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(fence)) // never fails
	return h.Sum64()
}

// appendNames appends the version, the running reply and its fence.
func appendNames(buf []byte, h *session.Head) []byte {
	buf = appendBlock(buf, h.Version)
	if h.Running == nil {
		return append(buf, 0)
	}
	reply, fence := running(h)
	return appendBlock(append(append(buf, 1), reply[:]...), fence)
}

// running returns the reply that runs, and its fence.
func running(h *session.Head) (reply uuid.UUID, fence string) {
	if h.Running == nil {
		return uuid.Nil, ""
	}
	return h.Running.Reply, h.Running.Fence
}

func appendDelete(buf []byte, at uint64, id uuid.UUID, was string) []byte {
	start, buf := beginFrame(buf, kindDelete)
	buf = appendBlock(binary.AppendUvarint(append(buf, id[:]...), at), was)
	endFrame(buf, start)
	return buf
}

func readCommit(r reader) (c commitRecord, ok bool) {
	c.id, c.at, c.was = readID(&r), r.uvarint(), r.string()
	c.readNames(&r)
	c.had = r.length() - 1
	c.has = r.length()
	c.readRest(r)
	return c, !c.rest.failed
}

func readState(r reader) (c commitRecord, ok bool) {
	c.id, c.at, c.had = readID(&r), r.uvarint(), -1
	c.readNames(&r)
	c.readRest(r)
	return c, !c.rest.failed
}

func (c *commitRecord) readNames(r *reader) {
	c.version = r.string()
	if r.byte() != 0 {
		c.reply, c.fence = readID(r), r.string()
	}
}

func (c *commitRecord) readRest(r reader) {
	c.head, c.adds = r.block(), r.count()
	c.rest = r
}

func readID(r *reader) (id uuid.UUID) {
	copy(id[:], r.bytes(len(id)))
	return id
}

// The flags of a message.
const (
	isAssistant = 1 << iota
	hasVersion  // of another change than the frame's
	hasReply    // fields that only a reply has
	hasUsage
	hasEpochs
	hasText // its content begins with the running reply's text
)

// appendMessage appends a message of a frame with this version. Its content's
// first part bytes are the running reply's text.
func appendMessage(buf []byte, m *session.Message, version string, part int) []byte {
	flags := byte(0)
	set := func(flag byte, on bool) {
		if on {
			flags |= flag
		}
	}
	set(isAssistant, m.Role == session.Assistant)
	set(hasVersion, m.Version != version)
	set(hasReply, m.FinishReason != "" || m.Model != "" || m.Estimate != 0 || m.Failure != "" || m.Retry != 0)
	set(hasUsage, m.Usage != nil)
	set(hasEpochs, len(m.Epochs) > 0)
	set(hasText, part > 0)
	buf = append(append(buf, flags), m.ID[:]...)
	buf = binary.AppendUvarint(buf, uint64(m.Seq))
	buf = binary.AppendUvarint(buf, uint64(m.Parent))
	buf = binary.AppendVarint(buf, m.Timestamp.Unix())
	buf = binary.AppendUvarint(buf, uint64(m.Timestamp.Nanosecond()))
	if flags&hasVersion != 0 {
		buf = appendBlock(buf, m.Version)
	}
	if flags&hasReply != 0 {
		buf = appendBlock(appendBlock(appendBlock(buf, m.FinishReason), m.Model), m.Failure)
		buf = binary.AppendVarint(binary.AppendVarint(buf, int64(m.Estimate)), int64(m.Retry))
	}
	if flags&hasUsage != 0 {
		for _, n := range []int{m.Usage.PromptTokens, m.Usage.CompletionTokens, m.Usage.TotalTokens, m.Usage.CachedTokens} {
			buf = binary.AppendVarint(buf, int64(n))
		}
	}
	if flags&hasEpochs != 0 {
		buf = binary.AppendUvarint(buf, uint64(len(m.Epochs)))
		for _, e := range m.Epochs {
			buf = binary.AppendVarint(binary.AppendVarint(buf, e.N), int64(e.At))
		}
	}
	if flags&hasText != 0 {
		buf = binary.AppendUvarint(buf, uint64(part))
	}
	return appendBlock(buf, m.Content[part:])
}

// readMessage reads a message of a frame with this version. text is the running
// reply's.
func (r *replay) readMessage(p *reader, version string, text []byte) (m session.Message, ok bool) {
	flags := p.byte()
	m.Role, m.Version = session.User, version
	if flags&isAssistant != 0 {
		m.Role = session.Assistant
	}
	m.ID, m.Seq, m.Parent = readID(p), int64(p.uvarint()), int64(p.uvarint())
	m.Timestamp = time.Unix(p.varint(), int64(p.uvarint())).UTC()
	if flags&hasVersion != 0 {
		m.Version = p.string()
	}
	if flags&hasReply != 0 {
		m.FinishReason, m.Model, m.Failure = r.shared(p.block()), r.shared(p.block()), r.shared(p.block())
		m.Estimate, m.Retry = int(p.varint()), int(p.varint())
	}
	if flags&hasUsage != 0 {
		m.Usage = &session.Usage{
			PromptTokens: int(p.varint()), CompletionTokens: int(p.varint()), TotalTokens: int(p.varint()), CachedTokens: int(p.varint()),
		}
	}
	if flags&hasEpochs != 0 {
		for range p.count() {
			m.Epochs = append(m.Epochs, session.Epoch{N: p.varint(), At: int(p.varint())})
		}
	}
	if flags&hasText == 0 {
		m.Content = p.string()
		return m, !p.failed
	}
	part := p.length()
	if part > len(text) {
		return m, false
	}
	tail := p.block()
	var b strings.Builder
	b.Grow(part + len(tail))
	b.Write(text[:part])
	b.Write(tail)
	m.Content = b.String()
	return m, !p.failed
}

// shared returns the string of b, which many messages have.
func (r *replay) shared(b []byte) string {
	if s, ok := r.strings[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(r.strings) < 1<<10 {
		r.strings[s] = s
	}
	return s
}
