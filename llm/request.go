package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/tmc/langchaingo/llms"
)

// request is the body of POST /v1/chat/completions. Mistral answers 422 to any
// field that its schema does not have, so these are all that are ever sent
// (MISTRAL.md section 1), and those that were not set are left out.
type request struct {
	Model            string          `json:"model"`
	Messages         []message       `json:"messages"`
	Stream           bool            `json:"stream"`
	Temperature      *float64        `json:"temperature,omitempty"`
	TopP             float64         `json:"top_p,omitempty"`
	MaxTokens        int             `json:"max_tokens,omitempty"`
	Stop             []string        `json:"stop,omitempty"`
	RandomSeed       int             `json:"random_seed,omitempty"`
	PresencePenalty  float64         `json:"presence_penalty,omitempty"`
	FrequencyPenalty float64         `json:"frequency_penalty,omitempty"`
	N                int             `json:"n,omitempty"`
	ResponseFormat   *responseFormat `json:"response_format,omitempty"`
	Tools            []tool          `json:"tools,omitempty"`
	ToolChoice       any             `json:"tool_choice,omitempty"`
	Metadata         map[string]any  `json:"metadata,omitempty"`
}

type responseFormat struct {
	Type string `json:"type"`
}

type message struct {
	Role       string     `json:"role"`
	Content    any        `json:"content,omitempty"` // string or []part
	ToolCalls  []toolCall `json:"tool_calls,omitempty"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
	Name       string     `json:"name,omitempty"`
	Prefix     bool       `json:"prefix,omitempty"`
}

// part is one part of a content that is more than one text.
type part struct {
	Type     string `json:"type"`
	Text     string `json:"text,omitempty"`
	ImageURL any    `json:"image_url,omitempty"` // string or imageURL
}

type imageURL struct {
	URL    string `json:"url"`
	Detail string `json:"detail,omitempty"`
}

// encode writes the request for a call, and says how to cut its answer when the
// last message is the beginning of it.
func (m *Mistral) encode(messages []llms.MessageContent, opts *llms.CallOptions) ([]byte, echo, error) {
	r := request{
		Model:            m.model,
		Stream:           true,
		Temperature:      m.temperature,
		TopP:             opts.TopP,
		MaxTokens:        opts.MaxTokens,
		Stop:             opts.StopWords,
		RandomSeed:       opts.Seed,
		PresencePenalty:  opts.PresencePenalty,
		FrequencyPenalty: opts.FrequencyPenalty,
		N:                opts.N,
		Metadata:         sentMetadata(opts.Metadata),
	}
	if opts.Model != "" {
		r.Model = opts.Model
	}
	if opts.Temperature != 0 {
		r.Temperature = &opts.Temperature
	}
	if opts.JSONMode || opts.ResponseMIMEType == "application/json" {
		r.ResponseFormat = &responseFormat{Type: "json_object"}
	}
	var err error
	var e echo
	if r.Messages, e, err = conversation(messages); err != nil {
		return nil, e, err
	}
	if len(r.Messages) == 0 {
		return nil, e, fmt.Errorf("there is no message to answer")
	}
	if r.Tools, r.ToolChoice, err = toolOptions(opts); err != nil {
		return nil, e, err
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
		role, err := roleOf(from.Role)
		if err != nil {
			return nil, e, err
		}
		to, err := convert(role, from.Parts)
		if err != nil {
			return nil, e, err
		}
		if role == "assistant" {
			text, isText := to.Content.(string)
			if i == len(messages)-1 && isText && to.ToolCalls == nil {
				text, e = newEcho(text)
				to.Content, to.Prefix = text, true
			} else if len(sent) == 0 {
				continue
			}
			if isText && strings.TrimFunc(text, unicode.IsSpace) == "" {
				if to.Content = nil; to.ToolCalls == nil {
					continue
				}
			}
		}
		sent = append(sent, to)
	}
	return sent, e, nil
}

func roleOf(role llms.ChatMessageType) (string, error) {
	switch role {
	case llms.ChatMessageTypeSystem:
		return "system", nil
	case llms.ChatMessageTypeHuman, llms.ChatMessageTypeGeneric:
		return "user", nil
	case llms.ChatMessageTypeAI:
		return "assistant", nil
	case llms.ChatMessageTypeTool, llms.ChatMessageTypeFunction:
		return "tool", nil
	}
	return "", fmt.Errorf("a message has the unknown role %q", role)
}

// convert makes a message of parts: one text, or none, is sent as a string.
func convert(role string, parts []llms.ContentPart) (message, error) {
	to := message{Role: role, Content: ""}
	var content []part
	for _, from := range parts {
		switch from := from.(type) {
		case llms.TextContent:
			content = append(content, part{Type: "text", Text: from.Text})
		case llms.ImageURLContent:
			image := part{Type: "image_url", ImageURL: from.URL}
			if from.Detail != "" {
				image.ImageURL = imageURL{URL: from.URL, Detail: from.Detail}
			}
			content = append(content, image)
		case llms.BinaryContent:
			content = append(content, part{Type: "image_url", ImageURL: from.String()})
		case llms.ToolCall:
			to.ToolCalls = append(to.ToolCalls, toolCallOf(from))
		case llms.ToolCallResponse:
			to.ToolCallID, to.Name, to.Content = from.ToolCallID, from.Name, from.Content
			return to, nil
		default:
			return to, fmt.Errorf("a message has a part of type %T, which Mistral does not take", from)
		}
	}
	switch {
	case role == "assistant" && textOnly(content):
		var text strings.Builder
		for _, p := range content {
			text.WriteString(p.Text)
		}
		to.Content = text.String()
	case len(content) == 1 && content[0].Type == "text":
		to.Content = content[0].Text
	case len(content) > 0:
		to.Content = content
	}
	return to, nil
}

func textOnly(content []part) bool {
	for _, p := range content {
		if p.Type != "text" {
			return false
		}
	}
	return true
}
