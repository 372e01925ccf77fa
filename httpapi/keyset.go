package httpapi

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"lumos/backend/session"
)

const (
	// keysTimeout bounds one fetch of the keys, maxKeySet its size in bytes.
	keysTimeout = 10 * time.Second
	maxKeySet   = 1 << 20
	// keysFresh is how long keys are used before they are fetched again. For that long a
	// withdrawn key may still be accepted.
	keysFresh = time.Hour
	// minRSA is the least that RFC 7518, section 3.3, allows, in bits.
	minRSA = 2048
)

// keyAlgorithms are those of tokens that are checked with public keys.
var keyAlgorithms = []string{"RS256", "ES256"}

// keySet is the public keys at a URL (RFC 7517). It fetches them when they are old, or
// when a token fails by them: the issuer may have others by now. The libraries' own
// fetching lets one odd key spoil the whole set, takes an answer of any size, and never
// looks again for a token that names no key.
type keySet struct {
	url     string
	client  *http.Client
	log     *slog.Logger
	every   time.Duration // from one fetch to the next, at least
	fetches singleflight.Group
	began   time.Time // when the last fetch began; guarded by fetches
	keys    atomic.Pointer[fetched]
}

// fetched are the keys of the last fetch that succeeded.
type fetched struct {
	at   time.Time
	keys []jwkset.JWK
}

func newKeySet(cfg TokenConfig) *keySet {
	k := &keySet{
		url: cfg.JWKSURL, log: cmp.Or(cfg.Logger, slog.Default()), every: cmp.Or(cfg.RefetchEvery, 30*time.Second),
		client: &http.Client{
			Timeout:       keysTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	k.refetch()
	return k
}

// current returns the keys that are known; nil: none were fetched yet.
func (k *keySet) current() *fetched {
	f := k.keys.Load()
	if f != nil && time.Since(f.at) > keysFresh {
		k.refetch()
	}
	return f
}

// find returns the key, or the keys, that a token may be signed with.
// Errors: errKeysAway.
func (f *fetched) find(token *jwt.Token) (any, error) {
	if f == nil {
		return nil, errKeysAway
	}
	id, named := token.Header["kid"]
	var all jwt.VerificationKeySet
	for _, key := range f.keys {
		m := key.Marshal()
		if alg := m.ALG.String(); (!named || id == m.KID) && (alg == "" || alg == token.Method.Alg()) {
			all.Keys = append(all.Keys, key.Key())
		}
	}
	if len(all.Keys) == 0 {
		return nil, errors.New("there is no such key")
	}
	return all, nil
}

// newer returns keys that were fetched later than had, for a token that had does not verify;
// had, if none may be fetched yet. Errors: ctx's.
func (k *keySet) newer(ctx context.Context, had *fetched) (*fetched, error) {
	select {
	case <-k.refetch():
	case <-ctx.Done():
		return had, ctx.Err()
	}
	return k.keys.Load(), nil
}

// refetch starts a fetch, if none is under way and the last began long enough ago. The channel
// gets a value when it is done.
func (k *keySet) refetch() <-chan singleflight.Result {
	return k.fetches.DoChan("", func() (any, error) {
		if time.Since(k.began) >= k.every {
			k.began = time.Now()
			k.fetch()
		}
		return nil, nil
	})
}

// fetch replaces the keys, or keeps those that are there.
func (k *keySet) fetch() {
	err := session.Rescue(k.log, "fetching the keys of tokens", uuid.Nil, func() error {
		keys, err := k.load()
		if err == nil {
			k.keys.Store(&fetched{k.began, keys})
		}
		return err
	})
	if err != nil && !errors.Is(err, session.ErrPanicked) {
		k.log.Warn("the keys of tokens could not be fetched", "url", k.url, "error", err)
	}
}

func (k *keySet) load() ([]jwkset.JWK, error) {
	resp, err := k.client.Get(k.url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered by %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet))
	if err != nil {
		return nil, err
	}
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the answer is no JSON Web Key Set")
	}
	var keys []jwkset.JWK
	for _, m := range set.Keys {
		if key, ok := usable(m); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("of %d keys none is one for %v", len(set.Keys), keyAlgorithms)
	}
	return keys, nil
}

// usable returns the key of m, if it is a public key for signatures by keyAlgorithms.
func usable(m jwkset.JWKMarshal) (jwkset.JWK, bool) {
	if m.USE != "" && m.USE != jwkset.UseSig || m.ALG != "" && !slices.Contains(keyAlgorithms, m.ALG.String()) {
		return jwkset.JWK{}, false
	}
	key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return jwkset.JWK{}, false
	}
	switch public := key.Key().(type) {
	case *rsa.PublicKey:
		return key, public.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return key, public.Curve == elliptic.P256()
	}
	return jwkset.JWK{}, false
}
