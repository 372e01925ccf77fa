package static_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/google/uuid"
)

// However a reply ends, there is something to read: no blank bubble.
func TestEveryEndingIsTold(t *testing.T) {
	_, p, c := openPage(t)
	last := ""
	for _, e := range []struct{ reason, text, want string }{
		{"stop", "", "The model gave no answer."}, {"other", "", "The model gave no answer."}, {"stop", " \n", "The model gave no answer."},
		{"other", "Half", "The model ended early."}, {"something-new", "Half", "The model ended early."},
		{"something-new", "", "The model ended early."},
		{"length", "", "The model used its whole length on thinking and gave no answer."}, {"length", "Half", "Cut off: too long."},
		{"content-filter", "", "Withheld by a filter."}, {"stop", "Whole", ""},
	} {
		_, r := ask(p, c, "Hello", last)
		if e.text != "" {
			r.delta(e.text)
		}
		r.finish(e.reason)
		p.Until("w.state === 'ready'")
		p.Until(fmt.Sprintf("$('.msg:last-child .note').textContent === %q", e.want))
		if e.text == "Whole" && !eval[bool](p, "!!$('.msg:last-child .copy')") {
			t.Errorf("%s %q: no way to copy", e.reason, e.text)
		}
		if got := eval[int](p, "$$('.msg:last-child .regenerate').length"); got != 1 {
			t.Errorf("%s %q: %d ways to answer again", e.reason, e.text, got)
		}
		last = r.id
	}
}

// An error is one sentence and one button, and nothing beside it says that all is well.
func TestOneSentenceOneButton(t *testing.T) {
	_, p, c := openPage(t)
	for _, e := range []struct{ text, reply, want string }{
		{"The model is busy right now. Please try again in a moment.", "", "The model is busy right now."},
		{"Try again.", "Half", "Try again."},
		{"", "", "Something went wrong."},
		{"モデルが混雑しています。 もう一度お試しください。", "", "モデルが混雑しています。"},
	} {
		m, r := ask(p, c, "Hello", "")
		if e.reply != "" {
			r.delta(e.reply)
		}
		r.fail("upstream_busy", e.text)
		p.Until("w.state === 'ready' && $('.failed')")
		if got := eval[string](p, "$('.failed .note').firstChild.textContent"); got != e.want {
			t.Errorf("%q is told as %q, want %q", e.text, got, e.want)
		}
		if got := eval[int](p, "$$('.failed button').filter((b) => b.checkVisibility()).length"); got != 1 {
			t.Errorf("%q: %d buttons", e.text, got)
		}
		if strings.Contains(p.Text(), "Online") {
			t.Errorf("%q: it says Online, too", e.text)
		}
		p.Click(".failed .regenerate")
		c.expect("regenerate")
		c.reply(m).delta("Hi").finish("stop")
		p.Until("w.state === 'ready' && !$('.failed')")
		p.MustContain("Online")
	}
}

// Over plain http, or without permission, text is copied by a selection; where
// that cannot be either, the reader is told.
func TestCopyWithoutPermission(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta("copy **this**").finish("stop")
	p.Until("w.state === 'ready'")
	for _, clipboard := range []string{"undefined", "{ writeText: async () => { throw new DOMException('no', 'NotAllowedError') } }"} {
		p.Do("Object.defineProperty(navigator, 'clipboard', { configurable: true, value: " + clipboard + " }); window.copied = []; " +
			"document.execCommand = (command) => { const { activeElement: a } = r; copied.push(command + ': ' + a.value.slice(a.selectionStart, a.selectionEnd)); return true }")
		p.Click(".tools .copy")
		p.Until("copied[0] === 'copy: copy **this**' && $('.tools .copy').textContent === '✓' && !$('textarea.sr')")
		p.Until("$('.tools .copy svg')")
		p.Do("document.execCommand = () => false")
		p.Click(".tools .copy")
		p.Until("$('.notice').textContent.includes('could not be copied') && $('.tools .copy svg')")
	}
}

// Where the second file cannot be loaded, the chat goes on, and says so of what needs it; later it is there.
func TestSecondFileIsMissing(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/widget-more.js", http.NotFoundHandler())
	p.Open(h.URL + "/")
	c := h.next()
	c.ready()
	p.Until("w.state === 'ready'")
	_, r := ask(p, c, "Hello", "")
	r.delta("Hi").finish("stop")
	p.Until("w.state === 'ready'")
	p.Click(".tools .copy")
	p.MustContain("Something went wrong.")
	h.mu.Lock()
	delete(h.extra, "/widget-more.js")
	h.mu.Unlock()
	p.Do("window.copied = []; navigator.clipboard.writeText = async (s) => { copied.push(s) }")
	p.Click(".tools .copy")
	p.Until("copied.length === 1 && $('.tools .copy').textContent === '✓'")
}

