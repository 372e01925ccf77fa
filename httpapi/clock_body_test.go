package httpapi_test

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// TestBodyNobodyReads: a body that does not come, of a request that needs none,
// keeps nobody for longer than any other body may take.
func TestBodyNobodyReads(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		id := r.newSession()
		for _, tt := range []struct {
			request string
			status  int
		}{
			{"GET /sessions/" + id, 200},
			{"POST /sessions/" + id + "/stop", 200},
			{"POST /api/chat/" + id + "/stop", 200},
			{"GET /healthz", 200},
			{"GET /", 200},
			{"GET /nothing", 404},
			{"DELETE /sessions/" + someID, 404},
			{"DELETE /sessions/" + id, 200},
		} {
			for _, trickle := range []bool{false, true} {
				if tt.request == "DELETE /sessions/"+id && trickle {
					continue
				}
				c, began, sent := r.wire(), time.Now(), make(chan struct{})
				go func() {
					defer close(sent)
					_, _ = io.WriteString(c, tt.request+" HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n")
					for trickle {
						time.Sleep(time.Second)
						if _, err := io.WriteString(c, "a"); err != nil {
							return
						}
					}
				}()
				in := bufio.NewReader(c)
				resp, err := http.ReadResponse(in, nil)
				if err != nil || resp.StatusCode != tt.status {
					t.Fatalf("%s: %v, %v", tt.request, resp, err)
				}
				_, _ = io.ReadAll(in) // until the server closes
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("%s: it took %v", tt.request, took)
				}
				<-sent
			}
		}
	})
}

// TestRefusedBodyInTime: nor does one that was refused, and is still coming.
func TestRefusedBodyInTime(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		mine := func() string { return tokenOf(t, "me", "exp", time.Now().Add(time.Hour).Unix()) }
		for _, path := range limitedRoutes {
			for _, length := range []string{"Content-Length: 1000\r\n", "Content-Length: 10000000\r\n", "Transfer-Encoding: chunked\r\n"} {
				r.do("POST", "/chat", `{"message":"hi"}`, authorized(mine()))
				r.do("POST", "/sessions", ``, authorized(mine()))
				c, began := r.wire(), time.Now()
				go func() {
					_, _ = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer "+mine()+"\r\n"+length+"\r\n")
				}()
				in := bufio.NewReader(c)
				resp, err := http.ReadResponse(in, nil)
				if err != nil || resp.StatusCode != 429 || time.Since(began) != 0 {
					t.Fatalf("%s: %v, %v after %v", path, resp, err, time.Since(began))
				}
				_, _ = io.ReadAll(in)
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("%s: it took %v", path, took)
				}
			}
		}
	}, withSecret(t), withLimits(hub.Limits{MessagesPerMinute: 1}))
}

// TestBodyTimeEnds: the time for a body ends with it, also where it stands in
// front of a stream that lasts.
func TestBodyTimeEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.answer("go", mistralsim.Answer{Tokens: slices.Repeat([]string{"word "}, 100), Pace: time.Second})
		id := newID()
		first := r.submit(id, "m", "go")
		first.until("text-delta")
		// A body that nobody asked for, on a request that is answered by a stream.
		second := r.follow("GET", "/sessions/"+id+"/stream", "hello")
		ended := make(chan struct{})
		go func() { defer close(ended); second.rest() }()
		first.rest()
		<-ended
		for _, s := range []*stream{first, second} {
			if len(s.text) != 500 || !s.done {
				t.Errorf("a stream has %d bytes; [DONE]: %v", len(s.text), s.done)
			}
		}
		pass(50 * time.Second)
		r.do("POST", "/chat", `{"message":"hi"}`).want(200) // on a connection of theirs
	})
}
