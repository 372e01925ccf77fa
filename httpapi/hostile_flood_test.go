package httpapi_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// honest is a client that asks and checks every byte of every answer.
type honest struct {
	s    *refSocket
	page refPage
}

func newHonest(addr string) (*honest, error) {
	s, err := dialRefSocket(addr, "/ws", refDial{})
	if err != nil {
		return nil, err
	}
	_ = s.conn.SetDeadline(time.Time{})
	h := &honest{s: s}
	h.page.connected(nil)
	raw, err := s.read()
	if err == nil {
		_, err = h.page.take(raw)
	}
	return h, err
}

// ask says something new and returns how long the whole answer took.
func (h *honest) ask() (time.Duration, error) {
	began, id := time.Now(), uuid.NewString()
	_ = h.s.conn.SetDeadline(began.Add(rigPatience))
	if err := h.s.say(id, "honest "+id); err != nil {
		return 0, err
	}
	for {
		raw, err := h.s.read()
		if err != nil {
			return 0, err
		}
		f, err := h.page.take(raw)
		switch {
		case err != nil:
			return 0, err
		case f.Type == "error":
			return 0, fmt.Errorf("refused: %s", raw)
		case f.Type != "finish":
			continue
		}
		if got, want := h.page.last().Content, "You said: honest "+id; got != want {
			return 0, fmt.Errorf("the reply is %q, want %q", got, want)
		}
		return time.Since(began), nil
	}
}

// memory is the live heap in bytes.
func memory() int64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestHostileClients: under each attack alone, and under all together with
// hundreds of half-open connections, an honest client gets every byte of every
// answer; afterwards memory and goroutines are what they were.
func TestHostileClients(t *testing.T) {
	r := besieged(t, forgetful)
	h, err := newHonest(r.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer h.s.close()
	ask := func(t *testing.T, n int) {
		t.Helper()
		for range n {
			if _, err := h.ask(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(t, 3)
	r.client.CloseIdleConnections()
	goroutines, heap := runtime.NumGoroutine(), memory()
	for _, a := range floods {
		t.Run(a.name, func(t *testing.T) {
			stop := a.run(r.addr())
			defer stop()
			ask(t, 10)
		})
	}
	t.Run("all at once", func(t *testing.T) {
		closeAll := halfOpen(r.addr(), 500)
		defer closeAll()
		var stops []func()
		for _, a := range floods {
			stops = append(stops, a.run(r.addr()))
		}
		ask(t, 2)
		for _, stop := range stops {
			stop()
		}
	})
	eventuallyIn(t, 3*rigPatience, "no goroutine is left of the attackers'", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	// What they said is stored for as long as a session lives, and logged here.
	kept := int64(len(r.log.String()))
	t.Logf("heap: %d KiB before, %d KiB after, of which the log %d KiB", heap>>10, memory()>>10, kept>>10)
	if grown := memory() - heap - 3*kept; grown > 16<<20 {
		t.Errorf("the heap has grown by %d MiB", grown>>20)
	}
	if strings.Contains(r.log.String(), "panic") {
		t.Error("something panicked")
	}
}
