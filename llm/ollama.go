package llm

import (
	"cmp"
	"errors"
	"time"
)

// Ollama has nearly the same endpoint as Mistral, /v1/chat/completions. Fields that it does not
// have are not sent (prefix, prompt_cache_key), and some of its own are.

// ollama has the additional fields of a request to Ollama.
type ollama struct {
	StreamOptions map[string]bool `json:"stream_options"`
	Options       map[string]int  `json:"options,omitempty"`
}

// NewOllama returns a model that asks an Ollama server, for the open weights of
// Mistral and others. Model is required; BaseURL is http://127.0.0.1:11434 unless
// set. It reaches nobody.
//
// To continue an answer that was cut, it is sent as a last message of the assistant's, which
// many chat templates leave open. The model need not repeat it; if it does, that is cut.
func NewOllama(cfg Config) (*Mistral, error) {
	if cfg.Model == "" {
		return nil, errors.New("llm: Ollama needs the name of a model")
	}
	cfg.BaseURL = cmp.Or(cfg.BaseURL, "http://127.0.0.1:11434")
	// It may have to load the model first, for which it gives itself five minutes.
	cfg.FirstTokenTimeout = cmp.Or(cfg.FirstTokenTimeout, 5*time.Minute)
	m, err := NewMistral(cfg)
	if err != nil {
		return nil, err
	}
	m.ollama = &ollama{StreamOptions: map[string]bool{"include_usage": true}} // it tells no usage otherwise
	if cfg.ContextTokens > 0 {
		m.ollama.Options = map[string]int{"num_ctx": cfg.ContextTokens}
	}
	return m, nil
}
