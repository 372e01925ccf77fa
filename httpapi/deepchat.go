package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"lumos/backend/httpapi/wire"
	"lumos/backend/hub"
	"lumos/backend/session"
)

// defaultEndPhrase ends a reply for a deep-chat widget, which has to be configured with it:
// connect={…,"stream":{"simulation":"[DONE]"}}.
const defaultEndPhrase = "[DONE]"

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
	end := cmp.Or(q.Get("end"), defaultEndPhrase)
	return hub.Join{Ref: ref, Claim: claim, Offset: -1, Dialect: &wire.DeepChat{EndPhrase: end}}, err
}
