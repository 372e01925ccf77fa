package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	// DefaultTTL is how long a session lives after it was last used.
	DefaultTTL = 24 * time.Hour
	// emptyTTL is how long one lives in which nothing was said.
	emptyTTL = 5 * time.Minute
)

// Config says how a Manager works. The zero value of a field is its default.
type Config struct {
	TTL      time.Duration // how long a session lives after it was last used; 0: DefaultTTL
	Sessions int           // how many there may be; 0: any number. Not for stores that nodes share
	Bytes    int64         // how much memory they may take; 0: any. Not for stores that nodes share
	Logger   *slog.Logger  // nil: slog.Default()
}

// Kind is what a store tells the Manager about itself.
type Kind struct {
	// Node names this process among those that use the store. It is random, so
	// that a process that starts anew is another.
	Node string
	// Alone: no other process uses the store, and what the Manager has is all
	// there is. Its backend finds the conversations by Manager.Each.
	Alone bool
	// Instant: an Append takes no time worth a goroutine of its own.
	Instant bool
	// Serial: one Append at a time.
	Serial bool
}

// Events hears what other nodes did, and what goes by itself. Its methods must
// not block and must not call the Manager; they may be called more often than
// needed.
type Events interface {
	// Changed: the conversation is to be looked at again.
	Changed(ref Ref)
	// Gone: the session was deleted or has expired.
	Gone(ref Ref)
	// Taken: another connection has the conversation; this one is to close.
	Taken(ref Ref, connection uuid.UUID)
	// Orphaned: nobody writes the running reply. Take goes on with it.
	Orphaned(ref Ref, reply uuid.UUID)
	// Stopping: somebody asks that the reply, which is written here, be ended.
	Stopping(ref Ref, reply uuid.UUID)
}

// Manager is the one door to the sessions. All its methods may be called
// concurrently.
type Manager struct {
	b      Backend
	kind   Kind
	cfg    Config
	log    *slog.Logger
	events Events // set before Run

	appends *queue // of texts that are written here
	reads   *queue // of those that are followed

	cells sync.Map     // uuid.UUID → *cell
	count atomic.Int64 // sessions, where the store is ours alone
	bytes atomic.Int64 // of them, in memory

	mu    sync.Mutex // guards what follows; taken last
	used  map[uuid.UUID]bool
	full  time.Time           // until when there is no room, as far as is known
	texts map[uuid.UUID]*Text // by conversation: the text of its cell

	missed atomic.Bool // hints may have been: what is held is to be looked at

	work sync.WaitGroup // looks that nobody waits for; Run does
}

// cell is one conversation here.
type cell struct {
	id   uuid.UUID
	lock chan struct{} // one slot. Its owner owns what follows, also across a round trip

	c       *Conversation // nil: not loaded, or not there. Without Born: the grave of one
	size    int64         // what it counts in Manager.bytes
	text    *Text         // of the running reply, if it is written or followed here
	follows int           // Follow less Unfollow of that
	holds   int           // Hold less Release, of the incarnation that is here
	expires time.Time     // where the store is ours alone
	loaded  time.Time     // when it was last needed, elsewhere; where the store is ours alone, when that was last told
	late    bool          // the running reply was left alone for long: it is only to be ended
	gone    bool          // it is no longer in cells
}

// NewManager returns the engine of a store; it works before Run, but for what
// other nodes do and what goes by itself.
func NewManager(b Backend, kind Kind, cfg Config) *Manager {
	if cfg.TTL <= 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	m := &Manager{
		b: b, kind: kind, cfg: cfg, log: cfg.Logger, events: noEvents{},
		used: make(map[uuid.UUID]bool), texts: make(map[uuid.UUID]*Text),
	}
	m.appends = newQueue(b.Append, m.appended, kind.Serial)
	m.reads = newQueue(b.Read, m.wasRead, false)
	m.reads.unused = kind.Alone // what is here is all there is
	return m
}

// Watch says who hears what happens. It is called once, before Run.
func (m *Manager) Watch(e Events) { m.events = e }

// Outlives tells whether what is stored outlives this process: then a running reply
// can be left to another.
func (m *Manager) Outlives() bool { return !m.kind.Instant }

// Ready tells whether the store can be reached now.
func (m *Manager) Ready(ctx context.Context) error { return m.b.Ready(ctx) }

