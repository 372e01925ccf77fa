package mistralsim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// turn is a message as the rules of order see it.
type turn struct {
	Message
	blank bool     // no content at all
	calls []string // ids of the tool calls
	reply string   // id of the tool call that a tool message answers
}

// follows says which roles may come after a role (mistral-common,
// protocol/instruct/validator.py, as of July 2026).
var follows = map[string][]string{
	"system":    {"user", "assistant", "system"},
	"user":      {"user", "assistant", "system"},
	"assistant": {"assistant", "user", "tool"},
	"tool":      {"tool", "assistant", "user"},
}

var callID = regexp.MustCompile(`^[a-zA-Z0-9]{9}$`)

// checkOrder returns the refusal of a conversation that the service would not
// take, and whether there is one.
func checkOrder(turns []turn) (Answer, bool) {
	if msg := disorder(turns); msg != "" {
		return refuse("invalid_request_message_order", msg, "3230"), true
	}
	for i, t := range turns {
		for _, id := range append(slices.Clone(t.calls), t.reply) {
			if id != "" && !callID.MatchString(id) {
				return refuse("invalid_function_call",
					"Tool call id was "+id+" but must be a-z, A-Z, 0-9, with a length of 9.", "3280"), true
			}
		}
		if t.Role != "assistant" {
			continue
		}
		// The tokenizer strips the end of a prefix: one of white space is none.
		if len(t.calls) == 0 && (t.blank || t.Prefix && strings.TrimSpace(t.Content) == "") {
			return refuse("invalid_request_assistant_message",
				"Assistant message must have either content or tool_calls, but not none.", "3240"), true
		}
		if t.Prefix && i < len(turns)-1 {
			return refuse("invalid_request_assistant_message",
				"Assistant message with prefix True must be last message", "3240"), true
		}
	}
	return Answer{}, false
}

// alternates says whether user and assistant take turns after the system messages,
// the user first, as the chat templates of Mistral's open weights demand.
func alternates(turns []turn) bool {
	want := "user"
	for i, t := range turns {
		if t.Role == "system" && (i == 0 || turns[i-1].Role == "system") {
			continue
		}
		if t.Role != want {
			return false
		}
		if want = "assistant"; t.Role == want {
			want = "user"
		}
	}
	return true
}

// disorder says what is wrong with the order of the roles; "": nothing.
func disorder(turns []turn) string {
	if len(turns) == 0 {
		return "Conversation must have at least one message"
	}
	last := turns[len(turns)-1]
	if len(turns) == 1 {
		if last.Role != "user" && last.Role != "system" {
			return "Conversation must start with a user message or system message"
		}
		return ""
	}
	if last.Role == "system" || last.Role == "assistant" && !last.Prefix {
		return "Expected last role User or Tool (or Assistant with prefix True) for serving but got " + last.Role
	}
	open := 0 // tool calls that were not answered
	for i, t := range turns {
		if i > 0 && !slices.Contains(follows[turns[i-1].Role], t.Role) {
			return fmt.Sprintf("Unexpected role '%s' after role '%s'", t.Role, turns[i-1].Role)
		}
		switch t.Role {
		case "tool":
			open--
		case "assistant":
			if open != 0 {
				return "Not the same number of function calls and responses"
			}
			open = len(t.calls)
		}
	}
	if open != 0 {
		return "Not the same number of function calls and responses"
	}
	return ""
}
