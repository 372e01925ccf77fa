package static_test

import (
	"os"
	"sync"
	"testing"

	"lumos/backend/cmd/needs"
	"lumos/backend/cmd/needs/chromium"
	"lumos/backend/static/browsertest"
)

const patience = browsertest.Patience

type tab = browsertest.Tab

// browser is the one of all tests of the package.
var browser = sync.OnceValues(func() (*browsertest.Browser, error) {
	b, err := browsertest.Launch()
	if err == nil {
		closeBrowser = b.Close
	}
	return b, err
})

var closeBrowser = func() {}

func TestMain(m *testing.M) {
	code := needs.M{M: m}.Run()
	closeBrowser()
	os.Exit(code)
}

// newTab opens a tab; the test is skipped without Chromium, except in CI.
func newTab(t *testing.T) *tab {
	t.Helper()
	b, err := browser()
	chromium.Require(t, err)
	return b.Tab(t)
}

// eval is the value of a JavaScript expression; see browsertest.Eval.
func eval[T any](p *tab, js string) T {
	p.T.Helper()
	return browsertest.Eval[T](p, js)
}
