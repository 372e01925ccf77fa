package mistralsim

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestRecord remembers the newest requests, with numbers.
func TestRecord(t *testing.T) {
	for _, c := range []struct {
		record int
		want   string
	}{{0, "1 2 3 4 5"}, {2, "4 5"}, {5, "1 2 3 4 5"}, {-1, ""}} {
		cfg := saying(Answer{Text: "ok"})
		cfg.Record = c.record
		sim, srv := serve(t, cfg)
		for range 5 {
			call(t, srv, streamed)
		}
		var numbers []string
		for _, r := range sim.Requests() {
			numbers = append(numbers, fmt.Sprint(r.N))
		}
		if got := strings.Join(numbers, " "); got != c.want {
			t.Errorf("Record %d: %s, want %s", c.record, got, c.want)
		}
	}
}

// TestRequest holds what an Answer gets to see.
func TestRequest(t *testing.T) {
	sim, srv := serve(t, saying(Answer{Text: "ok"}))
	body := `{"model":"m","stream":true,"max_tokens":7,"stop":["x","y"],"messages":[{"role":"system","content":"be kind"},` +
		`{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"so far \n","prefix":true}]}`
	if status, answer, _ := call(t, srv, body); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	r := sim.Requests()[0]
	want := []Message{{"system", "be kind", false}, {"user", "ab", false}, {"assistant", "so far \n", true}}
	if fmt.Sprint(r.Messages) != fmt.Sprint(want) || r.Model != "m" || !r.Stream || r.MaxTokens != 7 || fmt.Sprint(r.Stop) != "[x y]" {
		t.Errorf("got %+v", r)
	}
	if r.LastUser() != "ab" || r.Prefix() != "so far" || string(r.Body) != body || r.Header.Get("Authorization") != "Bearer key" {
		t.Errorf("LastUser %q, Prefix %q", r.LastUser(), r.Prefix())
	}
	if empty := new(Request); empty.LastUser() != "" || empty.Prefix() != "" {
		t.Error("an empty request has a user or a prefix")
	}
}

// TestTooLarge wants the gateway's limit on bodies.
func TestTooLarge(t *testing.T) {
	_, srv := serve(t, saying(Answer{Text: "ok"}))
	status, answer, _ := call(t, srv, strings.Repeat(" ", maxBody+1))
	if status != 413 || answer != `{"message":"Request size limit exceeded"}` {
		t.Errorf("%d %s", status, answer)
	}
}

// TestManyAtOnce shares one answer between requests that overlap.
func TestManyAtOnce(t *testing.T) {
	tokens := strings.SplitAfter(strings.Repeat("a few words ", 50), " ")
	want := strings.Join(tokens, "")
	sim, srv := serve(t, saying(Answer{Tokens: tokens, Flush: 8}))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, answer, err := call(t, srv, streamed)
			if err != nil || told(events(t, answer)) != want {
				t.Errorf("%v: %.200s", err, answer)
			}
		})
	}
	wg.Wait()
	for _, r := range sim.Requests() {
		wait(t, r)
	}
	if n := sim.Active(); n != 0 {
		t.Errorf("%d replies are still active", n)
	}
}

// TestElizaGoesOn asks ELIZA again from every place at which her reply may be
// cut: she says the same text.
func TestElizaGoesOn(t *testing.T) {
	_, srv := serve(t, Config{})
	talk := `{"role":"user","content":"I am worried about my brother."},{"role":"assistant","content":"Go on."},{"role":"user","content":"show me emoji and chinese"}`
	_, answer, err := call(t, srv, `{"model":"m","stream":true,"messages":[`+talk+`]}`)
	if err != nil {
		t.Fatal(err)
	}
	whole := told(events(t, answer))
	if !strings.Contains(whole, "日本語") {
		t.Fatalf("got %s", whole)
	}
	for i := range whole[1:] {
		if i%7 != 0 || i == 0 {
			continue
		}
		prefix := strings.ToValidUTF8(whole[:i], "")
		_, answer, err := call(t, srv, `{"model":"m","stream":true,"messages":[`+talk+`,{"role":"assistant","prefix":true,"content":`+string(toJSON(prefix))+`}]}`)
		if err != nil {
			t.Fatal(err)
		}
		if got := told(events(t, answer)); got != whole {
			t.Fatalf("from byte %d: %s", i, got)
		}
	}
}
