package redisstore

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// node is what a hub has of the store; it hears what the hub would.
type node struct {
	*session.Manager
	store *Store
	log   *lockedBuffer
	told  chan string // "gone id", "changed id", "taken id connection", "orphaned id reply", "stopping id reply"
	stop  func()      // as a kill would: nothing is given up
}

// newNode returns a node on a Redis, which runs until the test ends.
func newNode(t testing.TB, cfg Config) *node {
	t.Helper()
	n := openNode(t, cfg)
	n.run(t)
	return n
}

// openNode returns a node that does not run yet.
func openNode(t testing.TB, cfg Config) *node {
	t.Helper()
	n := &node{log: &lockedBuffer{}, told: make(chan string, 1000)}
	cfg.Logger = slog.New(slog.NewTextHandler(n.log, nil))
	store, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n.store = store
	store.limit = 15 * time.Second // the machine may be busy with other tests
	// A cluster is known by its many addresses here: miniredis pretends to be one,
	// and would be reached past a proxy.
	store.option.ForceSingleClient = !strings.Contains(cfg.URL, ",")
	n.Manager = session.NewManager(store, store.Kind(), session.Config{TTL: cfg.TTL, Logger: cfg.Logger})
	n.Watch(n)
	return n
}

func (n *node) run(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	n.stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
		n.store.Close()
	})
	t.Cleanup(n.stop)
}

func (n *node) tell(words ...string) {
	select {
	case n.told <- strings.Join(words, " "):
	default: // nobody cares
	}
}

func (n *node) Changed(ref session.Ref) { n.tell("changed", ref.ID.String()) }
func (n *node) Gone(ref session.Ref)    { n.tell("gone", ref.ID.String()) }
func (n *node) Taken(ref session.Ref, conn uuid.UUID) {
	n.tell("taken", ref.ID.String(), conn.String())
}
func (n *node) Orphaned(ref session.Ref, reply uuid.UUID) {
	n.tell("orphaned", ref.ID.String(), reply.String())
}
func (n *node) Stopping(ref session.Ref, reply uuid.UUID) {
	n.tell("stopping", ref.ID.String(), reply.String())
}

// await waits until the node is told something.
func (n *node) await(t testing.TB, words ...string) {
	t.Helper()
	want := strings.Join(words, " ")
	eventually(t, "the node is told "+want, func() bool {
		for {
			select {
			case got := <-n.told:
				if got == want {
					return true
				}
			default:
				return false
			}
		}
	})
}

// hears waits until the node has subscribed to its channel.
func (n *node) hears(t testing.TB) *node {
	t.Helper()
	eventually(t, "the node hears the others", n.store.wasSubscribed)
	return n
}

// hasty gives up as soon as a node of the hub does.
func (n *node) hasty() *node {
	n.store.limit = stepTimeout
	return n
}

// raw runs a command on the Redis of a node.
func (n *node) raw(t testing.TB, args ...string) rueidis.RedisResult {
	t.Helper()
	c, err := n.store.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var result rueidis.RedisResult
	for range 10 {
		result = c.Do(t.Context(), c.B().Arbitrary(args[0]).Keys(args[1:2]...).Args(args[2:]...).Build())
		if _, answered := rueidis.IsRedisErr(result.Error()); answered || result.Error() == nil {
			break // else the machine was too busy for its timeout
		}
	}
	return result
}

// key names one key of a conversation.
func key(ref session.Ref, which int) string { return keysOf(ref.ID)[which] }

// begin makes a conversation on n in which a reply is running.
func (n *node) begin(t testing.TB) session.Said {
	t.Helper()
	return n.ask(t, storetest.Made(t, n, session.Creation{ID: uuid.New()}))
}

// ask says something in a conversation, whose reply n then writes.
func (n *node) ask(t testing.TB, ref session.Ref) session.Said {
	t.Helper()
	said, err := n.Say(t.Context(), ref, storetest.Submit("hi"))
	if err != nil || !said.Started {
		t.Fatalf("say: %+v, %v", said, err)
	}
	return said
}

