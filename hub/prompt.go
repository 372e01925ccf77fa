package hub

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/llm"
	"lumos/backend/session"
)

// prompt is what the model is sent of a conversation.
type prompt struct {
	parts    []llms.MessageContent
	estimate int // tokens, before correction
	size     int // tokens, after correction
}

// newPrompt takes the system prompt and the newest messages that fit into
// budget tokens. The estimate is corrected by what the model counted for the
// conversation's last reply.
//
// User and assistant alternate, the user first, since templates of open weights refuse
// anything else: an answer without text or without its question is left out, and two
// messages in a row are joined by an empty line.
func (h *Hub) newPrompt(history []session.Message, budget int) prompt {
	overhead := llm.EstimateTokens(h.cfg.SystemPrompt)
	content := func(i int) string { return history[i].Text() }
	sent := func(i int) int { return history[i].Estimate }
	measured := ratio(history)
	first, estimate := llm.Window(len(history), content, sent, overhead, budget, measured)
	p := prompt{estimate: estimate, size: int(llm.Corrected(estimate, measured))}
	if h.cfg.SystemPrompt != "" {
		p.parts = append(p.parts, llms.TextParts(llms.ChatMessageTypeSystem, h.cfg.SystemPrompt))
	}
	before := llms.ChatMessageTypeSystem
	for _, m := range history[first:] {
		role, text := llms.ChatMessageTypeAI, m.Text()
		if m.Role == session.User {
			role = llms.ChatMessageTypeHuman
		}
		if strings.TrimSpace(text) == "" || role == llms.ChatMessageTypeAI && before == llms.ChatMessageTypeSystem {
			continue
		}
		if role == before {
			last := &p.parts[len(p.parts)-1]
			last.Parts = []llms.ContentPart{llms.TextPart(last.Parts[0].(llms.TextContent).Text + "\n\n" + text)}
			continue
		}
		p.parts, before = append(p.parts, llms.TextParts(role, text)), role
	}
	return p
}

// messages returns the prompt, with the text that the reply already has as a last message
// of the model's, which means: continue from here. Also if that is white space alone:
// llm.Mistral does not send it, but cuts it from the new answer's beginning.
func (p prompt) messages(written string) []llms.MessageContent {
	if written == "" {
		return p.parts
	}
	n := len(p.parts)
	return append(p.parts[:n:n], llms.TextParts(llms.ChatMessageTypeAI, written))
}

// ratio returns how many tokens the model counted for each estimated one in the newest
// reply that has both numbers; 0: not known.
func ratio(history []session.Message) float64 {
	const lookBack = 8
	for i := len(history) - 1; i >= 0 && i >= len(history)-lookBack; i-- {
		if m := history[i]; m.Usage != nil && m.Usage.PromptTokens > 0 && m.Estimate > 0 {
			return float64(m.Usage.PromptTokens) / float64(m.Estimate)
		}
	}
	return 0
}

// finishReason maps Mistral's reasons, and Ollama's, to the contract's.
func finishReason(reason string) string {
	switch strings.ToLower(reason) {
	case "stop", "", "eos", "eos_token", "end_turn", "stop_sequence": // as servers of open weights and gateways name it
		return session.FinishStop
	case "length", "model_length", "max_tokens":
		return session.FinishLength
	case "content_filter", "content-filter":
		return session.FinishContentFilter
	}
	return session.FinishOther
}

// usage reads what the model counted, under the keys that langchaingo's
// models share.
func usage(c *llms.ContentChoice) *session.Usage {
	prompt, ok := c.GenerationInfo["PromptTokens"].(int)
	completion, ok2 := c.GenerationInfo["CompletionTokens"].(int)
	if !ok || !ok2 {
		return nil
	}
	cached, _ := c.GenerationInfo["PromptCachedTokens"].(int)
	return &session.Usage{PromptTokens: prompt, CompletionTokens: completion, TotalTokens: prompt + completion, CachedTokens: cached}
}

// MaxMessageBytes returns how many bytes the content of a message may have.
func (h *Hub) MaxMessageBytes() int { return h.cfg.MaxMessageBytes }

// MaxSessionBytes returns how many bytes a conversation may hold; 8 MiB if no limit is
// set.
func (h *Hub) MaxSessionBytes() int { return cmp.Or(h.cfg.Limits.SessionBytes, 8<<20) }

// CheckContent tells whether a message may be said. The error is a *Error.
func (h *Hub) CheckContent(content string) error {
	if len(content) > h.cfg.MaxMessageBytes {
		h.metrics.Rejected("message_bytes")
		return &Error{Code: CodeTooLarge, Text: fmt.Sprintf("The message is longer than the %d bytes that are allowed.", h.cfg.MaxMessageBytes)}
	}
	if strings.TrimSpace(content) == "" {
		return Invalid("The message is empty.")
	}
	return nil
}

// ShortID is as much of a session's id as a log may have: the whole opens it.
func ShortID(id uuid.UUID) string { return id.String()[:8] }
