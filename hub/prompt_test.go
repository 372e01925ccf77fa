package hub

import (
	"github.com/google/uuid"
	"strings"
	"testing"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

// parts writes a prompt down in short: S, U and A with their text.
func parts(messages []llms.MessageContent) string {
	var b strings.Builder
	for _, m := range messages {
		b.WriteString(map[llms.ChatMessageType]string{
			llms.ChatMessageTypeSystem: "S:", llms.ChatMessageTypeHuman: "U:", llms.ChatMessageTypeAI: "A:",
		}[m.Role])
		b.WriteString(m.Parts[0].(llms.TextContent).Text + " ")
	}
	return strings.TrimSpace(b.String())
}

func TestPrompt(t *testing.T) {
	user := func(text string) session.Message { return session.Message{Role: session.User, Content: text} }
	reply := func(text string) session.Message { return session.Message{Role: session.Assistant, Content: text} }
	long := strings.Repeat("word ", 1000)
	for _, tt := range []struct {
		name    string
		system  string
		history []session.Message
		written string
		budget  int
		want    string
	}{
		{"first message", "", []session.Message{user("hi")}, "", 1000, "U:hi"},
		{"with a system prompt", "Be brief.", []session.Message{user("hi")}, "", 1000, "S:Be brief. U:hi"},
		{"a conversation", "", []session.Message{user("a"), reply("b"), user("c")}, "", 1000, "U:a A:b U:c"},
		{"an empty reply is not sent", "", []session.Message{user("a"), reply(""), user("c")}, "", 1000, "U:a\n\nc"},
		{"nor is one of white space", "", []session.Message{user("a"), reply(" \n"), user("c")}, "", 1000, "U:a\n\nc"},
		{"three without an answer", "", []session.Message{user("a"), reply(""), user("b"), user("c"), reply("d"), user("e")}, "", 1000, "U:a\n\nb\n\nc A:d U:e"},
		{"an answer without its question", "S", []session.Message{user(long), reply("b"), user("c")}, "", 500, "S:S U:c"},
		{"two answers in a row", "", []session.Message{user("a"), reply("b"), reply("c"), user("d")}, "", 1000, "U:a A:b\n\nc U:d"},
		{"going on behind one without an answer", "", []session.Message{user("a"), reply(""), user("c")}, "half", 1000, "U:a\n\nc A:half"},
		{"going on", "S", []session.Message{user("a")}, "half a", 1000, "S:S U:a A:half a"},
		{"what is old is left out", "S", []session.Message{user(long), reply(long), user("c")}, "", 500, "S:S U:c"},
		{"what is last stays, however long", "", []session.Message{user("a"), reply("b"), user(long)}, "", 10, "U:" + strings.TrimSpace(long)},
	} {
		h := New(Config{Sessions: session.NewMemory(session.Config{}), SystemPrompt: tt.system})
		p := h.newPrompt(tt.history, tt.budget)
		if got := parts(p.messages(tt.written)); got != tt.want {
			t.Errorf("%s: %.80q, want %.80q", tt.name, got, tt.want)
		}
		if parts(p.messages("")) != parts(p.parts) || p.estimate <= 0 {
			t.Errorf("%s: going on has changed the prompt, or %d tokens", tt.name, p.estimate)
		}
	}
}

// TestRatio: the newest reply that was counted tells.
func TestRatio(t *testing.T) {
	counted := func(real, estimate int) session.Message {
		return session.Message{Role: session.Assistant, Estimate: estimate, Usage: &session.Usage{PromptTokens: real}}
	}
	plain := session.Message{Role: session.User}
	for _, tt := range []struct {
		history []session.Message
		want    float64
	}{
		{nil, 0},
		{[]session.Message{plain}, 0},
		{[]session.Message{plain, counted(20, 10), plain}, 2},
		{[]session.Message{plain, counted(20, 10), plain, counted(15, 10), plain}, 1.5},
		{[]session.Message{counted(20, 0)}, 0},
		{[]session.Message{counted(0, 10)}, 0},
		{append([]session.Message{counted(20, 10)}, make([]session.Message, 8)...), 0}, // too long ago
	} {
		if got := ratio(tt.history); got != tt.want {
			t.Errorf("ratio is %v, want %v", got, tt.want)
		}
	}
}

func TestFinishReason(t *testing.T) {
	for reason, want := range map[string]string{
		"stop": session.FinishStop, "": session.FinishStop, "length": session.FinishLength, "model_length": session.FinishLength,
		"STOP": session.FinishStop, "eos": session.FinishStop, "eos_token": session.FinishStop, "end_turn": session.FinishStop, "stop_sequence": session.FinishStop,
		"MAX_TOKENS": session.FinishLength, "abort": session.FinishOther,
		"content_filter": session.FinishContentFilter, "tool_calls": session.FinishOther, "new one": session.FinishOther,
	} {
		if got := finishReason(reason); got != want {
			t.Errorf("%q is %s, want %s", reason, got, want)
		}
	}
}

func TestShortID(t *testing.T) {
	id := uuid.New()
	if got := ShortID(id); len(got) != 8 || !strings.HasPrefix(id.String(), got) {
		t.Errorf("got %q", got)
	}
}

// TestParseID: one form is taken, and what is wrong is said in the hub's own words.
func TestParseID(t *testing.T) {
	const id = "7d0f6a52-2f5e-4c53-9a07-3a0a3f7f1c11"
	if got, err := ParseID(strings.ToUpper(id)); err != nil || got.String() != id {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"", id[1:], "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), strings.Repeat("-", 36), "x" + id[1:], id[:35] + "\x00"} {
		if got, err := ParseID(s); err != errNoUUID || got != uuid.Nil {
			t.Errorf("%q: got %v, %v", s, got, err)
		}
	}
}
