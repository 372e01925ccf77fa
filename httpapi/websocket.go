package httpapi

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
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

// handleWebSocket is GET /ws and GET /ws/{session_id}. It upgrades first and refuses by a
// close code, since a browser cannot read the status of a handshake.
func (s *server) handleWebSocket(w http.ResponseWriter, r *http.Request) error {
	arrived := time.Now()
	if err := checkUpgrade(w, r); err != nil {
		return err
	}
	r, refused := s.identify(w, r)
	ctx, cancel := context.WithTimeout(context.Background(), hub.StoreTimeout)
	defer cancel()
	join := joinQuery(r.URL.Query())
	if deepChat(r) {
		if refused != nil {
			challenge(w, refused)
			return refused
		}
		var err error
		if join, err = s.reserve(ctx, r); err != nil {
			return err
		}
	}
	claim := join.Claim
	defer func() {
		if claim != nil { // the upgrade failed
			s.Hub.Leave(claim)
		}
	}()
	sock, err := wsconn.Accept(w, r, &s.sockets)
	if err != nil {
		return nil
	}
	if refused == nil && claim == nil {
		// A panic here has to close the connection, which net/http has left to us.
		refused = session.Rescue(s.Logger, "a connection's beginning", uuid.Nil, func() (err error) {
			join.Ref, err = s.place(ctx, r, join.Watch)
			return err
		})
	}
	if refused != nil {
		s.countRefusal(refused)
		code, why := s.Hub.CloseFor(join.Ref, refused)
		hub.Refuse(sock, code, why)
		return nil
	}
	if sock.Gone() {
		// The client gave up while this node was suspended or waited for the store. It must
		// not take the conversation from the page's newer connection.
		sock.Kill()
		return nil
	}
	join.Arrived, join.From, join.Expires = arrived, caller(r), identityOf(r).expires
	claim = nil // Serve owns it
	s.Hub.Serve(ctx, sock, join)
	return nil
}

// deepChat tells whether the client is a deep-chat widget.
func deepChat(r *http.Request) bool {
	const header = "Sec-WebSocket-Protocol"
	return hasToken(r.Header, header, subprotocolDeep) && !hasToken(r.Header, header, subprotocol)
}

// reserve finds or makes the session that the widget joins, and claims it. All refusals are
// here, before the upgrade: a widget that was connected once reconnects at once, for ever.
func (s *server) reserve(ctx context.Context, r *http.Request) (hub.Join, error) {
	q := r.URL.Query()
	if q.Get("watch") == "1" {
		return hub.Join{}, hub.Invalid("The subprotocol deep-chat has no way to watch: leave watch out.")
	}
	ref, err := s.place(ctx, r, false)
	if err != nil {
		return hub.Join{}, err
	}
	claim, err := s.Hub.Reserve(ctx, caller(r), ref)
	if errors.Is(err, session.ErrTaken) {
		err = refuse(hub.CodeBusy, "Another connection has this conversation.")
	}
	// The widget has to be configured with the phrase: connect={…,"stream":{"simulation":"[DONE]"}}.
	end := cmp.Or(q.Get("end"), "[DONE]")
	return hub.Join{Ref: ref, Claim: claim, Offset: -1, Dialect: &wire.DeepChat{EndPhrase: end}}, err
}

// place returns the session that the path names. If it names none, place makes one, unless
// limits refuse it.
func (s *server) place(ctx context.Context, r *http.Request, watch bool) (session.Ref, error) {
	if _, ok := mux.Vars(r)["session_id"]; ok {
		named, ok := s.pathID(r)
		if !ok {
			return session.Ref{}, session.ErrNotFound
		}
		found, err := s.Sessions.Check(ctx, named.id, subject(r))
		return found.Ref(), err
	}
	if watch {
		return session.Ref{}, session.ErrNotFound
	}
	if s.Hub.Draining() {
		return session.Ref{}, hub.ErrDraining
	}
	if err := s.Hub.Crowded(caller(r)); err != nil {
		return session.Ref{}, err
	}
	if err := s.Hub.AdmitSession(ctx, caller(r)); err != nil {
		return session.Ref{}, err
	}
	made, err := s.Sessions.New(ctx, subject(r), uuid.Nil)
	return made.Ref(), err
}

// joinQuery reads the query of a client, which may resume. Malformed values count as absent.
func joinQuery(q url.Values) hub.Join {
	j := hub.Join{Offset: -1, Again: q.Get("again") == "1", Watch: q.Get("watch") == "1", Text: q.Get("reasoning") != "1"}
	j.Dialect = &wire.ChatHub{Reasoning: !j.Text}
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
