package httpapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// lateEvents are those of sessions that are gone late.
type lateEvents struct {
	session.Events
	gone func() // called when the session is gone, before the hub hears of it
}

func (e lateEvents) Gone(ref session.Ref) {
	go func() {
		e.gone()
		e.Events.Gone(ref)
	}()
}

// TestReopenedWhileDeleted makes a session anew under its id, as useChat does,
// in the moment between its deletion and the hub's hearing of it. That the first
// one is gone does not end the reply of the second.
func TestReopenedWhileDeleted(t *testing.T) {
	id := uuid.NewString()
	body := `{"id":"` + id + `","trigger":"submit-message","messages":[{"id":"m1","role":"user","parts":[{"type":"text","text":"hold"}]}]}`
	answer, gate := held(1, "a", "b")
	answered, heard := make(chan struct{}), make(chan struct{})
	var r *rig
	r = newRig(t, rigOption{events: func(e session.Events) session.Events {
		return lateEvents{e, func() {
			go func() {
				defer close(answered)
				resp, err := r.client.Post(r.url+"/api/chat", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body) // until the reply ends
			}()
			<-gate.reached
			close(heard)
		}}
	}})
	r.answer("hold", answer)
	r.do("POST", "/api/chat", `{"id":"`+id+`","trigger":"submit-message","messages":[{"id":"m0","role":"user","parts":[{"type":"text","text":"before"}]}]}`)

	if got := r.do("DELETE", "/sessions/"+id, ""); got.StatusCode != http.StatusOK {
		t.Fatalf("DELETE: %s %s", got.Status, got.body)
	}
	await(t, heard, "the hub hears of the deletion")
	gate.open()
	await(t, answered, "the stream of the reply ends")
	eventually(t, "the session takes the next message", func() bool {
		got := r.do("POST", "/chat", `{"message":"next","conversation_id":"`+id+`"}`)
		return got.StatusCode == http.StatusOK
	})
}
