package httpapi_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"lumos/backend/cmd/needs"
)

// browser starts a Chromium, which ends with the test. Each of its tabs is a
// profile of its own.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := needs.Program(t, "chromium", "chromium-browser", "google-chrome")
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, _ := chromedp.NewContext(alloc)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is one page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// openTab opens a page at url.
func openTab(t *testing.T, browser context.Context, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{t, ctx}
	// The first run binds the tab to its context, so it has no deadline.
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	return p
}

// eval is the value of a JavaScript expression; a promise is waited for.
func eval[T any](p *tab, js string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 2*rigPatience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%v in %s", err, js)
	}
	return value
}

// until waits for an expression to be true; seen is what to tell when it is not.
func (p *tab) until(js, seen string) {
	p.t.Helper()
	if !eval[bool](p, fmt.Sprintf(`new Promise((done) => {
		const end = Date.now() + %d;
		const look = () => {
			let holds = false;
			try { holds = !!(%s); } catch {}
			holds || Date.now() > end ? done(holds) : setTimeout(look, 5);
		};
		look();
	})`, rigPatience.Milliseconds(), js)) {
		p.t.Fatalf("never true: %s\n%s", js, eval[string](p, "JSON.stringify("+seen+")"))
	}
}