// acquire returns the cell of id, locked, made if there is none.
func (m *Manager) acquire(ctx context.Context, id uuid.UUID) (*cell, error) {
	for {
		v, ok := m.cells.Load(id)
		if !ok {
			v, _ = m.cells.LoadOrStore(id, &cell{id: id, lock: make(chan struct{}, 1)})
		}
		e := v.(*cell)
		select {
		case e.lock <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !e.gone {
			m.expire(e)
			return e, nil
		}
		<-e.lock
	}
}

// release unlocks a cell. One that is of no use goes.
func (m *Manager) release(e *cell) {
	m.adoptIfOrphaned(e)
	idle := e.text == nil && e.holds == 0
	if idle && (e.c == nil || e.c.Born == "" && m.kind.Alone) {
		e.gone = true
		m.cells.CompareAndDelete(e.id, e)
	}
	<-e.lock
}

// step has f so: f says what is still missing of the conversation, until nothing
// is. A refusal counts only of what the store has now. f may look at the cell,
// and is called with a conversation of the incarnation that ref names.
// Errors: f's; ErrNotFound; ErrFull; ErrUnavailable; ctx's.
func (m *Manager) step(ctx context.Context, ref Ref, f func(e *cell) (*Change, error)) error {
	e, err := m.acquire(ctx, ref.ID)
	if err != nil {
		return err
	}
	defer m.release(e)
	return m.stepIn(ctx, e, func() (*Change, error) {
		if e.c == nil || ref.Born == "" || e.c.Born != ref.Born {
			return nil, ErrNotFound
		}
		ch, err := f(e)
		m.use(e)
		return ch, err
	})
}

// errStale: the change is a conflict, and the conversation is as it was: it is the
// length of the running reply's text that is another.
var errStale = fmt.Errorf("%w: the text has another length", ErrConflict)

// stepIn is step in a cell that is locked, whatever is there. Errors as there,
// and errStale.
func (m *Manager) stepIn(ctx context.Context, e *cell, f func() (*Change, error)) error {
	for fresh := m.kind.Alone; ; fresh = true {
		ch, err := f()
		if ch == nil && fresh {
			return err
		}
		if ch != nil {
			err := m.commit(ctx, e, ch)
			if err == nil {
				fresh = true
				continue
			}
			if !errors.Is(err, ErrConflict) {
				return err
			}
		}
		was := version(e.c)
		if err := m.load(ctx, e); err != nil {
			return err
		}
		if ch != nil && version(e.c) == was {
			return errStale
		}
	}
}

func version(c *Conversation) string {
	if c == nil {
		return ""
	}
	return c.Version
}

// load brings the cell what the store has.
func (m *Manager) load(ctx context.Context, e *cell) error {
	before := e.c
	c, err := m.b.Load(ctx, e.id, before)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("failed to load a conversation: %w", err)
	}
	m.set(e, c)
	m.claimChanged(e, before)
	return nil
}

// commit makes a change in the store and then here.
func (m *Manager) commit(ctx context.Context, e *cell, ch *Change) error {
	made := e.c == nil || e.c.Born == ""
	if made && m.kind.Alone {
		if err := m.makeRoom(e); err != nil {
			return err
		}
	}
	if err := m.b.Commit(ctx, e.id, e.c, ch); err != nil {
		if made && m.kind.Alone {
			m.count.Add(-1)
		}
		return fmt.Errorf("failed to commit a change: %w", err)
	}
	c := e.c
	if made {
		c = new(Conversation)
	}
	c.apply(ch)
	m.set(e, c)
	return nil
}

// set notes what stands, and what that means for the text that is here.
func (m *Manager) set(e *cell, c *Conversation) {
	if before := e.c; before != nil && before.Born != "" && (c == nil || c.Born != before.Born) {
		e.holds = 0
		m.events.Gone(Ref{e.id, before.Born})
	}
	e.c = c
	m.weigh(e)
	m.reconcile(e)
}

// there tells whether the cell has a session.
func (e *cell) there() bool { return e.c != nil && e.c.Born != "" }

func (e *cell) ref() Ref { return Ref{e.id, e.c.Born} }

// fenceNode is the node that a fence belongs to; "": it was yielded.
func fenceNode(fence string) string {
	node, _, _ := strings.Cut(fence, " ")
	return node
}

// newFence names a turn, or a take, of this node.
func (m *Manager) newFence(name string) string { return m.kind.Node + " " + name }