// Clicked twice, or more, the button is itself again in the end.
func TestCopyTwice(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "Hello", "")
	r.delta("text\n```\ncode\n```").finish("stop")
	p.Until("w.state === 'ready'")
	p.Do("window.copied = []; navigator.clipboard.writeText = async (s) => { copied.push(s) }")
	for _, button := range []string{".tools .copy", "figure .copy"} {
		for range 3 {
			p.Click(button)
		}
		p.Until("$('" + button + "').textContent === '✓'")
		p.Until("$('" + button + "').textContent !== '✓' && ($('" + button + " svg') || $('" + button + "').textContent === 'Copy')")
	}
}

// Code is written from left to right in every text.
func TestCodeInArabic(t *testing.T) {
	_, p, c := openPage(t)
	_, r := ask(p, c, "مرحبا", "")
	r.delta("استخدم `--port=8080` ثم `a && b` الآن").finish("stop")
	p.Until("w.state === 'ready'")
	style := "getComputedStyle($('.assistant code'))"
	if got := eval[string](p, style+".direction + ' ' + "+style+".unicodeBidi"); got != "ltr isolate" {
		t.Errorf("code is %s", got)
	}
	// Where each character is drawn: the dashes first.
	xs := eval[[]float64](p, `(() => { const text = $('.assistant code').firstChild, range = document.createRange();
		return [...text.data].map((_, i) => { range.setStart(text, i); range.setEnd(text, i + 1); return range.getBoundingClientRect().left }) })()`)
	for i := 1; i < len(xs); i++ {
		if xs[i] <= xs[i-1] {
			t.Fatalf("drawn at %v", xs)
		}
	}
}

// What did not fit into `ready` is loaded when asked for, and what is read stays where it is.
func TestEarlierMessages(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	p.Open(h.URL + "/")
	c := h.next()
	var all []frame
	for i := range 16 {
		all = append(all, user(uuid.NewString(), fmt.Sprint("question ", i)), assistant(uuid.NewString(), fmt.Sprint("answer ", i, "\n\n", strings.Repeat("line\n\n", 10)), "stop"))
	}
	var fails atomic.Bool
	fails.Store(true)
	h.serve("/sessions/"+c.conversation, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "" && got != "Bearer a.b.c" {
			t.Errorf("authorised as %q", got)
		}
		if fails.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(frame{"id": c.conversation, "messages": all})
	}))
	c.send(frame{"type": "ready", "conversation_id": c.conversation, "model": "m", "more": true, "messages": all[14:]})
	p.Until("w.state === 'ready' && $$('.msg').length === 18 && $('.earlier').checkVisibility()")
	p.Click(".earlier")
	p.MustContain("could not be loaded")
	fails.Store(false)
	p.Do("$('.log').scrollTop = 0")
	p.Until("$('.jump').checkVisibility()")
	p.Do("window.first = $('.msg'); window.from = first.getBoundingClientRect().top")
	p.Click(".earlier")
	p.Until("$$('.msg').length === 32 && !$('.earlier').checkVisibility()")
	p.Run(chromedp.Evaluate[chromedp.Void]("new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))", chromedp.EvalAwaitPromise))
	if got := eval[float64](p, "Math.abs(first.getBoundingClientRect().top - from)"); got > 60 {
		t.Errorf("what was read moved by %v px", got)
	}
	if got := eval[string](p, "$$('.user .body').map((b) => b.textContent.split(' ')[1]).join()"); got != "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15" {
		t.Errorf("shown: %s", got)
	}
	// The conversation goes on behind them.
	_, r := ask(p, c, "More", all[31]["id"].(string))
	r.delta("yes").finish("stop")
	p.Until("w.state === 'ready' && $$('.msg').length === 34")
}

