package main

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// watch runs a load on its peer.
func watch(t *testing.T, r *run) *report {
	t.Helper()
	return watchDuring(t, r, nil)
}

// watchDuring also does something during the run, which lasts as long.
func watchDuring(t *testing.T, r *run, during func(context.Context, *run)) *report {
	t.Helper()
	rep := (&target{Upstream: "h1"}).observe(t.Context(), r, during)
	if t.Failed() {
		return rep
	}
	var b bytes.Buffer
	rep.table(&b)
	if told := strings.Contains(b.String(), "result   every"); told == rep.failed() {
		t.Errorf("failed: %v, and the table says\n%s", rep.failed(), &b)
	}
	return rep
}

func TestHonestHubPasses(t *testing.T) {
	_, r := serveFake(t, small())
	rep := watch(t, r)
	if rep.failed() || rep.Replies != 16 || rep.Conversations != 8 || rep.Tokens != 16*60 {
		t.Errorf("got %+v", rep)
	}
	if rep.First.Count != 16 || rep.Connect.Count != 8 || rep.TokensPerFrame <= 1 {
		t.Errorf("got %+v", rep)
	}
}

func TestDroppedConnectionsResume(t *testing.T) {
	l := small()
	l.Conversations, l.Drops, l.Tokens = 20, 3, 200
	h, r := serveFake(t, l)
	rep := watch(t, r)
	if rep.failed() || rep.Replies != 40 || rep.Drops < 20 {
		t.Errorf("got %+v", rep)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.resumed == 0 || rep.Resume.Count != int64(rep.Drops) {
		t.Errorf("%d resumes asked, %d timed, after %d drops", h.resumed, rep.Resume.Count, rep.Drops)
	}
}

func TestUnheardMessageIsSentAgain(t *testing.T) {
	_, r := serveFake(t, small(), func(h *fakeHub) { h.deaf = 5 })
	if rep := watch(t, r); rep.failed() || rep.Replies != 16 || rep.Lost != 5 {
		t.Errorf("got %+v", rep)
	}
}

// TestStoredText is for a model that is not ours: replies are held against
// what the hub has stored.
func TestStoredText(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		_, r := serveFake(t, small(), func(h *fakeHub) {
			if lossy {
				h.mangle = loseOne(30)
			}
		})
		r.unknown = true
		if rep := watch(t, r); rep.failed() != lossy || (rep.Inexact > 0) != lossy {
			t.Errorf("lossy %v: got %+v", lossy, rep)
		}
	}
}

// TestLossyHubFails shows that no way of getting a text wrong passes.
func TestLossyHubFails(t *testing.T) {
	for name, mangle := range map[string]func(string, int) (string, int){
		"a byte lost":                  func(s string, at int) (string, int) { return s[1:], at },
		"lost, and the offset with it": loseOne(5),
		"a delta lost": func(s string, at int) (string, int) {
			if at > 300 && at < 500 {
				return "", at
			}
			return s, at
		},
		"doubled":     func(s string, at int) (string, int) { return s + s[len(s)-1:], at + 1 },
		"changed":     func(s string, at int) (string, int) { return "X" + s[1:], at },
		"wrong place": func(s string, at int) (string, int) { return s, at + 1 },
		"reordered":   func(s string, at int) (string, int) { return s[13:] + s[:13], at },
	} {
		t.Run(name, func(t *testing.T) {
			_, r := serveFake(t, small(), func(h *fakeHub) { h.mangle = mangle })
			if rep := watch(t, r); !rep.failed() || rep.Inexact != 8 || rep.Replies != 0 {
				t.Errorf("got %+v", rep)
			}
		})
	}
}

// loseOne loses the character at the n-th byte of a reply, and lets every
// offset from there on agree with what was sent.
func loseOne(n int) func(string, int) (string, int) {
	return func(s string, at int) (string, int) {
		begin := at - len(s)
		if begin > n {
			return s, at - 1
		}
		if at > n {
			return s[:n-begin] + s[n-begin+1:], at - 1
		}
		return s, at
	}
}

func TestIdleConnectionsAreHeld(t *testing.T) {
	l := small()
	l.Idle = 30
	_, r := serveFake(t, l)
	if rep := watch(t, r); rep.failed() || rep.Memory.Connections != 30 || rep.Ready.Count != 38 {
		t.Errorf("got %+v", rep)
	}
}

// TestPatienceEnds is for a hub that never lets a message through.
func TestPatienceEnds(t *testing.T) {
	l := small()
	l.Patience = 100 * time.Millisecond
	_, r := serveFake(t, l, func(h *fakeHub) { h.deaf = 1 << 30 })
	if rep := watch(t, r); !rep.failed() || rep.Replies != 0 || len(rep.Failures) == 0 {
		t.Errorf("got %+v", rep)
	}
}

