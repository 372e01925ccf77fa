package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/gorilla/mux"

	"lumos/backend/httpapi/wire"
	"lumos/backend/hub"
	"lumos/backend/session"
)

// defaultEndPhrase is what the deep-chat widget is told at a reply's end, and
// has to be set to: connect={…,"stream":{"simulation":"[DONE]"}}.
const defaultEndPhrase = "[DONE]"

// deepChat tells whether the client is a deep-chat widget.
func deepChat(r *http.Request) bool {
	const header = "Sec-WebSocket-Protocol"
	return hasToken(r.Header, header, subprotocolDeep) && !hasToken(r.Header, header, subprotocol)
}

func deepDialect(r *http.Request) hub.Dialect {
	if end := r.URL.Query().Get("end"); end != "" {
		return &wire.DeepChat{EndPhrase: end}
	}
	return &wire.DeepChat{EndPhrase: defaultEndPhrase}
}

// reserve finds or makes the session that the widget joins. All that can be
// refused is refused here, before the upgrade: once it was connected the widget
// comes back at once, for ever.
func (s *server) reserve(ctx context.Context, r *http.Request) (*hub.Claim, error) {
	if joinQuery(r.URL.Query()).Watch {
		return nil, hub.Invalid("The subprotocol deep-chat has no way to watch: leave watch out.")
	}
	var found session.Session
	if _, ok := mux.Vars(r)["session_id"]; ok {
		named, ok := s.pathID(r)
		if !ok {
			return nil, session.ErrNotFound
		}
		var err error
		if found, err = s.Sessions.Check(ctx, named.id, subject(r)); err != nil {
			return nil, err
		}
	} else {
		if s.Hub.Draining() {
			return nil, hub.ErrDraining
		}
		var err error
		if found, err = s.newSession(ctx, r); err != nil {
			return nil, err
		}
	}
	seat, err := s.Hub.Reserve(ctx, caller(r), found.Ref())
	if errors.Is(err, session.ErrTaken) {
		return nil, refuse(hub.CodeBusy, "Another connection has this conversation.")
	}
	return seat, err
}
