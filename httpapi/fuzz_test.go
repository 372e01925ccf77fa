package httpapi

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/hub"
	"lumos/backend/session"
)

const fuzzSecret = "a secret for fuzzing, 32 bytes long and more"

// fuzzToken signs a header and claims as they are.
func fuzzToken(header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac(text))
}

func mac(text string) []byte {
	m := hmac.New(sha256.New, []byte(fuzzSecret))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// FuzzToken holds whatever is accepted to what RFC 7515 and 7519 say, worked
// out here without the library: as a whole token, and as a header and claims
// that somebody who has the secret signed.
func FuzzToken(f *testing.F) {
	tokens, err := NewTokens(TokenConfig{Secret: fuzzSecret})
	if err != nil {
		f.Fatal(err)
	}
	future := time.Now().Add(time.Hour).Unix()
	good, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "me", "exp": future}).SignedString([]byte(fuzzSecret))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, `{"alg":"HS256"}`, `{"sub":"me","exp":4000000000}`)
	f.Add(good+"=", `{"alg":"none"}`, `{"sub":"me","exp":1e400}`)
	f.Add(strings.Replace(good, ".", "..", 1), `{"alg":"HS256","alg":"none"}`, `{"sub":"","exp":4000000000}`)
	f.Add("", `{"alg":"HS256","crit":["exp"]}`, `{"sub":["me"],"exp":"4000000000"}`)
	f.Add("a.b.c", `{"ALG":"HS256"}`, `{"exp":4000000000,"nbf":5000000000,"sub":"me"}`)
	f.Add("", `{"alg":"HS256","Alg":"none"}`, `{"sub":"me","Sub":"you","SUB":7,"exp":4000000000,"EXP":1}`)
	f.Add("", `{"alg":"HS256"}`, `{"sub":"me","s\u0075b":"you","exp":4000000000}`)
	f.Add("", `{"alg":"HS256"}`, `{"sub":"\ud800","exp":4000000000,"x":{"y":1,"y":2}}`)
	f.Fuzz(func(t *testing.T, raw, header, claims string) {
		for _, token := range []string{raw, fuzzToken(header, claims)} {
			subject, expires, err := tokens.check(context.Background(), token)
			if err != nil {
				var refused *hub.Error
				if !errors.As(err, &refused) || refused.Code != hub.CodeUnauthorized {
					t.Fatalf("refused with %v", err)
				}
				continue
			}
			parts := strings.Split(token, ".")
			if len(parts) != 3 {
				t.Fatalf("accepted in %d parts", len(parts))
			}
			signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
			if err != nil || !hmac.Equal(signature, mac(parts[0]+"."+parts[1])) {
				t.Fatal("accepted with another signature")
			}
			// A map has names as they are; what comes twice would make it smaller.
			var fields [2]map[string]any
			for i, part := range parts[:2] {
				payload, err := base64.RawURLEncoding.DecodeString(part)
				if err != nil || !utf8.Valid(payload) || json.Unmarshal(payload, &fields[i]) != nil || len(fields[i]) != names(payload) {
					t.Fatalf("accepted with %q", payload)
				}
			}
			if fields[0]["alg"] != "HS256" || fields[1]["sub"] != subject {
				t.Fatalf("accepted for %q with %v", subject, fields)
			}
			if subject == "" || len(subject) > maxSubject || !expires.After(time.Now()) {
				t.Fatalf("accepted for %q until %v", subject, expires)
			}
		}
	})
}

// names counts the names of an object.
func names(object []byte) (n int) {
	for d, depth := json.NewDecoder(bytes.NewReader(object)), 0; ; {
		name := depth == 1
		token, err := d.Token()
		if err != nil {
			return n
		}
		switch delim, _ := token.(json.Delim); {
		case delim == '{' || delim == '[':
			depth++
		case delim != 0:
			depth--
		case name:
			n++
			var value json.RawMessage
			_ = d.Decode(&value)
		}
	}
}

