package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"lumos/backend/hub"
)

// chatSpace is the UUID namespace of conversations whose ids a page has chosen and that are no
// UUIDs. It is part of the contract.
var chatSpace = uuid.MustParse("019180a4-8a93-4feb-8c6f-ce2cdffede43")

const (
	// madeByUseChat is the length, in characters, of an id that useChat() generates, and
	// leastMixed how many of them must be digits or capitals: a fixed name such as
	// "conversation-one" would be one chat for all visitors.
	madeByUseChat, leastMixed = 16, 3
	// longestName is the length, in characters, of a name with a token.
	longestName = 200
)

// chat is the conversation that a client's id stands for.
type chat struct {
	id uuid.UUID
	// begins: an AI SDK's message may create it under this id. Never for a UUID of version
	// 5, which stands for a name.
	begins bool
}

// chatID reads the id of a conversation. ok is false where it can be none.
func (s *server) chatID(r *http.Request, text string) (c chat, ok bool) {
	if id, err := hub.ParseID(text); err == nil {
		v := id.Version()
		return chat{id, v == 4 || v == 7 || s.Tokens != nil && v != 5 && id != uuid.Nil}, true
	}
	switch {
	case s.Tokens != nil && isName(text):
		own := uuid.NewSHA1(chatSpace, []byte(subject(r)))
		return chat{uuid.NewSHA1(own, []byte(text)), true}, true
	case s.Tokens == nil && isRandom(text):
		return chat{uuid.NewSHA1(chatSpace, []byte(text)), true}, true
	}
	return chat{}, false
}

func isName(text string) bool {
	return text != "" && text != "." && text != ".." && utf8.ValidString(text) &&
		utf8.RuneCountInString(text) <= longestName &&
		!strings.ContainsFunc(text, func(c rune) bool { return c == '/' || unicode.IsControl(c) })
}

// isRandom tells whether text is as useChat() makes ids.
func isRandom(text string) bool {
	mixed := 0
	for _, c := range []byte(text) {
		switch {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z':
			mixed++
		case c < 'a' || c > 'z':
			return false
		}
	}
	return len(text) == madeByUseChat && mixed >= leastMixed
}

// pathID is the id in the request's path.
func (s *server) pathID(r *http.Request) (chat, bool) {
	text, err := url.PathUnescape(mux.Vars(r)["session_id"])
	if err != nil {
		return chat{}, false
	}
	return s.chatID(r, text)
}

// errNoName refuses an id that stands for no conversation.
func (s *server) errNoName() error {
	text := "This is no id of a chat here. Use a random UUID, useChat({ id: crypto.randomUUID() }), or leave the id to useChat(). " +
		"With assistant-ui send one by prepareSendMessagesRequest and prepareReconnectToStreamRequest, as httpapi/README.md shows."
	if s.Tokens != nil {
		text = "This is no id of a chat here. It has 1 to 200 characters, no slash and no control characters, and is not . or .. by itself."
	}
	return refuse(hub.CodeNotFound, text)
}
