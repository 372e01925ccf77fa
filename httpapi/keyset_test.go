package httpapi_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lumos/backend/httpapi"
)

// issuer is whoever issues tokens: it serves a key set, which can change.
type issuer struct {
	*httptest.Server
	asked atomic.Int64

	mu     sync.Mutex
	status int
	body   string
}

func newIssuer(t *testing.T, keys ...map[string]any) *issuer {
	i := &issuer{}
	i.serve(keys...)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		w.Header().Set("Location", i.URL+"/elsewhere")
		w.WriteHeader(i.status)
		fmt.Fprint(w, i.body)
	}))
	t.Cleanup(func() {
		i.CloseClientConnections()
		i.Close()
		http.DefaultClient.CloseIdleConnections() // shared with the key set's own
	})
	return i
}

func (i *issuer) answer(status int, body string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.body = status, body
}

func (i *issuer) serve(keys ...map[string]any) {
	body, _ := json.Marshal(map[string]any{"keys": keys})
	i.answer(http.StatusOK, string(body))
}

func number(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

// jwk is a public key as a member of a key set, as changed by pairs.
func jwk(id string, key crypto.Signer, changed ...any) map[string]any {
	m := map[string]any{"kid": id, "use": "sig"}
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", number(public.N), number(big.NewInt(int64(public.E)))
	case *ecdsa.PublicKey:
		point, _ := public.Bytes() // 4, x, y
		half := (len(point) - 1) / 2
		m["kty"], m["crv"] = "EC", public.Curve.Params().Name
		m["x"] = base64.RawURLEncoding.EncodeToString(point[1 : 1+half])
		m["y"] = base64.RawURLEncoding.EncodeToString(point[1+half:])
	}
	for i := 0; i < len(changed); i += 2 {
		m[changed[i].(string)] = changed[i+1]
	}
	return m
}

var testKeys = sync.OnceValue(func() (k struct {
	rsa, small *rsa.PrivateKey
	ec, ec2    *ecdsa.PrivateKey
	ec384      *ecdsa.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.small, _ = rsa.GenerateKey(rand.Reader, 1024)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.ec2, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.ec384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	return k
})

func kid(id string) map[string]any { return map[string]any{"kid": id} }

// withKeys is a rig that checks tokens with the keys of i.
func withKeys(t *testing.T, i *issuer, every time.Duration) rigOption {
	return withTokens(t, httpapi.TokenConfig{JWKSURL: i.URL, Issuer: "issuer", Audience: "hub", RefetchEvery: every, Logger: slog.New(slog.DiscardHandler)})
}

func (r *rig) lets(t *testing.T, token string, want int) {
	t.Helper()
	r.do("POST", "/sessions", "", authorized(token)).want(want)
}

// TestKeySet: which keys of a set count, for which tokens.
func TestKeySet(t *testing.T) {
	k := testKeys()
	secret := []byte("a secret in a set of public keys")
	private := jwk("private", k.ec2)
	d, err := k.ec2.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	private["d"] = base64.RawURLEncoding.EncodeToString(d)
	i := newIssuer(t,
		map[string]any{"kty": "OKP", "kid": "odd", "crv": "none", "x": "?"}, map[string]any{}, jwk("broken", k.ec, "x", "AAAA"),
		jwk("rsa", k.rsa), jwk("ec", k.ec, "alg", "ES256"),
		jwk("enc", k.rsa, "use", "enc"), jwk("ps", k.rsa, "alg", "PS256"), jwk("small", k.small), jwk("ec384", k.ec384),
		map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString(secret)},
	)
	r := newRig(t, withKeys(t, i, time.Hour))
	rs := func(id string, key *rsa.PrivateKey) string {
		return sign(t, jwt.SigningMethodRS256, key, kid(id), claimsOf("me"))
	}
	es := func(id string, key *ecdsa.PrivateKey) string {
		return sign(t, jwt.SigningMethodES256, key, kid(id), claimsOf("me"))
	}
	r.lets(t, rs("rsa", k.rsa), 201)
	r.lets(t, es("ec", k.ec), 201)
	r.lets(t, sign(t, jwt.SigningMethodRS256, k.rsa, nil, claimsOf("me")), 201) // of a set small enough to try
	r.lets(t, sign(t, jwt.SigningMethodES256, k.ec, nil, claimsOf("me")), 201)

	// The public key as a secret: what mixes up algorithms takes it for one.
	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	confused := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, token := range map[string]string{
		"HS256 with the public key":     sign(t, jwt.SigningMethodHS256, confused, kid("rsa"), claimsOf("me")),
		"HS256 with its DER":            sign(t, jwt.SigningMethodHS256, der, kid("rsa"), claimsOf("me")),
		"HS256 with its modulus":        sign(t, jwt.SigningMethodHS256, k.rsa.N.Bytes(), kid("rsa"), claimsOf("me")),
		"HS256 with a secret of theirs": sign(t, jwt.SigningMethodHS256, secret, kid("oct"), claimsOf("me")),
		"PS256":                         sign(t, jwt.SigningMethodPS256, k.rsa, kid("rsa"), claimsOf("me")),
		"RS512":                         sign(t, jwt.SigningMethodRS512, k.rsa, kid("rsa"), claimsOf("me")),
		"ES384":                         sign(t, jwt.SigningMethodES384, k.ec384, kid("ec384"), claimsOf("me")),
		"none":                          sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid("rsa"), claimsOf("me")),
		"RS256 naming the other key":    rs("ec", k.rsa),
		"ES256 naming the other key":    es("rsa", k.ec),
		"another's key":                 es("ec", k.ec2),
		"a key for encryption":          rs("enc", k.rsa),
		"a key for PS256":               rs("ps", k.rsa),
		"a key that is too short":       rs("small", k.small),
		"a key that nobody has":         es("nobody", k.ec2),
		"a kid that is a number":        sign(t, jwt.SigningMethodES256, k.ec, map[string]any{"kid": 7}, claimsOf("me")),
		"a key of its own":              sign(t, jwt.SigningMethodES256, k.ec2, map[string]any{"jwk": jwk("own", k.ec2)}, claimsOf("me")),
		"keys elsewhere":                sign(t, jwt.SigningMethodES256, k.ec2, map[string]any{"jku": i.URL + "/mine"}, claimsOf("me")),
		"another audience":              sign(t, jwt.SigningMethodES256, k.ec, kid("ec"), claimsOf("me", "aud", "other")),
	} {
		t.Run(name, func(t *testing.T) { r.lets(t, token, 401) })
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
}

