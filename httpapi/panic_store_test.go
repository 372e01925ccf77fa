package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/uuid"

	"lumos/backend/session"
	"lumos/backend/session/storetest"
)

// fuse makes one method of a store panic, before it is called ("Load") or behind it
// ("Load, done"): at one call of it, or at all from that on.
type fuse struct {
	storetest.Faults
	method string
	stays  bool

	mu     sync.Mutex // guards what follows
	on     bool
	left   int       // calls until it panics
	spared uuid.UUID // a conversation that has nothing to fear
}

func (f *fuse) burn(c storetest.Call) error {
	method := c.Method
	if c.Done {
		method += ", done"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.on || method != f.method || c.ID == f.spared {
		return nil
	}
	if f.left--; f.left == 0 || f.stays && f.left < 0 {
		panic("cannot bear " + panicSecret)
	}
	return nil
}

// arm has the calls count from now on.
func (f *fuse) arm(spared string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on, f.spared = true, uuid.MustParse(spared)
	f.Set(f.burn)
}

// mend has nothing panic any more, and tells whether something has.
func (f *fuse) mend() (blown bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = false
	return f.left <= 0
}

// TestStorePanics has each call of each method of the store panic, once or for as long
// as a visit lasts. Who made it is told that something went wrong; afterwards the
// conversation is a whole one, and nobody else has noticed.
func TestStorePanics(t *testing.T) {
	for name, open := range map[string]store{"memory": session.Memory, "shared": shared} {
		methods := []string{"Commit", "Commit, done", "Claim", "Claim, done", "Append", "Append, done", "Ready"}
		if name == "shared" {
			methods = append(methods, "Load", "Load, done")
		}
		for _, method := range methods {
			t.Run(name+"/"+method, func(t *testing.T) {
				t.Parallel()
				for _, stays := range []bool{false, true} {
					if stays && name == "shared" && method == "Append" {
						continue // what a store never takes is never shown, as in any outage
					}
					calls := 0
					for storePanics(t, open, &fuse{method: method, stays: stays, left: calls + 1}) {
						if calls++; calls == 100 {
							t.Fatal("there is no end of the calls")
						}
					}
					if calls == 0 {
						t.Error("it was never called")
					}
				}
			})
		}
	}
}

// storePanics plays a visit, and reports whether the fuse has blown.
func storePanics(t *testing.T, open store, f *fuse) bool {
	t.Helper()
	name := fmt.Sprintf("call %d, stays %v", f.left, f.stays)
	r := newRig(t, withStore(open.behind(&f.Faults)))
	a, g := held(1, "one ", "two")
	r.answer("go", a)
	other := r.join("/ws")
	other.say("", "go")
	reply := other.begin()
	other.delta(&reply, "one ")
	f.arm(other.ready.Conversation)

	v := &guest{rig: r, name: name}
	v.play()
	blown := f.mend()

	r.do("GET", "/readyz", "").want(http.StatusOK)
	if v.session != "" {
		v.isWhole()
	}
	g.open()
	other.delta(&reply, "one two")
	other.finish(&reply)
	if reply.end.Type != "finish" {
		t.Errorf("%s: another's reply ends with %+v", name, reply.end)
	}
	_ = other.ws.CloseNow()
	r.drains()
	if !f.stays {
		wantStacks(t, r, map[bool]int{true: 1}[blown])
	}
	return blown
}

// guest is somebody who does all that can be done, and bears whatever fails.
type guest struct {
	*rig
	name    string
	session string // "": there is none
	ws      *websocket.Conn
}

func (v *guest) play() {
	v.t.Helper()
	for v.session == "" {
		var made chatSession
		if a := v.ask("POST", "/sessions", ""); json.Unmarshal(a, &made) == nil && made.ID != "" {
			v.session = made.ID
		} else if v.ask("GET", "/healthz", "") == nil || strings.HasSuffix(v.name, "stays true") {
			return
		}
	}
	v.say(`{"type":"message","id":"`+newID()+`","content":"`+panicSecret+`"}`, "finish")
	v.say(`{"type":"regenerate"}`, "finish")
	a, g := held(1, "begun ", "never")
	v.answer(panicSecret+", held", a)
	v.say(`{"type":"message","content":"`+panicSecret+`, held"}`, "text-delta")
	v.say(`{"type":"stop"}`, "stopped")
	g.open()
	v.ask("POST", "/chat", chatBody(v.session, panicSecret))
	v.ask("POST", "/chat", chatBody("", panicSecret))
	v.ask("POST", "/chat", chatBody("", panicSecret), header("Idempotency-Key", newID()))
	v.ask("POST", "/chat", chatBody(v.session, panicSecret), header("Accept", "text/event-stream"))
	v.ask("GET", "/sessions/"+v.session+"/stream", "", header("Last-Event-ID", newID()+":3"))
	v.ask("GET", "/sessions/"+v.session, "")
	v.ask("GET", "/readyz", "")
	v.leave()
	v.deepChat()
	var made chatSession
	if json.Unmarshal(v.ask("POST", "/sessions", ""), &made) == nil && made.ID != "" {
		v.ask("DELETE", "/sessions/"+made.ID, "")
	}
}

// ask sends a request, which succeeds, or fails as something that went wrong does, and
// returns what came.
func (v *guest) ask(method, path, body string, change ...func(*http.Request)) []byte {
	v.t.Helper()
	resp, _ := v.send(method, path, body, change...)
	answer, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
	case http.StatusConflict: // what failed before may still run
		if !strings.Contains(string(answer), `"conversation_busy"`) {
			v.t.Errorf("%s: %s %s: %s", v.name, method, path, answer)
		}
	case http.StatusServiceUnavailable: // the store never takes the reply's end
		if !strings.HasSuffix(v.name, "stays true") || !strings.Contains(string(answer), `"store_unavailable"`) {
			v.t.Errorf("%s: %s %s: %s", v.name, method, path, answer)
		}
	case http.StatusInternalServerError:
		if !strings.Contains(string(answer), `"internal"`) || strings.Contains(string(answer), "darling") {
			v.t.Errorf("%s: %s %s: %s", v.name, method, path, answer)
		}
	default:
		v.t.Errorf("%s: %s %s: %s %s", v.name, method, path, resp.Status, answer)
	}
	return answer
}

