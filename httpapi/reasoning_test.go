package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"lumos/backend/hub"
	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// thinking is an answer in four parts.
func thinking() mistralsim.Answer {
	return mistralsim.Answer{Thoughts: []string{"h", "é"}, Tokens: []string{"yes", " 👋", "."}, Between: map[int][]string{2: {"hm", "\n"}}}
}

// frames reads frames up to the end of a reply, without its id, in short.
func (p *peer) frames() (all []string) {
	p.t.Helper()
	for {
		f, err := p.read()
		if err != nil {
			p.t.Fatalf("got %v behind %q", err, all)
		}
		short := f.Type
		if f.Offset != nil {
			short = fmt.Sprintf("%s %d", short, *f.Offset)
		}
		if n := len(all); f.Delta != "" && n > 0 && strings.HasPrefix(all[n-1], f.Type+" ") { // where they part means nothing
			_, before, _ := strings.Cut(all[n-1], ":")
			short, all = short+":"+before+f.Delta, all[:n-1]
		} else if f.Delta != "" {
			short += ":" + f.Delta
		}
		if all = append(all, short); slices.Contains([]string{"finish", "abort", "error"}, f.Type) {
			return all
		}
	}
}

// TestReasoning: what the model thinks is told in its place, over every transport as
// that has it, is stored, and is not sent to the model again.
func TestReasoning(t *testing.T) {
	const reasoning, text = "hé\n\nhm\n", "yes 👋."
	r := newRig(t)
	r.answer("think", thinking())
	type response struct {
		Response, Reasoning string
		Conversation        string `json:"conversation_id"`
		MessageID           string `json:"message_id"`
	}
	got := decode[response](t, r.do("POST", "/chat", `{"message":"think"}`).want(http.StatusOK))
	if got.Response != text || got.Reasoning != reasoning {
		t.Errorf("answered %+v", got)
	}
	if m := r.session(got.Conversation).Messages[1]; m.Content != text || m.Reasoning != reasoning {
		t.Errorf("stored %+v", m)
	}
	r.do("POST", "/chat", chatBody(got.Conversation, "and")).want(http.StatusOK)
	for _, m := range r.sim.Requests()[1].Messages {
		if m.Role == "assistant" && m.Content != text {
			t.Errorf("the model is sent %q", m.Content)
		}
	}

	for query, want := range map[string]string{
		"reasoning=1": "start 0|reasoning-start 2|reasoning-delta 5:hé|reasoning-end|text-start 7|text-delta 15:yes 👋|text-end|reasoning-start 17|reasoning-delta 20:hm\n|reasoning-end|text-start 22|text-delta 23:.|text-end|finish",
		"":            "start 0|text-start 0|text-delta 9:yes 👋.|text-end|finish",
		"reasoning=0": "start 0|text-start 0|text-delta 9:yes 👋.|text-end|finish",
	} {
		p := r.join("/ws?" + query)
		p.say("", "think")
		if got := strings.Join(p.frames(), "|"); got != want {
			t.Errorf("?%s: %s, want\n%s", query, got, want)
		}
		p = r.join("/ws/" + p.ready.Conversation + "?" + query)
		if m := p.ready.Messages[1]; m.Content != text || (m.Reasoning == reasoning) != (query == "reasoning=1") || query != "reasoning=1" && m.Reasoning != "" {
			t.Errorf("?%s: ready has %+v", query, m)
		}
	}

	s := r.follow("POST", "/chat", `{"message":"think"}`)
	var events []string
	for _, e := range s.rest() {
		_, at, _ := strings.Cut(e.EventID, ":")
		if n := len(events); n > 0 && e.Delta != "" && strings.HasPrefix(events[n-1], e.Type) {
			events = events[:n-1]
		}
		events = append(events, e.Type+" "+at)
	}
	want := "start 0|reasoning-start 2|reasoning-delta 5|reasoning-end 5|text-start 7|text-delta 15|text-end 15|reasoning-start 17|reasoning-delta 20|reasoning-end 20|text-start 22|text-delta 23|text-end 23|finish end"
	if got := strings.Join(events, "|"); got != want || !s.done {
		t.Errorf("SSE: %s, want\n%s", got, want)
	}
}

