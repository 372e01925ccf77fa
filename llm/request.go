package llm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/tmc/langchaingo/llms"
)

// request is the body of POST /v1/chat/completions. Mistral answers 422 to any
// field that its schema does not have, so these are all that are ever sent
// (MISTRAL.md section 1), and those that were not set are left out.
type request struct {
	Model       string    `json:"model"`
	Messages    []message `json:"messages"`
	Stream      bool      `json:"stream"`
	Temperature *float64  `json:"temperature,omitempty"`
	TopP        float64   `json:"top_p,omitempty"`
	MaxTokens   int       `json:"max_tokens,omitempty"`
	Stop        []string  `json:"stop,omitempty"`
	Effort      string    `json:"reasoning_effort,omitempty"`
	CacheKey    string    `json:"prompt_cache_key,omitempty"`
	*ollama
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	Prefix  bool   `json:"prefix,omitempty"`
}

// encode writes the request for a call, and returns the echo for its answer: the last message
// may be the answer's beginning.
func (m *Mistral) encode(messages []llms.MessageContent, opts *llms.CallOptions) ([]byte, echo, error) {
	r := request{
		Model:       cmp.Or(opts.Model, m.cfg.Model),
		Stream:      true,
		Temperature: m.cfg.Temperature,
		TopP:        opts.TopP,
		MaxTokens:   opts.MaxTokens,
		Stop:        opts.StopWords,
		Effort:      m.cfg.ReasoningEffort,
	}
	if opts.Temperature != 0 {
		r.Temperature = &opts.Temperature
	}
	var err error
	var e echo
	if r.Messages, e, err = conversation(messages); err != nil {
		return nil, e, err
	}
	if len(r.Messages) == 0 {
		return nil, e, errors.New("there is no message to answer")
	}
	if r.ollama = m.ollama; r.ollama == nil {
		r.CacheKey, _ = opts.Metadata[cacheKey].(string)
	} else {
		r.Messages[len(r.Messages)-1].Prefix, e.optional = false, true
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, e, err
	}
	return body.Bytes(), e, nil
}

// conversation turns langchaingo's messages into Mistral's. Left out are those
// that Mistral refuses: an answer without text, and answers whose question is
// not sent. A last message that is an answer is one to go on with.
func conversation(messages []llms.MessageContent) ([]message, echo, error) {
	sent := make([]message, 0, len(messages))
	e := echo{done: true}
	for i, from := range messages {
		to, err := convert(from)
		if err != nil {
			return nil, e, err
		}
		if to.Role == "assistant" {
			if i == len(messages)-1 {
				to.Content, e = newEcho(to.Content)
				to.Prefix = true
			} else if len(sent) == 0 {
				continue
			}
			if strings.TrimFunc(to.Content, unicode.IsSpace) == "" {
				continue
			}
		}
		sent = append(sent, to)
	}
	return sent, e, nil
}

// convert makes a message of langchaingo's one, whose parts have to be text.
func convert(from llms.MessageContent) (message, error) {
	var to message
	switch from.Role {
	case llms.ChatMessageTypeSystem:
		to.Role = "system"
	case llms.ChatMessageTypeHuman, llms.ChatMessageTypeGeneric:
		to.Role = "user"
	case llms.ChatMessageTypeAI:
		to.Role = "assistant"
	default:
		return to, fmt.Errorf("a message has the role %q, which is not sent", from.Role)
	}
	for _, part := range from.Parts {
		text, ok := part.(llms.TextContent)
		if !ok {
			return to, fmt.Errorf("a message has a part of type %T: only text is sent", part)
		}
		to.Content += text.Text
	}
	return to, nil
}
