package hub

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"lumos/backend/session"
)

// TestRegistryPanics: what panics on the hub's loop is its caller's panic, and the loop
// goes on.
func TestRegistryPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := New(Config{Sessions: session.NewMemory(session.Config{}), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = h.Run(ctx) }()
		for range 3 {
			err := h.rescue("a caller", session.Ref{}, func() error { return h.do(func() { panic("my darling secret") }) })
			if !panicked(err) {
				t.Errorf("the caller got %v", err)
			}
		}
		h.tell(session.Ref{}, func() { panic("my darling secret") })
		synctest.Wait()
		ran := false
		if err := h.do(func() { ran = true }); err != nil || !ran {
			t.Errorf("the loop does not go on: %v", err)
		}
		cancel()
		<-ended
		if n := strings.Count(log.String(), "stack="); n != 4 || strings.Contains(log.String(), "darling") {
			t.Errorf("%d stacks in the log, want 4:\n%s", n, log.String())
		}
	})
}