// TestReasoningResumed: a stream goes on in the part that its client was in, and what
// lies inside a mark is not honoured.
func TestReasoningResumed(t *testing.T) {
	r := newRig(t)
	// resume has a reply stand before its end, and a page come back to it.
	resume := func(query string, at int) (*peer, *stream, *gate) {
		a, g := held(3, "yes", " 👋", ".")
		a.Thoughts, a.Between = thinking().Thoughts, thinking().Between
		r.answer("think", a)
		p := r.join("/ws?reasoning=1")
		p.say("", "think")
		g.wait(t)
		path, id := p.ready.Conversation, p.want("start").MessageID
		for at := 0; at < 23; { // so the hub has it, too
			f, err := p.read()
			if err != nil {
				t.Fatal(err)
			}
			if f.Offset != nil {
				at = *f.Offset
			}
		}
		s := r.follow("GET", "/sessions/"+path+"/stream", "", header("Last-Event-ID", fmt.Sprintf("%s:%d", id, at)))
		return r.join(fmt.Sprintf("/ws/%s?%s&after=%s&offset=%d", path, query, id, at)), s, g
	}
	all := "reasoning-start 2|reasoning-delta 5:hé|reasoning-end|text-start 7|text-delta 15:yes 👋|text-end|reasoning-start 17|reasoning-delta 20:hm\n|reasoning-end|text-start 22|text-delta 23:.|text-end|finish"
	for at, want := range map[int]string{
		0: "start 0|" + all, 1: "start 0|" + all, 4: "start 0|" + all, 6: "start 0|" + all, 16: "start 0|" + all, 24: "start 0|" + all,
		2:  "start 2|" + all,
		3:  "start 3|reasoning-start 3" + strings.Replace(all[len("reasoning-start 2"):], "hé", "é", 1),
		5:  "start 5|reasoning-start 5|" + all[strings.Index(all, "reasoning-end"):],
		7:  "start 7|" + all[strings.Index(all, "text-start 7"):],
		10: "start 10|text-start 10|text-delta 15: 👋|" + all[strings.Index(all, "text-end"):],
		15: "start 15|text-start 15|" + all[strings.Index(all, "text-end"):],
		17: "start 17|" + all[strings.Index(all, "reasoning-start 17"):],
		20: "start 20|reasoning-start 20|" + all[strings.LastIndex(all, "reasoning-end"):],
	} {
		p, s, g := resume("reasoning=1", at)
		g.open()
		if got := strings.Join(p.frames(), "|"); got != want {
			t.Errorf("from %d: %s, want\n%s", at, got, want)
		}
		var types []string
		for _, e := range s.rest() {
			types = append(types, e.Type)
		}
		honoured := at > 0 && !strings.HasPrefix(want, "start 0")
		if slices.Contains(types, "start") == honoured || honoured && strings.HasSuffix(types[0], "start") || !slices.Contains(types, "finish") {
			t.Errorf("Last-Event-ID %d: %q", at, types)
		}
	}
	for at, want := range map[int]string{
		0:  "start 0|text-start 0|text-delta 9:yes 👋.|text-end|finish",
		3:  "start 3|text-start 3|text-delta 9: 👋.|text-end|finish",
		5:  "start 0|text-start 0|text-delta 9:yes 👋.|text-end|finish",
		8:  "start 8|text-start 8|text-delta 9:.|text-end|finish",
		9:  "start 9|text-start 9|text-end|finish",
		10: "start 0|text-start 0|text-delta 9:yes 👋.|text-end|finish",
	} {
		p, _, g := resume("", at)
		g.open()
		if got := strings.Join(p.frames(), "|"); got != want {
			t.Errorf("text alone, from %d: %s, want\n%s", at, got, want)
		}
	}
}

