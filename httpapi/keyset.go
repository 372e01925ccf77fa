package httpapi

import (
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
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"lumos/backend/session"
)

const (
	// keysTimeout bounds one fetch of the keys, maxKeys its size in bytes.
	keysTimeout = 10 * time.Second
	maxKeySet   = 1 << 20
	// keysFresh is how long keys are used before they are looked for again: so
	// long a key that was withdrawn may still be accepted.
	keysFresh           = time.Hour
	defaultRefetchEvery = 30 * time.Second
	// minRSA is the least that RFC 7518, section 3.3, allows, in bits.
	minRSA = 2048
)

// keyAlgorithms are those of tokens that are checked with public keys.
var keyAlgorithms = []string{"RS256", "ES256"}

// keySet is the public keys at a URL (RFC 7517): a jwkset.Storage that fetches
// them when they are old or when a key is missing. It does not use the
// library's own fetching, where a token with an unknown key waits for its turn
// under the same limit of time as the fetch, one odd key spoils the whole set,
// and the answer may be of any size.
type keySet struct {
	jwkset.Storage // those of the last fetch that succeeded
	url            string
	client         *http.Client
	every          time.Duration
	log            *slog.Logger
	keys           keyfunc.Keyfunc

	mu       sync.Mutex // guards what follows
	tried    time.Time  // when the last fetch began
	fetched  time.Time  // when the last that succeeded began; zero: none did
	fetching chan struct{}
}

func newKeySet(cfg TokenConfig) (*keySet, error) {
	k := &keySet{
		Storage: jwkset.NewMemoryStorage(), url: cfg.JWKSURL, every: cfg.RefetchEvery, log: cfg.Logger,
		client: &http.Client{
			Timeout:       keysTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if k.every == 0 {
		k.every = defaultRefetchEvery
	}
	if k.log == nil {
		k.log = slog.Default()
	}
	var err error
	if k.keys, err = keyfunc.New(keyfunc.Options{Storage: k}); err != nil {
		return nil, err
	}
	k.refresh()
	return k, nil
}

// find returns the key, or the keys, that a token may be signed with.
func (k *keySet) find(ctx context.Context, token *jwt.Token) (any, error) {
	return k.keys.KeyfuncCtx(ctx)(token)
}

// KeyRead implements jwkset.Storage.
func (k *keySet) KeyRead(ctx context.Context, id string) (jwkset.JWK, error) {
	k.refreshOld()
	key, err := k.Storage.KeyRead(ctx, id)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	if err := k.await(ctx, k.refresh()); err != nil {
		return key, err
	}
	return k.Storage.KeyRead(ctx, id)
}

// KeyReadAll implements jwkset.Storage. It serves tokens that name no key.
func (k *keySet) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	k.refreshOld()
	all, err := k.Storage.KeyReadAll(ctx)
	if err != nil || len(all) > 0 {
		return all, err
	}
	if err := k.await(ctx, k.refresh()); err != nil {
		return nil, err
	}
	return k.Storage.KeyReadAll(ctx)
}

func (k *keySet) refreshOld() {
	k.mu.Lock()
	old := time.Since(k.fetched) > keysFresh
	k.mu.Unlock()
	if old {
		k.refresh()
	}
}

// refresh begins a fetch, unless the last one began a short while ago, and
// returns a channel that is closed when the one that is under way ends; nil:
// none is.
func (k *keySet) refresh() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetching == nil && time.Since(k.tried) >= k.every {
		k.tried, k.fetching = time.Now(), make(chan struct{})
		go k.fetch(k.tried)
	}
	return k.fetching
}

// await waits for a fetch. Errors: errKeysAway if none has succeeded yet; ctx's.
func (k *keySet) await(ctx context.Context, fetching <-chan struct{}) error {
	if fetching != nil {
		select {
		case <-fetching:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetched.IsZero() {
		return errKeysAway
	}
	return nil
}

// fetch replaces the keys, or keeps those that are there.
func (k *keySet) fetch(began time.Time) {
	err := session.Rescue(k.log, "fetching the keys of tokens", uuid.Nil, func() error {
		keys, err := k.load()
		if err != nil {
			return err
		}
		return k.KeyReplaceAll(context.Background(), keys)
	})
	if err != nil && !errors.Is(err, session.ErrPanicked) {
		k.log.Warn("the keys of tokens could not be fetched", "url", k.url, "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.fetched = began
	}
	close(k.fetching)
	k.fetching = nil
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

// usable makes a key of m, if it is a public one for signatures of the
// algorithms that are accepted.
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
