package httpapi

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"lumos/backend/httpapi/wire"
	"lumos/backend/hub"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// handleSDKChat is POST /api/chat.
func (s *server) handleSDKChat(w http.ResponseWriter, r *http.Request) error {
	if err := s.Hub.AdmitRequest(r.Context(), caller(r)); err != nil {
		return err
	}
	in, err := s.readSDK(w, r)
	if err != nil {
		return err
	}
	named, ok := s.chatID(r, in.id)
	if !ok {
		return s.errNoName()
	}
	turn, err := in.turn(named.id)
	if err != nil {
		return err
	}
	if err := s.Hub.CheckContent(turn.User.Content); err != nil {
		return err
	}
	ref, err := s.openSDK(r, named, turn.Page)
	if err != nil {
		return err
	}
	said, err := s.saySDK(r, ref, turn)
	if err != nil {
		return err
	}
	defer s.Hub.CountStream(caller(r))()
	enc := &wire.AISDK{}
	if shown := &turn.Page.Last; shown.ID == said.Reply { // the page appends the stream to what it shows
		enc.Shown = shown
	}
	return s.streamSDK(w, r, said, reply.Offset{}, enc)
}

// openSDK finds the conversation, or makes it, unless the page shows answers in it.
func (s *server) openSDK(r *http.Request, named chat, page *session.Page) (session.Ref, error) {
	found, err := s.Sessions.Check(r.Context(), named.id, subject(r))
	if !errors.Is(err, session.ErrNotFound) || !named.begins || page.Answered() {
		return found.Ref(), err
	}
	if s.Hub.Draining() {
		return session.Ref{}, hub.ErrDraining
	}
	made, err := s.Sessions.Open(r.Context(), subject(r), named.id)
	return made.Ref(), err
}

// saySDK says the turn. If another reply runs, it stops that first: the SDK's own stop only
// drops its request.
func (s *server) saySDK(r *http.Request, conversation session.Ref, t session.Turn) (*reply.Reply, error) {
	const tries = 5 // another client may say something after each stop
	for i := 0; ; i++ {
		said, _, err := s.Hub.Say(r.Context(), caller(r), conversation, t)
		if !errors.Is(err, session.ErrBusy) || i == tries {
			return said, err
		}
		if _, _, err := s.Hub.Stop(r.Context(), conversation, uuid.Nil); err != nil {
			return nil, err
		}
	}
}

// handleSDKStream is GET /api/chat/{id}/stream: what the SDK asks for when a
// page is loaded again. The running reply comes from its first chunk.
func (s *server) handleSDKStream(w http.ResponseWriter, r *http.Request) error {
	var running *reply.Reply
	ref, err := s.session(r)
	if err == nil {
		running, err = s.Hub.Running(r.Context(), ref)
	}
	if err != nil && hub.Classify(err).Code != hub.CodeNotFound {
		return err
	}
	if running == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.streamSDK(w, r, running, reply.Offset{}, &wire.AISDK{})
}