// TestReasoningAnew: thinking that was cut before any text is followed by the new one
// where somebody has seen it, and otherwise goes.
func TestReasoningAnew(t *testing.T) {
	for _, seen := range []bool{false, true} {
		t.Run(fmt.Sprintf("seen %v", seen), func(t *testing.T) {
			asked := 0
			r := newRig(t, rigOption{sim: func(c *mistralsim.Config) {
				c.Answer = func(*mistralsim.Request) mistralsim.Answer {
					if asked++; asked == 1 {
						a, g := held(0, "never")
						a.Thoughts, a.CutTokens = []string{"one", " more"}, 0
						a.Hold = func(ctx context.Context, i int) { g.open() }
						a.Event = mistralsim.ErrorEvent("no", "service_unavailable", "1100")
						return a
					}
					return mistralsim.Answer{Thoughts: []string{"two"}, Text: "yes"}
				}
			}})
			want, id := "two", ""
			if seen {
				want = "one more\n\ntwo"
				p := r.join("/ws?reasoning=1")
				id = p.ready.Conversation
				p.say("", "think")
				if got := strings.Join(p.frames(), "|"); !strings.HasPrefix(got, "start 0|reasoning-start 2|") || strings.Count(got, "-start") != 2 {
					t.Errorf("the page sees %s", got)
				}
			} else {
				id = decode[struct {
					Conversation string `json:"conversation_id"`
				}](t, r.do("POST", "/chat", `{"message":"think"}`).want(http.StatusOK)).Conversation
			}
			if m := r.session(id).Messages[1]; m.Reasoning != want || m.Content != "yes" || m.FinishReason != "stop" {
				t.Errorf("stored %+v, want %q", m, want)
			}
			if asked != 2 {
				t.Errorf("the model was asked %d times", asked)
			}
		})
	}
}

// TestReasoningEnds: a reply that is stopped, or reaches its length, while the model
// thinks has that reasoning and no text, and no part of that is told.
func TestReasoningEnds(t *testing.T) {
	r := newRig(t, withHub(func(c *hub.Config) { c.Limits.ReplyBytes = 10 }))
	a, g := held(0, "never")
	a.Thoughts = []string{"hm"}
	r.answer("stop", a)
	p := r.join("/ws?reasoning=1")
	p.say("", "stop")
	g.wait(t)
	for _, typ := range []string{"start", "reasoning-start", "reasoning-delta"} {
		p.want(typ)
	}
	p.ask(map[string]string{"type": "stop"})
	if got := strings.Join(p.frames(), "|"); got != "reasoning-end|abort" {
		t.Errorf("stopped: %s", got)
	}
	p.want("stopped")
	r.answer("long", mistralsim.Answer{Thoughts: []string{"1234", "5678", "9漢"}, Text: "never"})
	p.say("", "long")
	if got := strings.Join(p.frames(), "|"); got != "start 0|reasoning-start 2|reasoning-delta 11:123456789|reasoning-end|finish" {
		t.Errorf("long: %s", got)
	}
	m := r.session(p.ready.Conversation).Messages
	if m[1].Reasoning != "hm" || m[1].Content != "" || m[1].FinishReason != "stopped" || m[3].Reasoning != "123456789" || m[3].FinishReason != "length" {
		t.Errorf("stored %+v", m)
	}
}

// TestReasoningEffort is sent as it is, and only when it is set.
func TestReasoningEffort(t *testing.T) {
	for _, effort := range []string{"", "high"} {
		r := newRig(t, rigOption{sim: func(c *mistralsim.Config) { c.Reasons = true }, llm: func(c *llm.Config) { c.ReasoningEffort = effort }})
		r.do("POST", "/chat", `{"message":"hi"}`).want(http.StatusOK)
		var sent map[string]any
		if err := json.Unmarshal(r.sim.Requests()[0].Body, &sent); err != nil {
			t.Fatal(err)
		}
		if got, ok := sent["reasoning_effort"]; ok != (effort != "") || ok && got != effort {
			t.Errorf("%q is sent as %v", effort, got)
		}
	}
}