// TestIdleConnectionsAreMissed is for a hub that ends them.
func TestIdleConnectionsAreMissed(t *testing.T) {
	l := small()
	l.Idle, l.Conversations = 3, 0
	_, r := serveFake(t, l, func(h *fakeHub) { h.impatient = true })
	ended := func(tl *tally) int { return tl.sum().failures["idle connection ended: EOF"] }
	rep := watchDuring(t, r, func(ctx context.Context, r *run) {
		for late := time.Now().Add(r.Patience); ended(r.tally) < 3 && time.Now().Before(late) && pause(ctx, time.Millisecond); {
		}
	})
	if !rep.failed() || rep.Failures["idle connection ended: EOF"] != 3 {
		t.Errorf("got %+v", rep)
	}
}

// TestStormAmidConnecting has the peer go away before some have connected.
func TestStormAmidConnecting(t *testing.T) {
	l := small()
	l.Turns = 1
	var shy atomic.Int64
	_, r := serveFake(t, l, func(h *fakeHub) { h.shy = &shy })
	shy.Store(5)
	r.storm.Store(true)
	if rep := watch(t, r); rep.failed() || rep.Replies != 8 || rep.Absent != 5 || rep.Refused != 0 || rep.Connect.Count != 8 {
		t.Errorf("got %+v", rep)
	}
}

// TestFewerIdleConnectionsAreTold is for a peer that takes no more of them.
func TestFewerIdleConnectionsAreTold(t *testing.T) {
	l := small()
	l.Idle, l.Conversations = 9, 0
	var shy atomic.Int64
	_, r := serveFake(t, l, func(h *fakeHub) { h.shy = &shy })
	shy.Store(4)
	rep := watch(t, r)
	var b bytes.Buffer
	rep.table(&b)
	if !rep.failed() || !strings.Contains(b.String(), "only 5 of 9 could be opened") {
		t.Errorf("told as\n%s", &b)
	}
}

func TestRefusedConnectionsFail(t *testing.T) {
	_, r := serveFake(t, small())
	r.peer.base.Path = "/nothing"
	if rep := watch(t, r); !rep.failed() || rep.Failures["upgrade answered 404 Not Found"] != 8 {
		t.Errorf("got %+v", rep)
	}
}

func TestStormCutsAndResumes(t *testing.T) {
	l := small()
	l.Turns, l.Think = 2, 0
	_, r := serveFake(t, l)
	r.storm.Store(true)
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for tick := time.NewTicker(time.Millisecond); r.tally.counts().Replies == 0; {
			select {
			case <-tick.C:
			case <-t.Context().Done():
				return
			}
		}
		r.cut()
	}()
	rep := watch(t, r)
	<-cut
	if rep.failed() || rep.Replies != 16 || rep.Lost != 0 {
		t.Errorf("got %+v", rep)
	}
}

func TestLoadIsChecked(t *testing.T) {
	for _, l := range []load{
		{Conversations: -1, Turns: 1, Tokens: 1, Flush: 1, TokenBytes: 1},
		{Turns: 1, Tokens: 1, Flush: 1, TokenBytes: 1},
		{Conversations: 1, Tokens: 1, Flush: 1, TokenBytes: 1},
		{Conversations: 1, Turns: 1, Flush: 1, TokenBytes: 1},
		{Conversations: 1, Turns: 1, Tokens: 1, TokenBytes: 1},
		{Conversations: 1, Turns: 1, Tokens: 1, Flush: 1},
	} {
		if _, err := newRun(l); err == nil {
			t.Errorf("%+v passed", l)
		}
	}
}

func TestLoadFitsTheLimit(t *testing.T) {
	of := func(limit uint64) func(uint64) uint64 { return func(want uint64) uint64 { return min(limit, want) } }
	var told bytes.Buffer
	for _, c := range []struct {
		limit uint64
		idle  int
		want  int
	}{{2000, 1000, 1000}, {1200, 1000, 1000}, {700, 1000, 500}, {150, 1000, 0}, {150, 0, 0}} {
		told.Reset()
		l := load{Conversations: 50, Idle: c.idle}
		l.fit(of(c.limit), &told)
		if l.Idle != c.want || (told.Len() > 0) != (c.want < c.idle) {
			t.Errorf("limit %d, %d asked: %d idle, told %q", c.limit, c.idle, l.Idle, &told)
		}
	}
}

// TestManyAddresses: there are 28,000 ports to an address, as Linux has it.
func TestManyAddresses(t *testing.T) {
	for _, c := range []struct {
		url  string
		n    int
		from string // "": left to the system
	}{
		{"ws://127.0.0.1:1", 19_999, ""}, {"ws://127.0.0.1:1", 20_000, "127.0.0.2:0"}, {"ws://localhost:1", 59_999, "127.0.0.3:0"},
		{"wss://chat.example", 50_000, ""}, {"ws://[::1]:1", 50_000, ""},
	} {
		p, err := newPeer(c.url, false, "")
		if err != nil {
			t.Fatal(err)
		}
		from := ""
		if addr := (&run{peer: p}).dialer(c.n).LocalAddr; addr != nil {
			from = addr.String()
		}
		if from != c.from {
			t.Errorf("connection %d to %s comes from %q, want %q", c.n, c.url, from, c.from)
		}
	}
}
