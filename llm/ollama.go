package llm

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/ollama"
)

// NewOllama returns langchaingo's own model for an Ollama server at base
// (http://127.0.0.1:11434), for the open weights of Mistral and others.
// Its errors are not *llms.Error, and a stream that is cut short ends without
// one: then Content is empty although text was streamed (v0.1.14).
func NewOllama(base, model string) (llms.Model, error) {
	// The option below ends the process on an address that does not parse.
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("llm: Ollama's address %q is no http or https URL", base)
	}
	if model == "" {
		return nil, errors.New("llm: Ollama needs the name of a model")
	}
	return ollama.New(ollama.WithServerURL(base), ollama.WithModel(model))
}
