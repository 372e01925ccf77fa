package static_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium starts one browser for the whole package, or says why not.
var chromium = sync.OnceValues(func() (context.Context, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		dir, err := os.MkdirTemp("", "chathub-browser-")
		if err != nil {
			return nil, err
		}
		opts := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
			chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		)
		alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
		ctx, _ := chromedp.NewContext(alloc)
		stopBrowser = func() {
			_ = chromedp.Cancel(ctx)
			stop()
			_ = os.RemoveAll(dir)
		}
		return ctx, chromedp.Do(ctx)
	}
	return nil, exec.ErrNotFound
})

var stopBrowser = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	stopBrowser()
	os.Exit(code)
}

// tab is one page in a browser profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// newTab opens a tab; the test is skipped without Chromium, except in CI.
func newTab(t *testing.T) *tab {
	t.Helper()
	browser, err := chromium()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("chromium: %v", err)
		}
		t.Skipf("chromium: %v", err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	// The first run binds the tab to its context, so it has no deadline.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800)); err != nil {
		t.Fatal(err)
	}
	err = chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			t.Errorf("exception in the page: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// prefer sets what the person prefers, such as a colour scheme.
func (p *tab) prefer(feature, value string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) open(url string) {
	p.t.Helper()
	p.run(chromedp.Navigate(url))
}

// prelude gives scripts of tests short names for the widget's inside.
const prelude = `(() => { const w = document.querySelector('chat-widget'), r = w?.shadowRoot,
	$ = (s) => r.querySelector(s), $$ = (s) => [...r.querySelectorAll(s)]; return (`

// eval is the value of a JavaScript expression; a promise is waited for.
func eval[T any](p *tab, js string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](prelude+js+") })()", chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%v in %s", err, js)
	}
	return out
}

// do runs statements in the page.
func (p *tab) do(js string) {
	p.t.Helper()
	eval[bool](p, "(() => { "+js+"; return true })()")
}

// until waits for an expression to be true, looking once a frame.
func (p *tab) until(js string) {
	p.t.Helper()
	script := fmt.Sprintf(`new Promise((done) => { const end = Date.now() + %d;
		const look = () => { let v = false; try { v = !!(%s) } catch {} ;
			v || Date.now() > end ? done(v) : setTimeout(look, 10) }; look(); })`, (patience - 2*time.Second).Milliseconds(), js)
	if !eval[bool](p, script) {
		p.t.Fatalf("never true: %s\n%s", js, p.text())
	}
}

// text is what a person sees in the widget.
func (p *tab) text() string {
	return eval[string](p, "r?.querySelector('.root').innerText ?? ''")
}

// say writes into the composer and presses Enter, as a person does.
func (p *tab) say(text string) {
	p.t.Helper()
	p.do("$('.input').focus()")
	p.run(chromedp.KeyEvent(text))
	p.key("Enter", "\r", 0)
}

// key presses a key as the keyboard does: the page may prevent what it types.
func (p *tab) key(key, text string, modifiers int64) {
	p.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		params := input.DispatchKeyEventParams{Type: kind, Key: key, Code: key, Modifiers: modifiers}
		if kind == input.DispatchKeyEventTypeKeyDown {
			params.Text = text
		}
		if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, params); err != nil {
			p.t.Fatal(err)
		}
	}
}

// click presses the first visible button of that class.
func (p *tab) click(selector string) {
	p.t.Helper()
	p.until("$$('" + selector + "').some((b) => b.checkVisibility())")
	p.do("$$('" + selector + "').find((b) => b.checkVisibility()).click()")
}

// console collects what the browser reports from now on: errors and
// violations of a policy. The result reads them.
func (p *tab) console() func() string {
	p.t.Helper()
	var mu sync.Mutex
	var lines []string
	err := chromedp.Listen(p.ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, e.Entry.Text)
		}
	})
	if err == nil {
		_, err = chromedp.Call(p.ctx, log.Enable, cdp.Empty{})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(lines, "; ")
	}
}

func (p *tab) mustContain(want string) {
	p.t.Helper()
	p.until(fmt.Sprintf("$('.root').innerText.includes(%q)", want))
}

// html is the markup of the newest reply, without its attributes of no account here.
func (p *tab) html() string {
	return strings.TrimSpace(eval[string](p, "$$('.assistant .body').at(-1).innerHTML"))
}
