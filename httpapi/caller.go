package httpapi

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"lumos/backend/hub"
)

// identity is who a request comes from.
type identity struct {
	subject string    // its token's; "" without tokens
	expires time.Time // when the token is no longer accepted; zero without tokens
	caller  hub.Caller
}

type identityKey struct{}

// identify finds out who a request comes from. It returns the request with its identity, also
// with an error. Errors: as for Tokens.check; errNoToken.
func (s *server) identify(w http.ResponseWriter, r *http.Request) (*http.Request, error) {
	id := &identity{caller: hub.Caller{Client: s.addresses.client(r), Request: w.Header().Get("X-Request-Id")}}
	var err error
	if s.Tokens != nil {
		var token string
		if token, err = bearer(r); err == nil {
			id.subject, id.expires, err = s.Tokens.check(r.Context(), token)
		}
		if err == nil {
			id.caller.Client = "sub " + id.subject
		} else {
			s.Metrics.Rejected("token")
		}
	}
	return r.WithContext(context.WithValue(r.Context(), identityKey{}, id)), err
}

// private makes a handler whose requests need a token, if tokens are configured.
func (s *server) private(f handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		r, err := s.identify(w, r)
		if err != nil {
			challenge(w, err)
			return err
		}
		return f(w, r)
	}
}

func identityOf(r *http.Request) *identity { return r.Context().Value(identityKey{}).(*identity) }

// subject returns whose the request is: "" without tokens.
func subject(r *http.Request) string { return identityOf(r).subject }

// caller returns on whose behalf the request asks.
func caller(r *http.Request) hub.Caller { return identityOf(r).caller }

// addresses tells clients apart by their addresses.
type addresses struct {
	trusted []netip.Prefix // proxies whose X-Forwarded-For counts
	log     *slog.Logger
	level   slog.Level // of the line that says that clients cannot be told apart
	warned  sync.Once  // logs that line
	// These log once that an X-Forwarded-For was ignored: ignoredPrivate for a private
	// peer, which is likely the site's own proxy, ignored for any other.
	ignoredPrivate, ignored sync.Once
}

// client names who sent r, for limits. It returns "" if the peer cannot be identified;
// then no limit applies. A private peer that is not listed counts as a shared proxy.
func (a *addresses) client(r *http.Request) string {
	peer, ok := parseAddress(r.RemoteAddr)
	if !ok {
		return ""
	}
	addr := peer
	if a.isTrusted(peer) {
		addr = a.forwarded(r.Header, peer)
	} else if r.Header.Get("X-Forwarded-For") != "" {
		a.warnIgnored(peer)
	}
	if addr == peer && isPrivate(peer) {
		a.warned.Do(func() {
			a.log.Log(r.Context(), a.level, "clients come from a private address, which is taken for a proxy's: limits per client do not hold for them (TRUSTED_PROXIES names proxies whose X-Forwarded-For counts)",
				"address", peer)
		})
		return ""
	}
	if addr.Is6() { // a customer is given a /64 at least (RFC 6177)
		net, _ := addr.Prefix(64) // cannot fail: 64 is no more than 128
		addr = net.Addr()
	}
	return "ip " + addr.String()
}

// warnIgnored tells the operator of a proxy that TRUSTED_PROXIES lacks.
func (a *addresses) warnIgnored(peer netip.Addr) {
	once := &a.ignored
	if isPrivate(peer) {
		once = &a.ignoredPrivate
	}
	once.Do(func() {
		a.log.Warn("X-Forwarded-For is ignored: if this address is your proxy's, add it to TRUSTED_PROXIES, or limits per address do not hold for the clients behind it",
			"address", peer)
	})
}

// forwarded returns the client's address by X-Forwarded-For. Each proxy appends its peer, so
// the list is read from its end up to the first address that is no trusted proxy; anything
// before that may be forged.
func (a *addresses) forwarded(h http.Header, peer netip.Addr) netip.Addr {
	hops := strings.Split(strings.Join(h.Values("X-Forwarded-For"), ","), ",")
	addr := peer
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseAddress(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		if addr = hop; !a.isTrusted(hop) {
			break
		}
	}
	return addr
}

func (a *addresses) isTrusted(addr netip.Addr) bool {
	return slices.ContainsFunc(a.trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func isPrivate(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()
}

// parseAddress reads an address with or without a port.
func parseAddress(text string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}
