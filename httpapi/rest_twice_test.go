package httpapi_test

import (
	"net/http"
	"testing"

	"lumos/backend/llm/mistralsim"
)

// TestChatSentTwice holds the rules for a key that comes again.
func TestChatSentTwice(t *testing.T) {
	r := newRig(t)
	key := header("Idempotency-Key", newID())
	first := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "once"), key).want(http.StatusOK))
	again := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "once"), key).want(http.StatusOK))
	if again != first && (again.MessageID != first.MessageID || again.Conversation != first.Conversation || again.Response != first.Response) {
		t.Errorf("the same key got %+v, then %+v", first, again)
	}
	if r.asked() != 1 {
		t.Errorf("the model was asked %d times", r.asked())
	}
	r.do("POST", "/chat", chatBody("", "twice"), key).wantError(http.StatusConflict, "id_reused")
	r.do("POST", "/chat", chatBody(first.Conversation, "twice"), key).wantError(http.StatusConflict, "id_reused")
	// As a stream it is the same reply.
	s := r.follow("POST", "/chat", chatBody(first.Conversation, "once"), key)
	if events := s.rest(); s.text != first.Response || events[0].MessageID != first.MessageID {
		t.Errorf("as a stream: %q of %s", s.text, events[0].MessageID)
	}
	if m := r.session(first.Conversation).Messages; len(m) != 2 {
		t.Errorf("stored: %+v", m)
	}
	// In a conversation that is gone the key means nothing any more.
	r.do("DELETE", "/sessions/"+first.Conversation, "").want(http.StatusOK)
	anew := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "once"), key).want(http.StatusOK))
	if anew.Conversation == first.Conversation {
		t.Error("a deleted session came back")
	}
}

// TestChatSentTwiceAfterFailure: a key whose reply failed asks anew.
func TestChatSentTwiceAfterFailure(t *testing.T) {
	r := newRig(t)
	key := header("Idempotency-Key", newID())
	r.answer("try", mistralsim.Unprocessable("x"))
	r.do("POST", "/chat", chatBody("", "try"), key).wantError(http.StatusBadGateway, "upstream_error")
	r.answer("try", mistralsim.Answer{Text: "better"})
	got := decode[chatReply](t, r.do("POST", "/chat", chatBody("", "try"), key).want(http.StatusOK))
	if got.Response != "better" {
		t.Errorf("got %+v", got)
	}
	if m := r.session(got.Conversation).Messages; len(m) != 2 || m[1].FinishReason != "stop" {
		t.Errorf("the failed reply still stands: %+v", m)
	}
}

// TestChatSentTwiceAfterGoingOn: what failed long ago stays as it is.
func TestChatSentTwiceAfterGoingOn(t *testing.T) {
	r := newRig(t)
	id, key := r.newSession(), header("Idempotency-Key", newID())
	r.answer("try", mistralsim.Unauthorized())
	r.do("POST", "/chat", chatBody(id, "try"), key).wantError(http.StatusBadGateway, "upstream_auth")
	r.do("POST", "/chat", chatBody(id, "go on")).want(http.StatusOK)
	r.do("POST", "/chat", chatBody(id, "try"), key).wantError(http.StatusBadGateway, "upstream_auth")
	if m := r.session(id).Messages; len(m) != 4 {
		t.Errorf("stored: %+v", m)
	}
}
