package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"lumos/backend/httpapi/wire"
	"lumos/backend/httpapi/wsconn"
	"lumos/backend/hub"
	"lumos/backend/session"
)

// The subprotocols, by preference. A client that offers none (wscat) speaks
// the first.
const (
	subprotocol     = "chathub.v1"
	subprotocolDeep = "deep-chat"
)

// storeTimeout bounds a step of the store on behalf of no request.
const storeTimeout = 5 * time.Second

// handleWebSocket is GET /ws and GET /ws/{session_id}. Behind the upgrade a refusal
// is a close code: a browser cannot read the status of a handshake.
func (s *server) handleWebSocket(w http.ResponseWriter, r *http.Request) error {
	arrived := time.Now()
	if err := checkUpgrade(w, r); err != nil {
		return err
	}
	r, refused := s.identify(w, r)
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	var claim *hub.Claim
	defer func() {
		if claim != nil { // nothing came of it
			s.Hub.Leave(claim)
		}
	}()
	if deepChat(r) {
		if refused != nil {
			challenge(w, refused)
			return refused
		}
		var err error
		if claim, err = s.reserve(ctx, r); err != nil {
			return err
		}
	}
	sock, err := wsconn.Accept(w, r, &s.sockets)
	if err != nil {
		return nil
	}
	if refused != nil {
		code, why := closeUnauthorized(refused)
		hub.Refuse(sock, code, why)
		return nil
	}
	join, code, why := s.joinSafely(ctx, r, claim)
	if code != 0 {
		hub.Refuse(sock, code, why)
		return nil
	}
	if sock.Gone() {
		// It gave up while this node was paused or waited for the store, and may be
		// connected elsewhere: it is not to take the conversation from itself.
		sock.Kill()
		return nil
	}
	join.Arrived, join.From, join.Expires = arrived, caller(r), identityOf(r).expires
	claim = nil // the hub's from now on
	s.Hub.Serve(ctx, sock, join)
	return nil
}

// joinSafely is join for a client that may have a claim. A panic of it closes the
// connection with a code: net/http has nothing more to do with that, and would leave
// it open.
func (s *server) joinSafely(ctx context.Context, r *http.Request, claim *hub.Claim) (j hub.Join, code hub.CloseCode, why string) {
	if claim != nil {
		return hub.Join{Ref: claim.Ref(), Claim: claim, Offset: -1, Dialect: deepDialect(r)}, 0, ""
	}
	err := session.Rescue(s.Logger, "a connection's beginning", uuid.Nil, func() error {
		j, code, why = s.join(ctx, r)
		return nil
	})
	if err != nil {
		code, why = s.Hub.CloseFor(session.Ref{}, err)
	}
	j.Text = r.URL.Query().Get("reasoning") != "1"
	j.Dialect = &wire.ChatHub{Reasoning: !j.Text}
	return j, code, why
}

// join reads where the client wants to go, and makes a session for one that
// names none.
func (s *server) join(ctx context.Context, r *http.Request) (hub.Join, hub.CloseCode, string) {
	j := joinQuery(r.URL.Query())
	if _, ok := mux.Vars(r)["session_id"]; ok {
		named, ok := s.pathID(r)
		if !ok {
			return j, hub.CloseNotFound, "no such session"
		}
		found, err := s.Sessions.Check(ctx, named.id, subject(r))
		if err != nil {
			code, why := s.Hub.CloseFor(session.Ref{ID: named.id}, err)
			return j, code, why
		}
		j.Ref = found.Ref()
		return j, 0, ""
	}
	if j.Watch {
		return j, hub.CloseNotFound, "a connection that watches has to name its session"
	}
	if s.Hub.Draining() {
		return j, hub.CloseGoingAway, "the server is going away"
	}
	made, err := s.newSession(ctx, r)
	if err != nil {
		s.countRefusal(err)
		code, why := s.Hub.CloseFor(session.Ref{}, err)
		return j, code, why
	}
	j.Ref = made.Ref()
	return j, 0, ""
}

// newSession makes a session for a connection, if there is room for both.
func (s *server) newSession(ctx context.Context, r *http.Request) (session.Session, error) {
	if err := s.Hub.Crowded(caller(r)); err != nil {
		return session.Session{}, err
	}
	if err := s.Hub.AdmitSession(ctx, caller(r)); err != nil {
		return session.Session{}, err
	}
	return s.Sessions.New(ctx, subject(r), uuid.Nil)
}

// joinQuery reads what a resuming client says. What is malformed counts as
// left out.
func joinQuery(q url.Values) hub.Join {
	j := hub.Join{Offset: -1, Again: q.Get("again") == "1", Watch: q.Get("watch") == "1"}
	j.Client, _ = hub.ParseID(q.Get("client"))
	j.After, _ = hub.ParseID(q.Get("after"))
	if n, err := strconv.Atoi(q.Get("offset")); err == nil && n >= 0 {
		j.Offset = n
	}
	if n, err := strconv.ParseInt(q.Get("epoch"), 10, 64); err == nil && n > 0 {
		j.Epoch = n
	}
	return j
}

// checkUpgrade refuses what is no WebSocket handshake (RFC 6455, section 4.2.1)
// in the contract's words; the library would answer in its own.
func checkUpgrade(w http.ResponseWriter, r *http.Request) error {
	if !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1 || !hasToken(r.Header, "Connection", "upgrade") || !hasToken(r.Header, "Upgrade", "websocket") {
		return upgradeRequired(w, "This address speaks WebSocket only.")
	}
	if r.Header.Get("Sec-WebSocket-Version") != "13" {
		w.Header().Set("Sec-WebSocket-Version", "13")
		return upgradeRequired(w, "Only version 13 of WebSocket is spoken here.")
	}
	if len(offeredTokens(r.Header)) > 0 && !hasToken(r.Header, "Sec-WebSocket-Protocol", subprotocol) && !hasToken(r.Header, "Sec-WebSocket-Protocol", subprotocolDeep) {
		// A token is never sent back, and browsers fail a connection for which
		// none of what they offered is chosen.
		return hub.Invalid("Offer the subprotocol chathub.v1 beside the token.")
	}
	keys := r.Header.Values("Sec-WebSocket-Key")
	if len(keys) == 1 {
		if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(keys[0])); err == nil && len(key) == 16 {
			return nil
		}
	}
	return hub.Invalid("The Sec-WebSocket-Key header must be 16 bytes in base64, once.")
}

func upgradeRequired(w http.ResponseWriter, text string) error {
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	return refuse(codeUpgrade, text)
}

func hasToken(h http.Header, name, token string) bool {
	for _, v := range h.Values(name) {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}
