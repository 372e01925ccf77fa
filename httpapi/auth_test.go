package httpapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"lumos/backend/httpapi"
)

const tokenSecret = "a secret of tests, 32 bytes long, and more"

// claimsOf are the claims of a good token, as changed by pairs of a name and a
// value; nil: without it.
func claimsOf(subject string, changed ...any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": subject, "exp": time.Now().Add(time.Hour).Unix(), "iss": "issuer", "aud": "hub"}
	for i := 0; i < len(changed); i += 2 {
		c[changed[i].(string)] = changed[i+1]
		if changed[i+1] == nil {
			delete(c, changed[i].(string))
		}
	}
	return c
}

func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for name, value := range header {
		token.Header[name] = value
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// tokenOf is a good HS256 token.
func tokenOf(t testing.TB, subject string, changed ...any) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, []byte(tokenSecret), nil, claimsOf(subject, changed...))
}

func withTokens(t testing.TB, cfg httpapi.TokenConfig) rigOption {
	t.Helper()
	tokens, err := httpapi.NewTokens(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return withAPI(func(c *httpapi.Config) { c.Tokens = tokens })
}

// withSecret is a rig whose tokens are HS256.
func withSecret(t testing.TB) rigOption {
	return withTokens(t, httpapi.TokenConfig{Secret: tokenSecret, Issuer: "issuer", Audience: "hub"})
}

func authorized(token string) func(*http.Request) { return header("Authorization", "Bearer "+token) }

// TestTokenRefused: every way in which a token can be wrong.
func TestTokenRefused(t *testing.T) {
	r := newRig(t, withSecret(t))
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := tokenOf(t, "me")
	segments := strings.Split(good, ".")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + segments[1] + "."
	hs := func(method jwt.SigningMethod, header map[string]any, changed ...any) string {
		return sign(t, method, []byte(tokenSecret), header, claimsOf("me", changed...))
	}
	for name, value := range map[string]string{
		"none":                  "",
		"another scheme":        "Basic bWU6bWU=",
		"no token":              "Bearer ",
		"not a token":           "Bearer x.y.z",
		"two segments":          "Bearer " + segments[0] + "." + segments[1],
		"alg none":              "Bearer " + unsigned,
		"alg None":              "Bearer " + strings.Replace(unsigned, "none", "None", 1),
		"without a signature":   "Bearer " + segments[0] + "." + segments[1] + ".",
		"another's signature":   "Bearer " + segments[0] + "." + segments[1] + "." + strings.Split(tokenOf(t, "you"), ".")[2],
		"another's claims":      "Bearer " + segments[0] + "." + strings.Split(tokenOf(t, "you"), ".")[1] + "." + segments[2],
		"another secret":        "Bearer " + sign(t, jwt.SigningMethodHS256, []byte("another secret, which is long enough"), nil, claimsOf("me")),
		"HS512":                 "Bearer " + hs(jwt.SigningMethodHS512, nil),
		"ES256":                 "Bearer " + sign(t, jwt.SigningMethodES256, elliptic256, nil, claimsOf("me")),
		"expired":               "Bearer " + hs(jwt.SigningMethodHS256, nil, "exp", time.Now().Add(-time.Minute).Unix()),
		"without exp":           "Bearer " + hs(jwt.SigningMethodHS256, nil, "exp", nil),
		"exp as text":           "Bearer " + hs(jwt.SigningMethodHS256, nil, "exp", "tomorrow"),
		"not yet":               "Bearer " + hs(jwt.SigningMethodHS256, nil, "nbf", time.Now().Add(time.Minute).Unix()),
		"without sub":           "Bearer " + hs(jwt.SigningMethodHS256, nil, "sub", nil),
		"an empty sub":          "Bearer " + hs(jwt.SigningMethodHS256, nil, "sub", ""),
		"a long sub":            "Bearer " + hs(jwt.SigningMethodHS256, nil, "sub", strings.Repeat("s", 256)),
		"sub as a number":       "Bearer " + hs(jwt.SigningMethodHS256, nil, "sub", 7),
		"another issuer":        "Bearer " + hs(jwt.SigningMethodHS256, nil, "iss", "other"),
		"without an issuer":     "Bearer " + hs(jwt.SigningMethodHS256, nil, "iss", nil),
		"another audience":      "Bearer " + hs(jwt.SigningMethodHS256, nil, "aud", "other"),
		"other audiences":       "Bearer " + hs(jwt.SigningMethodHS256, nil, "aud", []string{"a", "b"}),
		"an unknown extension":  "Bearer " + hs(jwt.SigningMethodHS256, map[string]any{"crit": []string{"b64"}, "b64": true}),
		"padding":               "Bearer " + good + "=",
		"loose bits at the end": "Bearer " + loosen(t, good),
		"a space in it":         "Bearer " + segments[0] + ". " + segments[1] + "." + segments[2],
		"much too long":         "Bearer " + hs(jwt.SigningMethodHS256, nil, "x", strings.Repeat("x", 12<<10)),
	} {
		t.Run(name, func(t *testing.T) {
			a := r.do("POST", "/sessions", "", func(req *http.Request) {
				if value != "" {
					req.Header.Set("Authorization", value)
				}
			}).wantError(401, "unauthorized")
			want := `Bearer error="invalid_token"`
			if value == "" || !strings.HasPrefix(value, "Bearer") {
				want = "Bearer"
			}
			if got := a.Header.Get("WWW-Authenticate"); got != want {
				t.Errorf("WWW-Authenticate: %s, want %s", got, want)
			}
		})
	}
	r.do("POST", "/sessions", "", authorized(good), func(req *http.Request) {
		req.Header.Add("Authorization", "Bearer "+tokenOf(t, "you"))
	}).wantError(401, "unauthorized")
	if log := r.log.String(); strings.Contains(log, segments[1]) || strings.Contains(log, segments[2]) {
		t.Error("a token is in the log")
	}
}

// loosen changes bits of a token's last character that mean nothing.
func loosen(t *testing.T, token string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	// 32 bytes are 43 characters but for two bits of the last one.
	return token[:len(token)-1] + string(alphabet[last^1])
}

// TestTokenAccepted: what is right although it looks unusual.
func TestTokenAccepted(t *testing.T) {
	r := newRig(t, withSecret(t))
	for name, change := range map[string]func(*http.Request){
		"plain":              authorized(tokenOf(t, "me")),
		"scheme in capitals": header("Authorization", "BEARER "+tokenOf(t, "me")),
		"one of audiences":   authorized(tokenOf(t, "me", "aud", []string{"other", "hub"})),
		"a clock behind":     authorized(tokenOf(t, "me", "exp", time.Now().Add(-20*time.Second).Unix())),
		"a clock ahead":      authorized(tokenOf(t, "me", "nbf", time.Now().Add(20*time.Second).Unix())),
		"iat in the future":  authorized(tokenOf(t, "me", "iat", time.Now().Add(time.Hour).Unix())),
		"a long one":         authorized(tokenOfSize(t, 16<<10)),
		"a fraction":         authorized(tokenOf(t, "me", "exp", float64(time.Now().UnixMilli()+60000)/1000)),
		"subprotocol":        header("Sec-WebSocket-Protocol", "chathub.v1, bearer."+tokenOf(t, "me")),
	} {
		t.Run(name, func(t *testing.T) { r.do("POST", "/sessions", "", change).want(201) })
	}
}

// TestTokenRoutes: every route but those that the contract names wants one.
func TestTokenRoutes(t *testing.T) {
	r := newRig(t, withSecret(t))
	id := decode[chatSession](t, r.do("POST", "/sessions", "", authorized(tokenOf(t, "me"))).want(201)).ID
	for _, route := range [][2]string{
		{"POST", "/sessions"}, {"GET", "/sessions/" + id}, {"DELETE", "/sessions/" + id},
		{"GET", "/sessions/" + id + "/stream"}, {"POST", "/sessions/" + id + "/stop"},
		{"POST", "/chat"}, {"POST", "/api/chat"}, {"GET", "/api/chat/" + id + "/stream"}, {"POST", "/api/chat/" + id + "/stop"},
	} {
		r.do(route[0], route[1], `{"message":"hi"}`).wantError(401, "unauthorized")
	}
	for _, path := range []string{"/", "/widget.js", "/widget-more.js", "/transport.js", "/openapi.yaml", "/asyncapi.yaml", "/healthz", "/readyz", "/metrics"} {
		r.do("GET", path, "").want(200)
	}
	r.do("GET", "/nothing", "").wantError(404, "not_found")
}

// TestTokenOwner: a session is its subject's, by whatever way somebody else comes.
func TestTokenOwner(t *testing.T) {
	r := newRig(t, withSecret(t))
	mine, yours := tokenOf(t, "me"), tokenOf(t, "you")
	id := decode[chatSession](t, r.do("POST", "/sessions", "", authorized(mine)).want(201)).ID
	r.do("POST", "/chat", `{"message":"hi","conversation_id":"`+id+`"}`, authorized(mine)).want(200)
	for _, route := range [][2]string{
		{"GET", "/sessions/" + id}, {"GET", "/sessions/" + id + "/stream"}, {"POST", "/sessions/" + id + "/stop"},
		{"POST", "/api/chat/" + id + "/stop"}, {"DELETE", "/sessions/" + id},
	} {
		r.do(route[0], route[1], "", authorized(yours)).wantError(404, "session_not_found")
	}
	r.do("GET", "/api/chat/"+id+"/stream", "", authorized(yours)).want(204)
	r.do("POST", "/chat", `{"message":"hi","conversation_id":"`+id+`"}`, authorized(yours)).wantError(404, "session_not_found")
	r.do("POST", "/api/chat", `{"id":"`+id+`","trigger":"submit-message","messages":[{"id":"x","role":"user","parts":[{"type":"text","text":"hi"}]}]}`,
		authorized(yours)).wantError(404, "session_not_found")
	r.dial("/ws/"+id, offering("chathub.v1", "bearer."+yours)).wantClose(4404)
	p := r.join("/ws/"+id, offering("chathub.v1", "bearer."+mine))
	if len(p.ready.Messages) != 2 {
		t.Errorf("ready has %d messages, want both", len(p.ready.Messages))
	}
	// The key of a first message means nothing to somebody else.
	key := header("Idempotency-Key", newID())
	first := decode[map[string]any](t, r.do("POST", "/chat", `{"message":"hi"}`, authorized(mine), key).want(200))
	other := decode[map[string]any](t, r.do("POST", "/chat", `{"message":"hi"}`, authorized(yours), key).want(200))
	if first["conversation_id"] == other["conversation_id"] {
		t.Error("two subjects share a session by its key")
	}
}

// offering offers subprotocols in a handshake.
func offering(protocols ...string) func(*websocket.DialOptions) {
	return func(o *websocket.DialOptions) { o.Subprotocols = protocols }
}

// TestTokenWebSocket: where a token may be, and what is answered.
func TestTokenWebSocket(t *testing.T) {
	r := newRig(t, withSecret(t))
	token := tokenOf(t, "me")
	p := r.join("/ws", offering("bearer."+token, "chathub.v1"))
	if got := p.ws.Subprotocol(); got != "chathub.v1" {
		t.Errorf("the hub chose %q, want the dialect alone", got)
	}
	p.say("", "hi")
	if got := p.reply(); got.text != "You said: hi" {
		t.Errorf("the reply is %q", got.text)
	}
	r.join("/ws", func(o *websocket.DialOptions) { o.HTTPHeader.Set("Authorization", "Bearer "+token) })
	r.join("/ws", func(o *websocket.DialOptions) { // as wscat -H
		o.Subprotocols = nil
		o.HTTPHeader.Set("Authorization", "Bearer "+token)
	})
	for _, change := range []func(*websocket.DialOptions){
		offering("chathub.v1"), offering(), offering("chathub.v1", "bearer."), offering("chathub.v1", "bearer."+token+"x"),
		offering("chathub.v1", "bearer."+token, "bearer."+token),
		offering("chathub.v1", "bearer."+tokenOf(t, "me", "exp", time.Now().Add(-time.Hour).Unix())),
	} {
		r.dial("/ws", change).wantClose(4401)
	}
	// A token alone cannot be answered: it is not to come back.
	handshake := func(req *http.Request) {
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		} {
			req.Header.Set(name, value)
		}
	}
	a := r.do("GET", "/ws", "", handshake, header("Sec-WebSocket-Protocol", "bearer."+token)).wantError(400, "invalid_request")
	all, _ := json.Marshal(a.Header)
	if strings.Contains(string(all)+string(a.body), token[:20]) {
		t.Error("the token comes back")
	}
	// deep-chat would reconnect for ever: it is refused before the upgrade.
	r.do("GET", "/ws", "", handshake, header("Sec-WebSocket-Protocol", "deep-chat")).wantError(401, "unauthorized")
}
