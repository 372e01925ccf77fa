package httpapi_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"lumos/backend/cmd/needs"
)

// TestEventSource follows replies with the npm package, through a network that
// breaks.
func TestEventSource(t *testing.T) {
	dir := npmPackages(t, "eventsource")
	c := newRemote(t, newRig(t))
	playScenarios(t, dir, "follow.mjs", c.rig.url, c.line.url, c.url)
}

// TestEventSourceInChromium is the browser's own, which comes back by itself
// with Last-Event-ID.
func TestEventSourceInChromium(t *testing.T) {
	b := browser(t)
	r := newRig(t)
	l := newLine(t, r.url)
	tokens := []string{"begun ", "grün ", "👋 ", "and ", "ended"}
	whole := strings.Join(tokens, "")
	a, g := held(3, tokens...)
	r.answer("go", a)
	id := r.newSession()
	s := r.follow("POST", "/chat", chatBody(id, "go"))
	defer s.close()
	g.wait(t)

	p := openTab(t, b, l.url+"/")
	eval[bool](p, fmt.Sprintf(`(() => {
		window.seen = {text: '', types: [], done: 0, opened: 0};
		window.source = new EventSource('/sessions/%s/stream');
		source.onopen = () => seen.opened++;
		source.onmessage = (e) => {
			if (e.data === '[DONE]') return void seen.done++;
			const chunk = JSON.parse(e.data);
			if (chunk.type === 'text-delta') seen.text += chunk.delta;
			else seen.types.push(chunk.type);
		};
		return true;
	})()`, id))
	p.until("seen.text === "+strconv.Quote(strings.Join(tokens[:3], "")), "seen")
	l.cut()
	p.until("seen.opened === 2", "seen")
	g.open()
	p.until("source.readyState === EventSource.CLOSED", "seen") // 204: there is no more
	if got := eval[string](p, "seen.text"); got != whole {
		t.Errorf("the page shows %q, want %q", got, whole)
	}
	if got, want := eval[string](p, "seen.types.join()"), "start,text-start,text-end,finish"; got != want {
		t.Errorf("the chunks beside the text are %s, want %s", got, want)
	}
	if n := eval[int](p, "seen.done"); n != 1 {
		t.Errorf("[DONE] came %d times", n)
	}
}

// TestCurl follows a reply with curl -N: all of it comes as it is written, and
// with Last-Event-ID the rest.
func TestCurl(t *testing.T) {
	needs.Program(t, "curl")
	r := newRig(t)
	a, g := held(1, "one ", "two")
	r.answer("go", a)
	id := r.newSession()
	s := r.follow("POST", "/chat", chatBody(id, "go"))
	defer s.close()
	g.wait(t)
	curl := func(args ...string) (*syncBuffer, func() error) {
		var out syncBuffer
		cmd := exec.CommandContext(t.Context(), "curl", append([]string{"-sN", r.url + "/sessions/" + id + "/stream"}, args...)...)
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return &out, cmd.Wait
	}
	first, firstEnds := curl()
	eventually(t, "curl shows the first token at once", func() bool { return strings.Contains(first.String(), `"delta":"one "`) })
	reply := s.until("text-delta").ID
	rest, restEnds := curl("-H", "Last-Event-ID: "+reply+":4")
	g.open()
	if err := errors.Join(firstEnds(), restEnds()); err != nil {
		t.Error(err)
	}
	for name, out := range map[string]*syncBuffer{"whole": first, "rest": rest} {
		text := out.String()
		if got, want := strings.Contains(text, "one "), name == "whole"; got != want {
			t.Errorf("the %s has the first token: %v", name, got)
		}
		if !strings.Contains(text, `"delta":"two"`) || !strings.HasSuffix(text, "data: [DONE]\n\n") {
			t.Errorf("the %s is %s", name, text)
		}
	}
}