// TestKeyRotation: a new key is found when a token names it, an old one is no
// longer accepted then, and a flood of unknown names fetches nothing.
func TestKeyRotation(t *testing.T) {
	k := testKeys()
	i := newIssuer(t, jwk("old", k.ec))
	const every = 200 * time.Millisecond
	r := newRig(t, withKeys(t, i, every))
	old := sign(t, jwt.SigningMethodES256, k.ec, kid("old"), claimsOf("me"))
	young := sign(t, jwt.SigningMethodES256, k.ec2, kid("young"), claimsOf("me"))
	r.lets(t, old, 201)
	i.serve(jwk("young", k.ec2))
	eventually(t, "the new key is known", func() bool {
		return r.do("POST", "/sessions", "", authorized(young)).StatusCode == 201
	})
	r.lets(t, old, 401)
	began, before := time.Now(), i.asked.Load()
	var flood sync.WaitGroup
	for n := range 8 {
		flood.Go(func() {
			for m := range 50 {
				token := sign(t, jwt.SigningMethodES256, k.ec, kid(fmt.Sprint(n, "-", m)), claimsOf("me"))
				r.do("POST", "/sessions", "", authorized(token))
			}
		})
	}
	flood.Wait()
	if fetched, most := i.asked.Load()-before, int64(time.Since(began)/every)+1; fetched > most {
		t.Errorf("400 tokens with unknown keys fetched them %d times, want at most %d", fetched, most)
	}
}

// TestRotationWithoutNames: S11. Tokens that name no key are tried by the new ones when
// they fail by the old, as are those whose key has another under its name; the old ones
// are refused from then on, and a flood of bad ones fetches nothing.
func TestRotationWithoutNames(t *testing.T) {
	k := testKeys()
	const every = 200 * time.Millisecond
	for name, head := range map[string]map[string]any{"without a kid": nil, "under the same kid": kid("one")} {
		t.Run(name, func(t *testing.T) {
			i := newIssuer(t, jwk("one", k.ec))
			r := newRig(t, withKeys(t, i, every))
			old := sign(t, jwt.SigningMethodES256, k.ec, head, claimsOf("me"))
			young := sign(t, jwt.SigningMethodES256, k.ec2, head, claimsOf("me"))
			r.lets(t, old, 201)
			i.serve(jwk("one", k.ec2))
			r.lets(t, old, 201) // nothing has failed yet
			eventually(t, "the new key is known", func() bool {
				return r.do("POST", "/sessions", "", authorized(young)).StatusCode == 201
			})
			r.lets(t, old, 401)
			began, before := time.Now(), i.asked.Load()
			for range 50 {
				r.lets(t, old, 401)
				r.lets(t, "x.y.z", 401) // it is none: no key would help
			}
			if fetched, most := i.asked.Load()-before, int64(time.Since(began)/every)+1; fetched > most {
				t.Errorf("100 bad tokens fetched the keys %d times, want at most %d", fetched, most)
			}
			i.answer(500, "")
			r.lets(t, young, 201)
		})
	}
}

// TestKeysAway: without keys nobody is let in, and told to come later; with
// the keys of yesterday everybody goes on.
func TestKeysAway(t *testing.T) {
	k := testKeys()
	i := newIssuer(t)
	good := sign(t, jwt.SigningMethodES256, k.ec, kid("ec"), claimsOf("me"))
	unknown := sign(t, jwt.SigningMethodES256, k.ec2, kid("other"), claimsOf("me"))
	i.answer(500, "")
	r := newRig(t, withKeys(t, i, time.Microsecond))
	for _, bad := range []struct {
		status int
		body   string
	}{{500, ""}, {302, ""}, {200, ""}, {200, "[]"}, {200, `{"keys":[]}`}, {200, `{"keys":[{"kty":"oct","k":"AAAA"}]}`}, {200, `{"keys":` + strings.Repeat("[", 1<<20)}} {
		i.answer(bad.status, bad.body)
		r.do("POST", "/sessions", "", authorized(good)).wantError(503, "store_unavailable")
	}
	r.dial("/ws", offering("chathub.v1", "bearer."+good)).wantClose(1013)
	i.serve(jwk("ec", k.ec))
	r.lets(t, good, 201)
	i.answer(500, "")
	r.lets(t, unknown, 401)
	r.lets(t, good, 201)
}
