package hub

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/llm"
	session "lumos/backend/session/core"
)

// prompt is what the model is sent of a conversation.
type prompt struct {
	parts    []llms.MessageContent
	estimate int // tokens, before correction
}

// newPrompt takes the system prompt and the newest messages that fit into
// budget tokens. The estimate is corrected by what the model counted for the
// conversation's last reply.
func (h *Hub) newPrompt(history []session.Message, budget int) prompt {
	overhead := llm.EstimateTokens(h.cfg.SystemPrompt)
	content := func(i int) string { return history[i].Content }
	first, estimate := llm.Window(len(history), content, overhead, budget, ratio(history))
	p := prompt{estimate: estimate}
	if h.cfg.SystemPrompt != "" {
		p.parts = append(p.parts, llms.TextParts(llms.ChatMessageTypeSystem, h.cfg.SystemPrompt))
	}
	for _, m := range history[first:] {
		switch {
		case m.Role == session.User:
			p.parts = append(p.parts, llms.TextParts(llms.ChatMessageTypeHuman, m.Content))
		case strings.TrimSpace(m.Content) != "": // Mistral refuses an empty one
			p.parts = append(p.parts, llms.TextParts(llms.ChatMessageTypeAI, m.Content))
		}
	}
	return p
}

// messages returns the prompt, with the text that the reply has already as a
// trailing message of the model's, which means: go on from here. White space
// alone is no exception: llm.Mistral does not send it, but has to know it, since
// the answer that is asked for anew begins with it.
func (p prompt) messages(written string) []llms.MessageContent {
	if written == "" {
		return p.parts
	}
	n := len(p.parts)
	return append(p.parts[:n:n], llms.TextParts(llms.ChatMessageTypeAI, written))
}

// ratio returns how many tokens the model counted for each that was estimated,
// as the newest reply tells it; 0: not known.
func ratio(history []session.Message) float64 {
	const lookBack = 8
	for i := len(history) - 1; i >= 0 && i >= len(history)-lookBack; i-- {
		if m := history[i]; m.Usage != nil && m.Usage.PromptTokens > 0 && m.Estimate > 0 {
			return float64(m.Usage.PromptTokens) / float64(m.Estimate)
		}
	}
	return 0
}

// bytesPerToken is about how many bytes of text a token is in English.
const bytesPerToken = 4

// finishReason maps Mistral's reasons, and Ollama's, to the contract's.
func finishReason(reason string) string {
	switch reason {
	case "stop", "":
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
	return &session.Usage{PromptTokens: prompt, CompletionTokens: completion, TotalTokens: prompt + completion}
}

// MaxMessageBytes returns how many bytes the content of a message may have.
func (h *Hub) MaxMessageBytes() int { return h.cfg.MaxMessageBytes }

// CheckContent tells whether a message may be said. The error is a *Error.
func (h *Hub) CheckContent(content string) error {
	if len(content) > h.cfg.MaxMessageBytes {
		h.metrics.Rejected("message_bytes")
		return &Error{Code: CodeTooLarge, Text: fmt.Sprintf("The message is longer than the %d bytes that are allowed.", h.cfg.MaxMessageBytes)}
	}
	if strings.TrimSpace(content) == "" {
		return &Error{Code: CodeInvalid, Text: "The message is empty."}
	}
	return nil
}

// ShortID is as much of a session's id as a log may have: the whole opens it.
func ShortID(id uuid.UUID) string { return id.String()[:8] }
