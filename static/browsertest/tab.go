package browsertest

import (
	"context"
	"fmt"
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

// Patience is how long anything is waited for.
const Patience = 20 * time.Second

// Tab is one page. Its methods end the test when something does not go as it
// must; they are for the test's own goroutine.
type Tab struct {
	T   testing.TB
	Ctx context.Context // chromedp's, without a deadline
}

// Tab opens a tab with storage of its own. An exception in the page that
// nothing catches fails the test.
func (b *Browser) Tab(t testing.TB) *Tab {
	t.Helper()
	return newTab(t, b.ctx, chromedp.WithNewBrowserContext())
}

// Sibling opens another tab that shares the storage of this one.
func (p *Tab) Sibling() *Tab {
	p.T.Helper()
	return newTab(p.T, p.Ctx)
}

func newTab(t testing.TB, parent context.Context, opts ...chromedp.ContextOption) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, opts...)
	t.Cleanup(cancel)
	p := &Tab{T: t, Ctx: ctx}
	// The first run binds the tab to its context, so it has no deadline.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 800)); err != nil {
		t.Fatal(err)
	}
	err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*runtime.EventExceptionThrown); ok {
			t.Errorf("exception in the page: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Tab) Run(actions ...chromedp.Action[chromedp.Void]) {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.T.Fatal(err)
	}
}

// Prefer sets what the person prefers, such as a colour scheme.
func (p *Tab) Prefer(feature, value string) {
	p.T.Helper()
	_, err := chromedp.Call(p.Ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
	if err != nil {
		p.T.Fatal(err)
	}
}

func (p *Tab) Open(url string) {
	p.T.Helper()
	p.Run(chromedp.Navigate(url))
}

// prelude gives scripts of tests short names for the widget's inside.
const prelude = `(() => { const w = document.querySelector('chat-widget'), r = w?.shadowRoot,
	$ = (s) => r.querySelector(s), $$ = (s) => [...r.querySelectorAll(s)]; return (`

// Eval is the value of a JavaScript expression; a promise is waited for.
func Eval[T any](p *Tab, js string) T {
	p.T.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx, Patience)
	defer cancel()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](prelude+js+") })()", chromedp.EvalAwaitPromise))
	if err != nil {
		p.T.Fatalf("%v in %s", err, js)
	}
	return out
}

// Do runs statements in the page.
func (p *Tab) Do(js string) {
	p.T.Helper()
	Eval[bool](p, "(() => { "+js+"; return true })()")
}

// Until waits for an expression to be true, looking once a frame.
func (p *Tab) Until(js string) {
	p.T.Helper()
	script := fmt.Sprintf(`new Promise((done) => { const end = Date.now() + %d;
		const look = () => { let v = false; try { v = !!(%s) } catch {} ;
			v || Date.now() > end ? done(v) : setTimeout(look, 10) }; look(); })`, (Patience - 2*time.Second).Milliseconds(), js)
	if !Eval[bool](p, script) {
		p.T.Fatalf("never true: %s\n%s", js, p.Text())
	}
}

// Text is what a person sees in the widget.
func (p *Tab) Text() string {
	return Eval[string](p, "r?.querySelector('.root').innerText ?? ''")
}

// Say writes into the composer and presses Enter, as a person does.
func (p *Tab) Say(text string) {
	p.T.Helper()
	p.Do("$('.input').focus()")
	p.Run(chromedp.KeyEvent(text))
	p.Key("Enter", "\r", 0)
}

// Key presses a key as the keyboard does: the page may prevent what it types.
func (p *Tab) Key(key, text string, modifiers int64) {
	p.T.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
		params := input.DispatchKeyEventParams{Type: kind, Key: key, Code: key, Modifiers: modifiers}
		if kind == input.DispatchKeyEventTypeKeyDown {
			params.Text = text
		}
		if _, err := chromedp.Call(p.Ctx, input.DispatchKeyEvent, params); err != nil {
			p.T.Fatal(err)
		}
	}
}

// Click presses the first visible button of that class.
func (p *Tab) Click(selector string) {
	p.T.Helper()
	p.Until("$$('" + selector + "').some((b) => b.checkVisibility())")
	p.Do("$$('" + selector + "').find((b) => b.checkVisibility()).click()")
}

// Console collects what the browser reports from now on: errors and
// violations of a policy. The result reads them.
func (p *Tab) Console() func() string {
	p.T.Helper()
	var mu sync.Mutex
	var lines []string
	err := chromedp.Listen(p.Ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, e.Entry.Text)
		}
	})
	if err == nil {
		_, err = chromedp.Call(p.Ctx, log.Enable, cdp.Empty{})
	}
	if err != nil {
		p.T.Fatal(err)
	}
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(lines, "; ")
	}
}

func (p *Tab) MustContain(want string) {
	p.T.Helper()
	p.Until(fmt.Sprintf("$('.root').innerText.includes(%q)", want))
}

// Html is the markup of the newest reply, without its attributes of no account here.
func (p *Tab) Html() string {
	return strings.TrimSpace(Eval[string](p, "$$('.assistant .body').at(-1).innerHTML"))
}
