package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"lumos/backend/httpapi/wire"
	"lumos/backend/hub"
	"lumos/backend/hub/jsonread"
	"lumos/backend/hub/reply"
	"lumos/backend/session"
)

// handleCreateSession is POST /sessions.
func (s *server) handleCreateSession(w http.ResponseWriter, r *http.Request) error {
	if s.Hub.Draining() {
		return hub.ErrDraining
	}
	if err := s.Hub.AdmitSession(r.Context(), caller(r)); err != nil {
		return err
	}
	// No field of it has a meaning.
	if err := readBody(w, r, maxBody(s.Hub.MaxMessageBytes()), true, (*jsonread.Reader).Skip); err != nil {
		return err
	}
	made, err := s.Sessions.New(r.Context(), subject(r), uuid.Nil)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "sessions/"+made.ID.String()) // relative, for a proxy's path prefix
	writeJSON(w, http.StatusCreated, made)
	return nil
}

// handleGetSession is GET /sessions/{session_id}.
func (s *server) handleGetSession(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.session(r)
	if err != nil {
		return err
	}
	found, err := s.Sessions.Get(r.Context(), ref, session.Position{})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = wire.WriteSession(w, found) // an error is the client's going
	return nil
}

// handleDeleteSession is DELETE /sessions/{session_id}.
func (s *server) handleDeleteSession(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.session(r)
	if err != nil {
		return err
	}
	if err := s.Sessions.Delete(r.Context(), ref); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"message": "Session deleted successfully"})
	return nil
}

// handleStop is POST /sessions/{session_id}/stop.
func (s *server) handleStop(w http.ResponseWriter, r *http.Request) error {
	ref, err := s.session(r)
	if err != nil {
		return err
	}
	outcome, _, err := s.Hub.Stop(r.Context(), ref, uuid.Nil)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]string{"outcome": outcome})
	return nil
}

// chatResponse is ChatResponse of the contract.
type chatResponse struct {
	Response     string         `json:"response"`
	Reasoning    string         `json:"reasoning,omitempty"`
	Conversation uuid.UUID      `json:"conversation_id"`
	Timestamp    time.Time      `json:"timestamp"`
	MessageID    uuid.UUID      `json:"message_id"`
	FinishReason string         `json:"finish_reason"`
	Usage        *session.Usage `json:"usage,omitempty"`
}

// handleChat is POST /chat: as JSON when the reply has ended, or as a stream.
func (s *server) handleChat(w http.ResponseWriter, r *http.Request) error {
	if err := s.Hub.AdmitRequest(r.Context(), caller(r)); err != nil {
		return err
	}
	conversation, turn, err := s.readChat(w, r)
	if err != nil {
		return err
	}
	found, err := s.openChat(r, conversation, turn.User.ID)
	if err != nil {
		return err
	}
	from := caller(r)
	from.Waits = !wantsStream(r)
	said, _, err := s.Hub.Say(r.Context(), from, found.Ref(), turn)
	if err != nil {
		return err
	}
	if wantsStream(r) {
		defer s.Hub.CountStream(caller(r))()
		return s.streamSDK(w, r, said, reply.Offset{}, &wire.AISDK{})
	}
	end, err := s.Hub.Wait(r.Context(), said)
	if err != nil {
		return err
	}
	return writeReply(w, found.ID, end)
}

// openChat finds the conversation, or makes one for a message that names none;
// key is that message's id, and finds again the one that it began.
func (s *server) openChat(r *http.Request, conversation, key uuid.UUID) (session.Session, error) {
	if conversation != uuid.Nil {
		return s.Sessions.Check(r.Context(), conversation, subject(r))
	}
	if s.Hub.Draining() {
		return session.Session{}, hub.ErrDraining
	}
	return s.Sessions.New(r.Context(), subject(r), key)
}

// writeReply answers with a reply that has ended.
func writeReply(w http.ResponseWriter, conversation uuid.UUID, end *session.TextEnd) error {
	m := end.Message
	switch {
	case errors.Is(end.Err, session.ErrNotFound):
		return end.Err
	case end.Err != nil:
		return hub.ErrorOf(hub.CodeStoreUnavailable)
	case m.FinishReason == session.FinishError:
		return hub.Failure(m)
	}
	writeJSON(w, http.StatusOK, chatResponse{
		Response: m.Text(), Reasoning: m.Reasoning(), Conversation: conversation, Timestamp: m.Timestamp,
		MessageID: m.ID, FinishReason: m.FinishReason, Usage: m.Usage,
	})
	return nil
}

// session finds the session that the path names, if the request may see it.
func (s *server) session(r *http.Request) (session.Ref, error) {
	named, ok := s.pathID(r)
	if !ok {
		return session.Ref{}, s.errNoName()
	}
	found, err := s.Sessions.Check(r.Context(), named.id, subject(r))
	return found.Ref(), err
}

// handleHealth is GET /healthz: the process answers.
func (s *server) handleHealth(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// handleReady is GET /readyz: the process takes work.
func (s *server) handleReady(w http.ResponseWriter, r *http.Request) error {
	if s.Hub.Draining() {
		return hub.ErrDraining
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.Sessions.Ready(ctx); err != nil {
		return hub.ErrorOf(hub.CodeStoreUnavailable)
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ready"})
	return nil
}

func serveYAML(doc []byte) handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/yaml")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Content-Length", strconv.Itoa(len(doc)))
		_, _ = w.Write(doc) // an error is the client's going
		return nil
	}
}