// follow returns a reply's text as n follows it.
func (n *node) follow(t testing.TB, ref session.Ref) *session.Text {
	t.Helper()
	text, err := n.Follow(t.Context(), ref)
	if err != nil || text == nil {
		t.Fatalf("follow: %v, %v", text, err)
	}
	return text
}

// reader is who follows a text, until it has left.
type reader struct{ left atomic.Bool }

func watchedBy(t *session.Text) *reader {
	r := new(reader)
	t.Watcher(r)
	return r
}

func (*reader) Grew(bool)        {}
func (*reader) Ended()           {}
func (*reader) Away()            {}
func (r *reader) Followed() bool { return !r.left.Load() }

// end ends a reply well.
func (n *node) end(t testing.TB, text *session.Text) {
	t.Helper()
	if err := n.Finish(t.Context(), text, session.Message{FinishReason: session.FinishStop}); err != nil {
		t.Fatal(err)
	}
}

// take takes a reply over once it is known that its writer is dead.
func (n *node) take(t testing.TB, ref session.Ref, reply uuid.UUID) session.Said {
	t.Helper()
	var said session.Said
	eventually(t, "the reply can be taken over", func() (ok bool) {
		var err error
		said, _, err = n.Take(t.Context(), ref, reply)
		return err == nil
	})
	return said
}

func (n *node) session(t testing.TB, ref session.Ref) session.Session {
	t.Helper()
	s, err := n.Get(t.Context(), ref, session.Position{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// last returns the last message of a conversation, as a node sees it.
func (n *node) last(t testing.TB, ref session.Ref) session.Message {
	t.Helper()
	s := n.session(t, ref)
	if len(s.Messages) == 0 {
		t.Fatal("there is no message")
	}
	return s.Messages[len(s.Messages)-1]
}

// shown waits until n bytes of a text may be shown.
func shown(t testing.TB, text *session.Text, n int) {
	t.Helper()
	eventually(t, "the text is stored", func() bool { return text.Safe() >= n })
}

// reads waits until a text, or that in which it goes on, is want.
func reads(t testing.TB, text *session.Text, want string) *session.Text {
	t.Helper()
	eventually(t, "the text is there", func() bool {
		text = latest(text)
		return text.Safe() == len(want)
	})
	if got := text.String(text.Safe()); got != want {
		t.Fatalf("the text has %d bytes, of which %d are right", len(got), common(got, want))
	}
	return text
}

// latest is the text in which one goes on.
func latest(text *session.Text) *session.Text {
	for end := text.End(); end != nil && end.Next != nil; end = text.End() {
		text = end.Next
	}
	return text
}

// ended waits until a text has ended, and returns how.
func ended(t testing.TB, text *session.Text) *session.TextEnd {
	t.Helper()
	eventually(t, "the text has ended", func() bool { return text.End() != nil })
	return text.End()
}

// passage returns n bytes of text that repeat nowhere.
func passage(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		b.WriteString([]string{"Wort ", "語", "🙂", "é"}[i%4])
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), i%7))
	}
	return b.String()
}

// boundary returns the end of the character that byte n of s lies in.
func boundary(s string, n int) int {
	for n < len(s) && s[n]&0xC0 == 0x80 {
		n++
	}
	return n
}

func common(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// subscribe hears a channel; the returned function gives the next message.
func (n *node) subscribe(t *testing.T, channel string) (next func(t testing.TB) string) {
	t.Helper()
	c, err := rueidis.NewClient(n.store.option)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard, done, stands := make(chan string), make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { cancel(); <-done; c.Close() })
	go func() {
		defer close(done)
		confirmed := rueidis.WithOnSubscriptionHook(ctx, func(rueidis.PubSubSubscription) { close(stands) })
		_ = c.Receive(confirmed, c.B().Subscribe().Channel(channel).Build(), func(m rueidis.PubSubMessage) {
			select {
			case heard <- m.Message:
			case <-ctx.Done():
			}
		})
	}()
	<-stands
	return func(t testing.TB) string {
		t.Helper()
		select {
		case m := <-heard:
			return m
		case <-time.After(time.Minute):
			t.Fatal("nothing is told")
			return ""
		}
	}
}
