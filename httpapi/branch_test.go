package httpapi_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/httpapi"
)

// TestBehind: on the WebSocket a message may follow an older one, or nothing, and
// what stood there stays known.
func TestBehind(t *testing.T) {
	r := newRig(t)
	p := r.join("/ws")
	id := p.ready.Conversation
	say := func(more map[string]any) replied {
		t.Helper()
		frame := map[string]any{"type": "message"}
		for k, v := range more {
			frame[k] = v
		}
		p.ask(frame)
		for p.want("message").Content != more["content"] { // the branch that it is on comes first
			p.reply()
		}
		return p.reply()
	}
	one, two := newID(), newID()
	first := say(map[string]any{"id": one, "content": "one"})
	say(map[string]any{"id": two, "content": "two"})
	say(map[string]any{"content": "too", "behind": first.id})
	r.wantSaid(id, "one", "You said: one", "too", "You said: too")
	say(map[string]any{"content": "anew", "behind": uuid.Nil.String()})
	r.wantSaid(id, "anew", "You said: anew")
	say(map[string]any{"id": two, "content": "TWO", "edit": true, "behind": first.id})
	if m := r.wantSaid(id, "one", "You said: one", "TWO", "You said: TWO"); m[2].ID != two {
		t.Errorf("the edit is %s, want %s", m[2].ID, two)
	}
	asked := r.asked()
	// Known on another branch: its branch again, and nothing is asked.
	p.ask(map[string]any{"type": "message", "id": two, "content": "two", "behind": first.id})
	for p.want("message").Content != "two" { // it may be acknowledged at once
		p.reply()
	}
	r.wantSaid(id, "one", "You said: one", "two", "You said: two")
	if r.asked() != asked {
		t.Error("it was asked again")
	}
	p.leave()

	p = r.join("/ws/" + id)
	for _, tt := range []struct {
		frame map[string]any
		code  string
	}{
		{map[string]any{"content": "x", "behind": newID()}, "conversation_changed"},
		{map[string]any{"content": "x", "behind": "x"}, "invalid_request"},
		{map[string]any{"content": "x", "behind": 7}, "invalid_request"},
		{map[string]any{"content": "x", "edit": "yes"}, "invalid_request"},
		{map[string]any{"id": one, "content": "x", "behind": uuid.Nil.String()}, "id_reused"},
	} {
		tt.frame["type"] = "message"
		frame, err := json.Marshal(tt.frame)
		if err != nil {
			t.Fatal(err)
		}
		p.send(string(frame))
		if f := p.want("error"); f.Code != tt.code {
			t.Errorf("%v: %+v", tt.frame, f)
		}
	}
	p.wantQuiet()
}

// TestChatIDs: which ids name a conversation, and what for.
func TestChatIDs(t *testing.T) {
	const space = "019180a4-8a93-4feb-8c6f-ce2cdffede43"
	v5 := func(space, name string) string { return uuid.NewSHA1(uuid.MustParse(space), []byte(name)).String() }
	open := newRig(t)
	closed := newRig(t, withTokens(t, httpapi.TokenConfig{Secret: tokenSecret, Issuer: "issuer", Audience: "hub"}))
	ann := header("Authorization", "Bearer "+tokenOf(t, "ann"))
	bob := header("Authorization", "Bearer "+tokenOf(t, "bob"))
	for _, tt := range []struct {
		id            string
		without, with bool // it begins a session, without tokens and with them
	}{
		{newID(), true, true},
		{"019180a4-8a93-7feb-8c6f-ce2cdffede43", true, true},
		{"6ba7b810-9dad-11d1-80b4-00c04fd430c8", false, true},
		{"kq3Jx8BnaNoid0Az", true, true},
		{"abcdefghijklm012", true, true},
		{"abcdefghijklmn01", false, true},
		{"abcdefghijklmnop", false, true},
		{"kq3Jx8BnaNoid0A", false, true},
		{"kq3Jx8BnaNoid0Azz", false, true},
		{"kq3Jx8BnaNoid0A-", false, true},
		{"kq3Jx8BnaNoid0Aé", false, true},
		{"__LOCALID_aB3dE5", false, true},
		{"support", false, true},
		{"my chat?#%25 é", false, true},
		{strings.Repeat("é", 200), false, true},
		{strings.Repeat("é", 201), false, false},
		{"a/b", false, false},
		{"a\nb", false, false},
		{"a\u0085b", false, false},
		{".", false, false},
		{"..", false, false},
		{"...", false, true},
		{"", false, false},
	} {
		t.Run(tt.id, func(t *testing.T) {
			want := v5(space, tt.id)
			if known, err := uuid.Parse(tt.id); err == nil {
				want = known.String()
			}
			checkChatID(t, open, tt.id, want, tt.without)
			if want == v5(space, tt.id) {
				want = v5(v5(space, "ann"), tt.id)
			}
			checkChatID(t, closed, tt.id, want, tt.with, ann)
			if tt.with && tt.id != "" {
				closed.do("GET", "/sessions/"+url.PathEscape(tt.id), "", bob).wantError(404, "session_not_found")
				closed.do("GET", "/sessions/"+want, "", bob).wantError(404, "session_not_found")
			}
		})
	}
	// A version 5 UUID is somebody's name: nobody else begins it.
	body := sdkBody(t, v5(v5(space, "ann"), "taken"), "submit-message", "", sdkSays("user", "m", "hi"))
	closed.do("POST", "/api/chat", body, bob).wantError(404, "session_not_found")
}

func checkChatID(t *testing.T, r *rig, id, want string, begins bool, change ...func(*http.Request)) {
	t.Helper()
	path := url.PathEscape(id)
	body := sdkBody(t, id, "submit-message", "", sdkSays("user", "m", "hi"))
	if !begins {
		a := r.do("POST", "/api/chat", body, change...).wantError(404, "session_not_found")
		_, isUUID := uuid.Parse(id)
		if _, text := a.failure(); isUUID != nil && len(change) == 0 && (!strings.Contains(text, "prepareSendMessagesRequest") || !strings.Contains(text, "prepareReconnectToStreamRequest")) {
			t.Errorf("it does not say what to do: %s", text)
		}
		if id != "" {
			r.do("GET", "/sessions/"+path, "", change...).wantError(404, "session_not_found")
			r.do("POST", "/api/chat/"+path+"/stop", "", change...).wantError(404, "session_not_found")
			r.do("GET", "/api/chat/"+path+"/stream", "", change...).want(204)
		}
		return
	}
	r.do("GET", "/api/chat/"+path+"/stream", "", change...).want(204)
	s := r.follow("POST", "/api/chat", body, change...)
	if start := s.until("start"); start.Metadata.Conversation != want {
		t.Errorf("the conversation is %s, want %s", start.Metadata.Conversation, want)
	}
	s.rest()
	for _, name := range []string{path, want} {
		if got := decode[chatSession](t, r.do("GET", "/sessions/"+name, "", change...).want(200)); got.ID != want {
			t.Errorf("%s is %s, want %s", name, got.ID, want)
		}
		r.do("POST", "/api/chat/"+name+"/stop", "", change...).want(200)
		r.do("GET", "/sessions/"+name+"/stream", "", change...).want(204)
	}
	if len(change) == 0 {
		p := r.join("/ws/" + path)
		if p.ready.Conversation != want {
			t.Errorf("on the WebSocket it is %s, want %s", p.ready.Conversation, want)
		}
		p.leave()
	}
}
