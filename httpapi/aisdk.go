package httpapi

import (
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"lumos/backend/hub"
	"lumos/backend/session"
)

// maxHistoryBody bounds a request of the AI SDK's, which repeats the whole
// conversation every time. Only its last user message is taken.
const maxHistoryBody = 16 << 20

// sdkRequest is what the AI SDK's DefaultChatTransport posts
// (https://ai-sdk.dev/docs/ai-sdk-ui/transport).
type sdkRequest struct {
	ID        string       `json:"id"`
	Messages  []sdkMessage `json:"messages"`
	Trigger   string       `json:"trigger"`
	MessageID string       `json:"messageId"`
}

type sdkMessage struct {
	ID    string `json:"id"`
	Role  string `json:"role"`
	Parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	} `json:"parts"`
}

// text is what the message says, its parts put together.
func (m sdkMessage) text() string {
	var text string
	for _, p := range m.Parts {
		if p.Type == "text" {
			text += p.Text
		}
	}
	return text
}

// sdkID returns the UUID that a message's id stands for: the SDK makes ids of
// its own, which are none.
func sdkID(conversation uuid.UUID, id string) uuid.UUID {
	if known, err := hub.ParseID(id); err == nil {
		return known
	}
	return uuid.NewSHA1(conversation, []byte(id))
}

// handleSDKChat is POST /api/chat.
func (s *server) handleSDKChat(w http.ResponseWriter, r *http.Request) error {
	var in sdkRequest
	if err := readBody(w, r, &in, max(maxHistoryBody, maxBody(s.MaxMessageBytes)), false); err != nil {
		return err
	}
	conversation, err := hub.ParseID(in.ID)
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
	if err := s.Hub.AdmitMessage(r.Context(), caller(r)); err != nil {
		return err
	}
	first := len(in.Messages) == 1 && turn.Kind != session.Again
	ref, err := s.openSDK(r, conversation, first)
	if err != nil {
		return err
	}
	reply, err := s.saySDK(r, ref, turn)
	if err != nil {
		return err
	}
	return s.stream(w, r, reply, hub.Place{})
}

// turn is what the request asks of the conversation. The hub's own history
// counts: of the messages only the last that the user wrote is taken.
func (in *sdkRequest) turn(conversation uuid.UUID) (session.Turn, error) {
	last := len(in.Messages) - 1
	for last >= 0 && in.Messages[last].Role != string(session.User) {
		last--
	}
	if last < 0 {
		return session.Turn{}, invalid(`"messages" holds no message of the user's.`)
	}
	m := in.Messages[last]
	if m.ID == "" {
		return session.Turn{}, invalid("The user's message has no id.")
	}
	id := sdkID(conversation, m.ID)
	switch in.Trigger {
	case "regenerate-message":
		return session.Turn{Kind: session.Again, Of: id}, nil
	case "submit-message":
		t := session.Turn{User: session.Message{ID: id, Content: m.text()}}
		if in.MessageID == m.ID {
			t.Kind = session.Edit
		}
		return t, nil
	}
	return session.Turn{}, invalid(`"trigger" must be submit-message or regenerate-message.`)
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
func (s *server) saySDK(r *http.Request, conversation session.Ref, t session.Turn) (*hub.Reply, error) {
	const tries = 5 // others may say something in between
	for i := 0; ; i++ {
		reply, _, err := s.Hub.Say(r.Context(), caller(r), conversation, t)
		if !errors.Is(err, session.ErrBusy) || i == tries {
			return reply, err
		}
		if _, _, err := s.Hub.Stop(r.Context(), conversation, uuid.Nil); err != nil {
			return nil, err
		}
	}
}

// handleSDKStream is GET /api/chat/{id}/stream: what the SDK asks for when a
// page is loaded again. The running reply comes from its first chunk.
func (s *server) handleSDKStream(w http.ResponseWriter, r *http.Request) error {
	reply, err := s.runningSDK(r)
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		return err
	}
	if reply == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.stream(w, r, reply, hub.Place{})
}

func (s *server) runningSDK(r *http.Request) (*hub.Reply, error) {
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
