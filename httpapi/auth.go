package httpapi

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"lumos/backend/hub"
)

const (
	// clockSkew is how far the clocks of the hub and of the tokens' issuer may be apart.
	clockSkew = 30 * time.Second
	// maxToken and maxSubject bound a token and its sub, in bytes. OpenID
	// Connect Core, section 2, allows a sub 255 characters.
	maxToken   = 16 << 10
	maxSubject = 255
	// bearerProtocol begins the subprotocol in which a browser sends a token.
	bearerProtocol = "bearer."
)

// TokenConfig says which tokens are accepted. Exactly one of Secret and JWKSURL
// is set.
type TokenConfig struct {
	Secret   string // of HS256 tokens
	JWKSURL  string // where the keys of RS256 and ES256 tokens are
	Issuer   string // the iss that a token must have; "": any
	Audience string // the aud that a token must have; "": any
	// RefetchEvery is the least time between two fetches of the keys, for a token that the
	// known keys do not verify; 0: 30 s.
	RefetchEvery time.Duration
	Logger       *slog.Logger // nil: slog.Default()
}

// Tokens checks JSON Web Tokens (RFC 7519). It is safe for concurrent use.
type Tokens struct {
	parser *jwt.Parser
	secret []byte
	keys   *keySet // nil: the secret counts
}

// errKeysAway: there are no keys to check a token with.
var errKeysAway = refuse(hub.CodeStoreUnavailable, "The keys that tokens are checked with cannot be reached. Try again in a moment.")

// NewTokens returns a Tokens. It does not wait for the keys, which are fetched in the
// background, and again when needed.
func NewTokens(cfg TokenConfig) (*Tokens, error) {
	options := []jwt.ParserOption{jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew), jwt.WithStrictDecoding()}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	t := &Tokens{}
	switch {
	case (cfg.Secret == "") == (cfg.JWKSURL == ""):
		return nil, errors.New("httpapi: tokens need either a secret or the URL of a key set")
	case cfg.Secret != "":
		// The algorithms are pinned by the configuration and never taken from a
		// token (RFC 8725, section 3.1): so a public key is no HMAC secret here.
		options = append(options, jwt.WithValidMethods([]string{"HS256"}))
		t.secret = []byte(cfg.Secret)
	default:
		options = append(options, jwt.WithValidMethods(keyAlgorithms))
		t.keys = newKeySet(cfg)
	}
	t.parser = jwt.NewParser(options...)
	return t, nil
}

// check returns whose the token is and until when it is accepted.
// Errors: errKeysAway; a *hub.Error with CodeUnauthorized.
func (t *Tokens) check(ctx context.Context, raw string) (subject string, expires time.Time, err error) {
	if len(raw) > maxToken {
		return "", time.Time{}, errLongToken
	}
	if !exactJSON(raw) {
		return "", time.Time{}, errBadToken
	}
	claims, err := t.parse(ctx, raw)
	switch {
	case errors.Is(err, errKeysAway):
		return "", time.Time{}, errKeysAway
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", time.Time{}, errOldToken
	case err != nil, claims.Subject == "", len(claims.Subject) > maxSubject:
		return "", time.Time{}, errBadToken // without the cause, which may hold parts of the token
	}
	return claims.Subject, claims.ExpiresAt.Add(clockSkew), nil
}

// parse returns a token's claims, if it is signed and valid. Errors: jwt's;
// errKeysAway; ctx's.
func (t *Tokens) parse(ctx context.Context, raw string) (*exactClaims, error) {
	if t.keys == nil {
		return t.parseWith(raw, func(*jwt.Token) (any, error) { return t.secret, nil })
	}
	known := t.keys.current()
	claims, err := t.parseWith(raw, known.find)
	if !errors.Is(err, jwt.ErrTokenSignatureInvalid) && !errors.Is(err, jwt.ErrTokenUnverifiable) {
		return claims, err
	}
	newer, waited := t.keys.newer(ctx, known)
	if waited != nil || newer == known {
		return claims, errors.Join(err, waited)
	}
	return t.parseWith(raw, newer.find)
}

func (t *Tokens) parseWith(raw string, find jwt.Keyfunc) (*exactClaims, error) {
	claims := new(exactClaims)
	_, err := t.parser.ParseWithClaims(raw, claims, func(token *jwt.Token) (any, error) {
		// Extensions that must be understood are not (RFC 7515, section 4.1.11).
		if _, ok := token.Header["crit"]; ok {
			return nil, errBadToken
		}
		return find(token)
	})
	return claims, err
}

// exactClaims are a token's claims by their exact names, upper and lower case
// apart (RFC 7519, section 4). encoding/json would take "Sub" for "sub".
type exactClaims struct{ jwt.RegisteredClaims }

// UnmarshalJSON implements json.Unmarshaler.
func (c *exactClaims) UnmarshalJSON(text []byte) error {
	return jsonv2.Unmarshal(text, &c.RegisteredClaims)
}

// exactJSON tells whether a token's header and claims are JSON that means one
// thing to every reader: no name comes twice, and all text is Unicode, without
// halves of surrogate pairs, which different readers replace differently.
func exactJSON(raw string) bool {
	header, rest, _ := strings.Cut(raw, ".")
	claims, _, _ := strings.Cut(rest, ".")
	for _, part := range []string{header, claims} {
		text, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || !jsontext.Value(text).IsValid() {
			return false
		}
	}
	return true
}

var (
	errNoToken   = refuse(hub.CodeUnauthorized, "A token is needed: Authorization: Bearer, or on a WebSocket the subprotocol bearer.<jwt>.")
	errBadToken  = refuse(hub.CodeUnauthorized, "The token is not accepted.")
	errOldToken  = refuse(hub.CodeUnauthorized, "The token has expired.")
	errLongToken = refuse(hub.CodeUnauthorized, "The token is too long: it may have 16 KiB.")
)

// bearer returns the token that a request carries. Errors: errNoToken;
// errBadToken for several.
func bearer(r *http.Request) (string, error) {
	var found []string
	for _, v := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(v, " ")
		if strings.EqualFold(scheme, "Bearer") {
			found = append(found, strings.TrimLeft(token, " "))
		}
	}
	if len(found) == 0 { // the header wins over subprotocols
		found = offeredTokens(r.Header)
	}
	switch len(found) {
	case 0:
		return "", errNoToken
	case 1:
		return found[0], nil
	}
	return "", errBadToken
}

// offeredTokens returns the tokens that are offered as subprotocols.
func offeredTokens(h http.Header) []string {
	var found []string
	for _, v := range h.Values("Sec-WebSocket-Protocol") {
		for part := range strings.SplitSeq(v, ",") {
			if token, ok := strings.CutPrefix(strings.TrimSpace(part), bearerProtocol); ok {
				found = append(found, token)
			}
		}
	}
	return found
}

// challenge sets WWW-Authenticate for a refusal (RFC 6750, section 3).
func challenge(w http.ResponseWriter, err error) {
	switch {
	case err == errNoToken:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case err == errBadToken, err == errOldToken, err == errLongToken:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
}