// Each calls f with every conversation that is here, locked, and the text of its
// running reply as far as it is stored. It is for the backend of a store that
// nobody shares. An error of f's ends it.
func (m *Manager) Each(ctx context.Context, f func(id uuid.UUID, c *Conversation, text *Text) error) error {
	var failed error
	m.cells.Range(func(id, _ any) bool {
		e, err := m.acquire(ctx, id.(uuid.UUID))
		if err != nil {
			failed = err
			return false
		}
		if e.there() {
			failed = f(e.id, e.c, e.text)
		}
		m.release(e)
		return failed == nil
	})
	return failed
}

// Restored is a conversation as a store that nobody shares finds it at its start.
type Restored struct {
	ID   uuid.UUID
	Head Head
	Log  []Message
	Text []byte    // of the running reply, as far as it was written
	Late bool      // nobody has written that for so long that it is only to be ended
	Used time.Time // when it was last used
}

// Restore takes what a store that nobody shares has found, and returns what of
// that has expired, which it does not take. It is called before anything else.
// Errors: a log that its head does not fit.
func (m *Manager) Restore(all iter.Seq[Restored]) (expired []uuid.UUID, err error) {
	now := time.Now()
	for r := range all {
		c, err := NewConversation(r.Head, r.Log)
		if err != nil {
			return nil, fmt.Errorf("failed to restore session %s…: %w", r.ID.String()[:8], err)
		}
		e := &cell{id: r.ID, lock: make(chan struct{}, 1), c: c, late: r.Late}
		e.loaded = r.Used
		e.expires = r.Used.Add(m.ttl(c))
		if c.Running == nil && now.After(e.expires) {
			expired = append(expired, r.ID)
			continue
		}
		if c.Running != nil {
			e.text = newText(e.ref(), c.Running, false)
			p := r.Text[:wholeRunes(r.Text)]
			e.text.append(p)
			e.text.Saved(len(r.Text), false)
			e.text.safe.Store(int64(len(p)))
		}
		m.cells.Store(r.ID, e)
		m.count.Add(1)
		m.weigh(e)
	}
	return expired, nil
}

// NewConversation returns the conversation that a store has in this head and log.
// Errors: they do not fit together.
func NewConversation(h Head, log []Message) (*Conversation, error) {
	c := new(Conversation)
	if len(log) > 0 {
		c.messages, c.byID = make([]Message, 0, len(log)), make(map[uuid.UUID][]int, len(log))
	}
	if h.Count != len(log) {
		return nil, fmt.Errorf("its head counts %d messages, its log has %d", h.Count, len(log))
	}
	for i := 1; i < len(log); i++ {
		if log[i].Seq <= log[i-1].Seq || log[i].Parent >= log[i].Seq {
			return nil, fmt.Errorf("message %d of its log is out of order", i)
		}
	}
	c.apply(&Change{Head: h, Add: log})
	if c.tip() != h.Tip {
		return nil, errors.New("its tip is not in its log")
	}
	return c, nil
}

// Grave is what a deletion leaves for a while, so that a creation that comes late
// does not undo it. Only its version counts.
func Grave(version string) *Conversation { return &Conversation{Head: Head{Version: version}} }

// Known tells a Backend what the Manager has of a conversation: its version, how
// many messages, and the version that added the last of them. A nil one is "".
func (c *Conversation) Known() (version string, messages int, last string) {
	if c == nil {
		return "", 0, ""
	}
	if n := len(c.messages); n > 0 {
		return c.Version, n, c.messages[n-1].Version
	}
	return c.Version, 0, ""
}

// With returns the conversation that has c's first n messages and those of a log
// behind them, under this head. c stays as it is. Errors: as for NewConversation.
func (c *Conversation) With(h Head, n int, log []Message) (*Conversation, error) {
	if n == 0 {
		return NewConversation(h, log)
	}
	return NewConversation(h, append(c.messages[:n:n], log...))
}

// Messages returns all messages that there are, in the order of their Seq.
func (c *Conversation) Messages() []Message { return c.messages }

type noEvents struct{}

func (noEvents) Changed(Ref)             {}
func (noEvents) Gone(Ref)                {}
func (noEvents) Taken(Ref, uuid.UUID)    {}
func (noEvents) Orphaned(Ref, uuid.UUID) {}
func (noEvents) Stopping(Ref, uuid.UUID) {}
