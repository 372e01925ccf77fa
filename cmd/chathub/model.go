package main

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/hub"
	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// model is what answers.
type model struct {
	llms.Model
	name  string
	close func()
}

// newModel returns the model that cfg chooses.
func newModel(cfg config, metrics *hub.Metrics, log *slog.Logger) (model, error) {
	m := model{name: cfg.MistralModel, close: func() {}}
	var err error
	c := llm.Config{
		BaseURL: cfg.MistralBaseURL, APIKey: cfg.MistralAPIKey, Model: cfg.MistralModel,
		Temperature: cfg.Temperature, ReasoningEffort: cfg.ReasoningEffort, Logger: log,
		OnRetry: func(_ time.Duration, err *llms.Error) { metrics.Retried(string(err.Code)) },
	}
	if cfg.LLM == "ollama" && !cfg.Demo {
		m.name = cfg.OllamaModel
		c.BaseURL, c.APIKey, c.Model, c.ContextTokens = cfg.OllamaURL, "", cfg.OllamaModel, cfg.MaxContextTokens
		m.Model, err = llm.NewOllama(c)
		return m, err
	}
	if cfg.Demo {
		if c.BaseURL, m.close, err = startSimulator(); err != nil {
			return m, err
		}
		c.APIKey, c.Model, m.name = "demo", mistralsim.DemoModel, mistralsim.DemoModel
	}
	m.Model, err = llm.NewMistral(c)
	return m, err
}

// startSimulator serves Mistral's API on a free port of this machine, with
// ELIZA for a model, so that the demo goes the whole real way.
func startSimulator() (url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	sim := mistralsim.New(mistralsim.Config{
		Models: []string{mistralsim.DemoModel}, Key: "demo", Record: -1, Reasons: true,
		Answer: func(r *mistralsim.Request) mistralsim.Answer {
			a := mistralsim.Eliza(r)
			a.FirstToken, a.Pace = 300*time.Millisecond, 25*time.Millisecond
			return a
		},
	})
	srv := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() { _ = srv.Close() }, nil
}