// FuzzResume reads what a client says when it comes back. Whatever it is, the
// result can be used, and what was understood says the same when it is told again.
func FuzzResume(f *testing.F) {
	id := uuid.NewString()
	f.Add("after="+id+"&offset=7&epoch=2&client="+id+"&again=1", id+":2:7")
	f.Add("after="+strings.ToUpper(id)+"&offset=-1", id+":end")
	f.Add("after=&offset=99999999999999999999&epoch=-1", id+":1:2:3")
	f.Add("after=%00&offset=1e3;again=true", ":"+id)
	f.Add("offset=0x10&again=1&again=0", id+":+7")
	f.Fuzz(func(t *testing.T, query, last string) {
		q, _ := url.ParseQuery(query)
		j := joinQuery(q)
		if j.Offset < -1 || j.Epoch < 0 {
			t.Fatalf("%q: offset %d, epoch %d", query, j.Offset, j.Epoch)
		}
		seen, at, whole := parseEventID(last)
		epoch, offset := at.Epoch, at.N
		if epoch < 0 || offset < 0 || whole && offset != 0 {
			t.Fatalf("%q: %v %d %d %v", last, seen, epoch, offset, whole)
		}
		if seen == uuid.Nil && (epoch != 0 || offset != 0 || whole) && !strings.HasPrefix(last, uuid.Nil.String()) {
			t.Fatalf("%q means nothing, but %d %d %v", last, epoch, offset, whole)
		}
		if seen != uuid.Nil && !strings.HasPrefix(strings.ToLower(last), seen.String()+":") {
			t.Fatalf("%q names %v", last, seen)
		}
	})
}

// echo is a model that says what the user said.
type echo struct{}

func (echo) GenerateContent(ctx context.Context, messages []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	var o llms.CallOptions
	for _, option := range options {
		option(&o)
	}
	last := messages[len(messages)-1].Parts[0].(llms.TextContent).Text
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{StopReason: "stop"}}}, o.StreamingFunc(ctx, []byte(last))
}

func (m echo) Call(ctx context.Context, prompt string, options ...llms.CallOption) (string, error) {
	return llms.GenerateFromSinglePrompt(ctx, m, prompt, options...)
}

// FuzzSDKBody posts bodies to /api/chat. Whatever comes, the answer is a stream
// that ends well, of what the last message of the user says, or a refusal.
func FuzzSDKBody(f *testing.F) {
	sessions := session.NewMemory(session.Config{})
	h := hub.New(hub.Config{Sessions: sessions, Model: echo{}, ModelName: "echo", MaxMessageBytes: 1000})
	handler := New(Config{Hub: h, Sessions: sessions, Static: http.NotFoundHandler()})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	f.Cleanup(func() { cancel(); running.Wait() })

	id := uuid.NewString()
	message := `{"id":"m1","role":"user","parts":[{"type":"text","text":"hi"},{"type":"file","url":"x"},{"type":"text","text":" there"}]}`
	f.Add([]byte(`{"id":"` + id + `","trigger":"submit-message","messages":[` + message + `]}`))
	f.Add([]byte(`{"id":"` + id + `","trigger":"regenerate-message","messages":[` + message + `,{"id":"a","role":"assistant","parts":[]}]}`))
	f.Add([]byte(`{"id":"` + id + `","trigger":"submit-message","messageId":"m1","messages":[` + message + `]}`))
	f.Add([]byte(`{"id":"","messages":[{"role":"user"}],"trigger":7}`))
	f.Add([]byte(`{"id":"` + strings.ToUpper(id) + `","trigger":"submit-message","messages":[{"id":"` + id + `","role":"user","parts":null}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", "/api/chat", strings.NewReader(string(body))))
		switch w.Code {
		case http.StatusOK:
			if !strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n") || !utf8.Valid(w.Body.Bytes()) {
				t.Fatalf("the stream is %q", w.Body)
			}
		case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge:
			var e struct {
				Error struct{ Code, Message string }
			}
			if json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Error.Code == "" || e.Error.Message == "" {
				t.Fatalf("%d %q", w.Code, w.Body)
			}
			return
		default:
			t.Fatalf("%d %q", w.Code, w.Body)
		}
		// What is stored is what was said.
		in, err := sdkOracle(body)
		if err != nil {
			t.Fatal(err)
		}
		conversation, err := hub.ParseID(in.id)
		if err != nil {
			t.Fatal(err)
		}
		turn, err := in.turn(conversation)
		if err != nil {
			t.Fatal(err)
		}
		found, err := sessions.Check(context.Background(), conversation, "")
		if err != nil {
			t.Fatal(err)
		}
		s, err := sessions.Get(context.Background(), found.Ref(), session.Position{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range s.Messages {
			if m.ID == turn.User.ID && m.Content != turn.User.Content {
				t.Fatalf("stored is %q, said was %q", m.Content, turn.User.Content)
			}
		}
		if err := sessions.Delete(context.Background(), found.Ref()); err != nil { // the next begins anew
			t.Fatal(err)
		}
	})
}
