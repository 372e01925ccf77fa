package mistralsim

import (
	"context"
	"runtime"
	"strings"
	"testing"
)

// TestExtraEvents places raw events, replaced chunks and holds.
func TestExtraEvents(t *testing.T) {
	const oops = `data: {"object":"error","message":"boom","type":"internal_server_error","param":null,"code":"1000"}` + "\n\n"
	if got := ErrorEvent("boom", "internal_server_error", "1000"); got != oops {
		t.Fatalf("got %s", got)
	}
	for after, want := range map[int]string{0: "role,EVENT,a,b,stop", 1: "role,a,EVENT,b,stop", 2: "role,a,b,EVENT,stop", 7: "role,a,b,EVENT,stop"} {
		_, srv := serve(t, saying(Answer{Tokens: []string{"a", "b"}, Event: oops, EventAfter: after}))
		_, got, err := call(t, srv, streamed)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, e := range strings.SplitAfter(strings.TrimSuffix(got, "data: [DONE]\n\n"), "\n\n") {
			for _, s := range [][2]string{{`"role"`, "role"}, {`"content":"a"`, "a"}, {`"content":"b"`, "b"}, {`"stop"`, "stop"}} {
				if strings.Contains(e, s[0]) {
					order = append(order, s[1])
				}
			}
			if e == oops {
				order = append(order, "EVENT")
			}
		}
		if got := strings.Join(order, ","); got != want {
			t.Errorf("after %d: %s, want %s", after, got, want)
		}
	}

	var asked []string
	sim, srv := serve(t, saying(Answer{Tokens: []string{"a", "b"}, Chunk: func(i int, token string) string {
		asked = append(asked, string(rune('1'+i))+token)
		if i == 0 {
			return `{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"A"}]},"finish_reason":null}]}`
		}
		return ""
	}}))
	_, got, err := call(t, srv, streamed)
	wait(t, sim.Requests()[0])
	if err != nil || strings.Join(asked, ",") != "0,1a,2b,3" {
		t.Errorf("asked for %v (%v)", asked, err)
	}
	if !strings.Contains(got, `data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"A"}]},"finish_reason":null}]}`+"\n\n") ||
		strings.Contains(got, `"content":"a"`) || !strings.Contains(got, `"content":"b"`) {
		t.Errorf("got %s", got)
	}
}

// TestHold lets the test decide when each token comes.
func TestHold(t *testing.T) {
	holding, release := make(chan int), make(chan struct{})
	ans := Answer{Tokens: []string{"a", "b"}, Flush: 9, Hold: func(ctx context.Context, i int) {
		select {
		case holding <- i:
			<-release
		case <-ctx.Done():
		}
	}}
	sim, srv := serve(t, saying(ans))
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	ask(ctx, t, srv, streamed) // the header comes before the first hold
	for i := range 2 {
		if got := <-holding; got != i {
			t.Fatalf("held before token %d, want %d", got, i)
		}
		if got := sim.Requests()[0].Sent(); got != i {
			t.Errorf("%d tokens are sent before token %d", got, i)
		}
		release <- struct{}{}
	}
	r := sim.Requests()[0]
	for r.Sent() < 2 { // it is on its way
		runtime.Gosched()
	}
	leave() // held before the end
	wait(t, r)
	if r.Gone().IsZero() || r.Sent() != 2 {
		t.Errorf("gone %v after %d tokens", r.Gone(), r.Sent())
	}
}