// A long conversation costs a token no more than a short one.
func TestManyMessages(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	p.Open(h.URL + "/")
	c := h.next()
	const pairs = 1000
	var all []frame
	for i := range pairs {
		all = append(all, user(uuid.NewString(), fmt.Sprint("question ", i)), assistant(uuid.NewString(), fmt.Sprintf("**answer** %d\n\n- one\n- two\n\n```go\nreturn nil\n```\n\n%s", i, strings.Repeat("word ", 40)), "stop"))
	}
	c.ready(all...)
	p.Until(fmt.Sprintf("w.state === 'ready' && $$('.msg').length === %d", 2*pairs))
	_, r := ask(p, c, "More", all[len(all)-1]["id"].(string))
	r.delta("begins ")
	p.Until("w.state === 'writing'")
	got := eval[struct {
		Delta   float64
		Skipped int
	}](p, `(async () => {
		const reply = w.hub.messages.at(-1), times = [];
		for (let i = 0; i < 60; i++) {
			const delta = i % 9 ? 'word ' : 'word\n\n';
			const from = performance.now();
			reply.content += delta;
			const row = w.rows.get(reply.id);
			row.add(delta); row.flush(); w.follow(); w.status();
			$('.log').scrollHeight;
			times.push(performance.now() - from);
			await new Promise(requestAnimationFrame);
		}
		return { delta: times.sort((a, b) => a - b)[30], skipped: $$('.msg').filter((m) => !m.firstElementChild.checkVisibility({ contentVisibilityAuto: true })).length };
	})()`)
	t.Logf("a delta with %d messages: %.2f ms (median); %s", 2*pairs, got.Delta, memory(p))
	if got.Skipped < 2*pairs-100 {
		t.Errorf("only %d rows are left out of the layout", got.Skipped)
	}
	if got := eval[string](p, "getComputedStyle($('.msg')).contentVisibility"); got != "auto" {
		t.Errorf("content-visibility: %s", got)
	}
	r.finish("stop")
	p.Until("w.state === 'ready'")
	// Reading back, all of it is there and findable.
	if got := eval[string](p, "$$('.user .body')[3].textContent"); got != "question 3" {
		t.Errorf("row 3 is %q", got)
	}
}

// The buttons of every reply can be reached: by touch they are always there, by
// mouse and keyboard when wanted; and they leave no gap.
func TestToolsOfOlderReplies(t *testing.T) {
	h, p := newFakeHub(t), newTab(t)
	h.serve("/long", longPage)
	load := func() {
		p.Open(h.URL + "/long")
		p.Click(".toggle")
		h.next().ready(user(uuid.NewString(), "one"), assistant(uuid.NewString(), "first answer", "stop"), user(uuid.NewString(), "two"), assistant(uuid.NewString(), "second answer", "stop"))
		p.Until("w.state === 'ready' && $$('.tools .copy').length === 2 && $$('.body').every((b) => b.checkVisibility({ contentVisibilityAuto: true }))")
		p.Do("$('.root').getAnimations({ subtree: true }).forEach((a) => { try { a.finish() } catch { a.cancel() } })")
	}
	const old = "$$('.assistant')[0]"
	load()
	const gap = old + ".nextSibling.querySelector('.body').getBoundingClientRect().top - " + old + ".querySelector('.body').getBoundingClientRect().bottom"
	if got := eval[float64](p, gap); got > 32 {
		t.Errorf("%v px between an answer and the next question", got)
	}
	// Without a display there is no mouse, and so no hovering either.
	if hovers := eval[bool](p, "matchMedia('(hover: hover)').matches"); hovers == eval[bool](p, old+".querySelector('.copy').checkVisibility({ opacityProperty: true })") {
		t.Errorf("hovering is possible: %v, and so are the buttons without it", hovers)
	}
	p.Do(old + ".querySelector('.copy').focus()")
	p.Until("getComputedStyle(" + old + ".querySelector('.tools')).opacity === '1'")
	phone(p)
	load()
	p.Until(old + ".querySelector('.copy').checkVisibility({ opacityProperty: true })")
	// Inside its row's box, so that nothing clips it or lies above it.
	if !eval[bool](p, `(() => { const b = `+old+`.querySelector('.copy'), { left, top, width, height } = b.getBoundingClientRect();
		return b.contains(r.elementFromPoint(left + width / 2, top + height / 2)) })()`) {
		t.Error("something lies above the button")
	}
	if got := eval[float64](p, gap); got > 32 {
		t.Errorf("%v px between an answer and the next question by touch", got)
	}
}

// memory tells what the page holds after a garbage collection.
func memory(p *tab) string {
	p.T.Helper()
	if _, err := chromedp.Call(p.Ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
		p.T.Fatal(err)
	}
	if _, err := chromedp.Call(p.Ctx, performance.Enable, performance.EnableParams{}); err != nil {
		p.T.Fatal(err)
	}
	metrics, err := chromedp.Call(p.Ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		p.T.Fatal(err)
	}
	var heap, nodes float64
	for _, m := range metrics.Metrics {
		switch m.Name {
		case "JSHeapUsedSize":
			heap = m.Value
		case "Nodes":
			nodes = m.Value
		}
	}
	return fmt.Sprintf("%.1f MB of JavaScript's heap, %.0f nodes", heap/1e6, nodes)
}
