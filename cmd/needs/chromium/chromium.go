// Package chromium gives tests a browser, and deals with there being none as package
// needs does.
//
// It is imported by tests alone.
package chromium

import (
	"errors"
	"testing"

	"github.com/chromedp/chromedp"

	"lumos/backend/cmd/needs"
	"lumos/backend/static/browsertest"
)

// Start launches a browser for one test, which is skipped when no Chromium is
// installed; with CI=true it fails.
func Start(t testing.TB, more ...chromedp.ExecAllocatorOption) *browsertest.Browser {
	t.Helper()
	b, err := browsertest.Launch(more...)
	Require(t, err)
	t.Cleanup(b.Close)
	return b
}

// Require deals with what browsertest.Launch returned, as Start does.
func Require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, browsertest.ErrNone):
		needs.Missing(t, "chromium")
	default:
		t.Fatal(err)
	}
}
