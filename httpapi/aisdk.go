package httpapi

import (
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

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
	conversation, err := hub.ParseID(in.id)
	if err != nil {
		return refuse(http.StatusNotFound, hub.CodeNotFound, "The chat's id must be a version 4 UUID: useChat({ id: crypto.randomUUID() }).")
	}
	turn, err := in.turn(conversation)
	if err != nil {
		return err
	}
	if turn.Kind != session.Again {
		if err := s.Hub.CheckContent(turn.User.Content); err != nil {
			return err
		}
	}
	first := in.messages == 1 && turn.Kind != session.Again
	ref, err := s.openSDK(r, conversation, first)
	if err != nil {
		return err
	}
	said, err := s.saySDK(r, ref, turn)
	if err != nil {
		return err
	}
	defer s.Hub.CountStream(caller(r))()
	return s.stream(w, r, said, reply.Offset{})
}

// openSDK finds the conversation, or makes it for its first message.
func (s *server) openSDK(r *http.Request, conversation uuid.UUID, first bool) (session.Ref, error) {
	found, err := s.Sessions.Check(r.Context(), conversation, subject(r))
	if !errors.Is(err, session.ErrNotFound) || conversation.Version() != 4 || !first {
		return found.Ref(), err
	}
	if s.Hub.Draining() {
		return session.Ref{}, hub.ErrDraining
	}
	made, err := s.Sessions.Open(r.Context(), subject(r), conversation)
	return made.Ref(), err
}

// saySDK takes the turn, for which a running reply to something else is
// stopped: the SDK's own stop only drops the request.
func (s *server) saySDK(r *http.Request, conversation session.Ref, t session.Turn) (*reply.Reply, error) {
	const tries = 5 // others may say something in between
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
	running, err := s.runningSDK(r)
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		return err
	}
	if running == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.stream(w, r, running, reply.Offset{})
}

func (s *server) runningSDK(r *http.Request) (*reply.Reply, error) {
	conversation, err := hub.ParseID(mux.Vars(r)["session_id"])
	if err != nil {
		return nil, session.ErrNotFound
	}
	found, err := s.Sessions.Check(r.Context(), conversation, subject(r))
	if err != nil {
		return nil, err
	}
	return s.Hub.Running(r.Context(), found.Ref())
}
