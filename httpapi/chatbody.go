package httpapi

import (
	"net/http"

	"github.com/google/uuid"

	"lumos/backend/hub"
	"lumos/backend/hub/jsonread"
	"lumos/backend/session"
)

// readChat reads what POST /chat says, and checks all that can be checked
// before a session is made for it.
func (s *server) readChat(w http.ResponseWriter, r *http.Request) (uuid.UUID, session.Turn, error) {
	var turn session.Turn
	var in chatMessage
	err := readBody(w, r, maxBody(s.Hub.MaxMessageBytes()), false, func(body *jsonread.Reader) error {
		return in.read(body, s.Hub.MaxMessageBytes())
	})
	if err != nil {
		return uuid.Nil, turn, err
	}
	turn.User.Content = string(in.message)
	if err := s.Hub.CheckContent(turn.User.Content); err != nil {
		return uuid.Nil, turn, err
	}
	if turn.User.ID, err = idempotencyKey(r); err != nil {
		return uuid.Nil, turn, err
	}
	if !in.named {
		return uuid.Nil, turn, nil
	}
	id, err := hub.ParseID(string(in.conversation))
	if err != nil {
		err = refuse(codeSessionID, "A session id is a UUID in the 36-character form.")
	}
	return id, turn, err
}

// chatMessage is ChatMessage of the contract, without its timestamp: the
// server's clock counts.
type chatMessage struct {
	message, conversation []byte // cut after the first byte too many
	named                 bool   // there is a conversation_id
}

func (m *chatMessage) read(in *jsonread.Reader, most int) error {
	return in.Object(func(name string) error {
		kind, err := in.Kind()
		if err != nil {
			return err
		}
		switch name {
		case "message":
			m.message, err = in.String(m.message[:0], most)
		case "conversation_id":
			const form = 36 // characters, of which all are ASCII
			m.named = kind != jsonread.Null
			m.conversation, err = in.String(m.conversation[:0], form)
		default:
			_, err = in.String(nil, -1)
		}
		return fieldError("", name, err)
	}, "message", "conversation_id", "timestamp")
}

// idempotencyKey reads the id that the client has given its message; nil: none.
func idempotencyKey(r *http.Request) (uuid.UUID, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		return uuid.Nil, nil
	}
	id, err := hub.ParseID(key)
	if err != nil || id == uuid.Nil {
		return uuid.Nil, hub.Invalid("The Idempotency-Key must be a UUID in the 36-character form, and not the nil UUID.")
	}
	return id, nil
}
