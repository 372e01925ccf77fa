package httpapi_test

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
)

// stalledReaders begin replies of 1 MB, which wait behind their first token, and
// read nothing more.
func stalledReaders(t *testing.T, x *exactServer, n int) (pages []*refPage, socks []*refSocket, plans []*exactPlan) {
	t.Helper()
	for i := range n {
		plan, said := longPlan(rand.New(rand.NewPCG(uint64(i), 9)), 1<<20), uuid.NewString()
		x.plans.Store(said, plan)
		plan.gate(1)
		t.Cleanup(plan.release)
		session, err := x.open()
		if err != nil {
			t.Fatal(err)
		}
		p := &refPage{session: session}
		sock := x.connect(t, p, refDial{receive: 64 << 10})
		if err := sock.say(uuid.NewString(), said); err != nil {
			t.Fatal(err)
		}
		readUntil(t, p, sock, func(f *refFrame) bool { return f.Type == "start" })
		pages, socks, plans = append(pages, p), append(socks, sock), append(plans, plan)
	}
	return pages, socks, plans
}

// heap is how much the process has on its heap that is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held is gone with the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestExactStalled has readers that take nothing during replies of 1 MB. The
// process holds the replies and little else, others are answered, and the
// readers catch up exactly.
func TestExactStalled(t *testing.T) {
	x := newExactServer(t, exactOptions{sendBuffer: 64 << 10})
	const readers = 8
	pages, socks, plans := stalledReaders(t, x, readers)
	before := heap()
	for _, plan := range plans {
		plan.release()
	}
	for i, p := range pages {
		if _, err := x.settled(p.session); err != nil {
			t.Fatalf("reader %d: %v", i, err)
		}
	}
	grown, most := heap()-before, int64(readers*2<<20)
	t.Logf("%d replies of 1 MB cost %d bytes", readers, grown)
	if grown > most {
		t.Errorf("%d replies of 1 MB for readers that take nothing cost %d bytes, want at most %d", readers, grown, most)
	}
	session, err := x.open()
	if err != nil {
		t.Fatal(err)
	}
	x.converse(t, session, uuid.NewString(), longPlan(rand.New(rand.NewPCG(1, 10)), 1<<10))
	for i, p := range pages {
		readUntil(t, p, socks[i], func(f *refFrame) bool { return f.Type == "finish" })
		if got := p.last().Content; got != plans[i].text {
			t.Errorf("reader %d: %s", i, textDiff(got, plans[i].text))
		}
	}
}

// TestExactCutOff has the hub cut such a reader off, without a close frame,
// since none could be delivered. It resumes exactly.
func TestExactCutOff(t *testing.T) {
	x := newExactServer(t, exactOptions{sendBuffer: 64 << 10, writeTimeout: 500 * time.Millisecond})
	pages, socks, plans := stalledReaders(t, x, 1)
	p, plan := pages[0], plans[0]
	plan.release()
	if _, err := x.settled(p.session); err != nil {
		t.Fatal(err)
	}
	x.awaitCut(t, socks[0], p)
	if last := p.last(); !last.partial || len(last.text()) == len(plan.text) {
		t.Fatal("the reader got everything")
	}
	sock := x.connect(t, p, refDial{})
	readUntil(t, p, sock, func(f *refFrame) bool {
		return p.last().Role == "assistant" && !p.last().partial
	})
	if got := p.last().Content; got != plan.text {
		t.Error(textDiff(got, plan.text))
	}
}

// awaitCut waits, reading nothing, until the hub has closed the connection, and
// then reads what was still on its way: no close frame may be there.
func (x *exactServer) awaitCut(t *testing.T, s *refSocket, p *refPage) {
	t.Helper()
	eventually(t, "the hub cuts a reader off that takes nothing", func() bool {
		_, gone := x.ended.Load(s.conn.LocalAddr().String())
		return gone
	})
	for {
		raw, err := s.read()
		var closed *refClosed
		if errors.As(err, &closed) {
			t.Fatalf("a close frame, %d, for one who takes nothing", closed.code)
		}
		if err != nil {
			return
		}
		if _, err := p.take(raw); err != nil {
			t.Fatal(err)
		}
	}
}
