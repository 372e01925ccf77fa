package mistralsim

import (
	"net/http"
	"slices"
)

// aliases are the ids that /v1/models lists when Config.Models is empty.
var aliases = []string{
	DemoModel,
	"mistral-small-latest", "mistral-medium-latest", "mistral-large-latest",
	"ministral-3b-latest", "ministral-8b-latest", "ministral-14b-latest", "codestral-latest",
}

// defaultContext is the window of Mistral's models of 2026, in tokens.
const defaultContext = 262144

func (s *Server) maxContext() int {
	if s.cfg.MaxContext > 0 {
		return s.cfg.MaxContext
	}
	return defaultContext
}

func (s *Server) knows(model string) bool {
	return len(s.cfg.Models) == 0 && model != "" || slices.Contains(s.cfg.Models, model)
}

// card is one entry of the model list. The official SDK takes only cards with
// type and capabilities.
type card struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Created      int64           `json:"created"`
	OwnedBy      string          `json:"owned_by"`
	Capabilities map[string]bool `json:"capabilities"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	MaxContext   int             `json:"max_context_length"`
	Aliases      []string        `json:"aliases"`
	Deprecation  *string         `json:"deprecation"`
	Replacement  *string         `json:"deprecation_replacement_model"`
	Temperature  float64         `json:"default_model_temperature"`
	Type         string          `json:"type"`
}

// models handles GET /v1/models.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	ids := s.cfg.Models
	if len(ids) == 0 {
		ids = aliases
	}
	answer := struct {
		Object string `json:"object"`
		Data   []card `json:"data"`
	}{Object: "list"}
	for _, id := range ids {
		answer.Data = append(answer.Data, card{
			ID: id, Object: "model", Created: 1769088720, OwnedBy: "mistralai", Name: id,
			Description:  "A simulation: ELIZA, or what a test lets it say.",
			Capabilities: map[string]bool{"completion_chat": true, "completion_fim": false, "function_calling": false, "fine_tuning": false, "vision": false},
			MaxContext:   s.maxContext(), Aliases: []string{}, Temperature: 0.3, Type: "base",
		})
	}
	listing := Answer{Status: http.StatusOK, Body: string(toJSON(answer))}
	listing.write(w)
}