// say sends a frame, over a connection that is made if there is none, and reads to the
// frame that answers it, a refusal, or the connection's end.
func (v *guest) say(frame, until string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), v.patience)
	defer cancel()
	if v.ws == nil {
		ws, _, err := websocket.Dial(ctx, v.url+"/ws/"+v.session, &websocket.DialOptions{Subprotocols: []string{"chathub.v1"}})
		if err != nil {
			v.t.Errorf("%s: %v", v.name, err)
			return
		}
		v.t.Cleanup(func() { _ = ws.CloseNow() })
		v.ws = ws
	}
	_ = v.ws.Write(ctx, websocket.MessageText, []byte(frame))
	for {
		_, raw, err := v.ws.Read(ctx)
		if err != nil {
			if code := websocket.CloseStatus(err); code != websocket.StatusTryAgainLater {
				v.t.Errorf("%s: behind %s closed with %v", v.name, frame, err)
			}
			v.ws = nil
			return
		}
		checkFrame(v.t, fromHub, raw)
		var f struct{ Type, Code string }
		if err := json.Unmarshal(raw, &f); err != nil {
			v.t.Fatal(err)
		}
		switch {
		case f.Type == "error" && f.Code != "internal" && f.Code != "conversation_busy" && f.Code != "invalid_request" && (f.Code != "store_unavailable" || !strings.HasSuffix(v.name, "stays true")):
			v.t.Errorf("%s: behind %s came %s", v.name, frame, raw)
		case f.Type == "error" || f.Type == until || f.Type == "abort":
			return
		}
	}
}

// leave goes, as a page does.
func (v *guest) leave() {
	if v.ws != nil {
		_ = v.ws.Close(websocket.StatusNormalClosure, "done")
		v.ws = nil
	}
}

// deepChat is a widget's visit, with a session of its own.
func (v *guest) deepChat() {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), v.patience)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, v.url+"/ws", &websocket.DialOptions{Subprotocols: []string{"deep-chat"}})
	if err != nil {
		if resp == nil || resp.StatusCode != http.StatusInternalServerError {
			v.t.Errorf("%s: deep-chat: %v", v.name, err)
		}
		return
	}
	defer ws.CloseNow()
	_ = ws.Write(ctx, websocket.MessageText, []byte(`{"messages":[{"role":"user","text":"`+panicSecret+`"}]}`))
	for {
		_, raw, err := ws.Read(ctx)
		if err != nil {
			var closed websocket.CloseError
			if !errors.As(err, &closed) || closed.Code != websocket.StatusTryAgainLater {
				v.t.Errorf("%s: deep-chat is closed with %v", v.name, err)
			}
			return
		}
		if strings.Contains(string(raw), "[DONE]") || strings.Contains(string(raw), `"error"`) {
			return
		}
	}
}

// isWhole holds that nothing is left in the conversation of what failed.
func (v *guest) isWhole() {
	v.t.Helper()
	eventually(v.t, v.name+": the conversation takes another message", func() bool {
		a := v.do("POST", "/chat", chatBody(v.session, "and now?"))
		return a.StatusCode == http.StatusOK && decode[chatReply](v.t, a).Response == "You said: and now?"
	})
	p := v.join("/ws/" + v.session)
	if p.ready.Running != "" {
		v.t.Errorf("%s: %s still runs", v.name, p.ready.Running)
	}
	_ = p.ws.CloseNow()
	for i, m := range v.rig.session(v.session).Messages {
		if want := []string{"user", "assistant"}[i%2]; m.Role != want || m.Role == "assistant" && m.FinishReason == "" {
			v.t.Errorf("%s: message %d is %+v", v.name, i, m)
		}
	}
	v.do("DELETE", "/sessions/"+v.session, "").want(http.StatusOK)
}
