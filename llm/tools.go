package llm

import (
	"encoding/json"
	"fmt"

	"github.com/tmc/langchaingo/llms"
)

type tool struct {
	Type     string   `json:"type"`
	Function function `json:"function"`
}

type function struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Parameters  any    `json:"parameters"` // required by the schema
	Strict      bool   `json:"strict,omitempty"`
}

type toolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function toolArgs `json:"function"`
}

type toolArgs struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type toolChoice struct {
	Type     string `json:"type"`
	Function named  `json:"function"`
}

type named struct {
	Name string `json:"name"`
}

func toolCallOf(call llms.ToolCall) toolCall {
	to := toolCall{ID: call.ID, Type: "function"}
	if call.FunctionCall != nil {
		to.Function = toolArgs{Name: call.FunctionCall.Name, Arguments: call.FunctionCall.Arguments}
	}
	return to
}

// toolOptions returns what a call's options say about tools.
func toolOptions(opts *llms.CallOptions) ([]tool, any, error) {
	var tools []tool
	for _, t := range opts.Tools {
		if t.Function == nil {
			return nil, nil, fmt.Errorf("a tool of type %q has no function", t.Type)
		}
		f := function{Name: t.Function.Name, Description: t.Function.Description,
			Parameters: t.Function.Parameters, Strict: t.Function.Strict}
		if f.Parameters == nil {
			f.Parameters = struct{}{}
		}
		tools = append(tools, tool{Type: "function", Function: f})
	}
	switch choice := opts.ToolChoice.(type) {
	case nil:
		return tools, nil, nil
	case string:
		return tools, choice, nil
	case *llms.ToolChoice:
		return choose(tools, *choice)
	case llms.ToolChoice:
		return choose(tools, choice)
	}
	return nil, nil, fmt.Errorf("a tool choice of type %T is not known", opts.ToolChoice)
}

func choose(tools []tool, choice llms.ToolChoice) ([]tool, any, error) {
	if choice.Function == nil {
		return tools, choice.Type, nil
	}
	return tools, toolChoice{Type: "function", Function: named{Name: choice.Function.Name}}, nil
}

// joinTools adds one event's tool_calls to the calls so far. Mistral sends each
// call whole as a rule; some models send fragments, whose later ones have no
// name and no id, or the id "null" (MISTRAL.md section 2).
func joinTools(calls []llms.ToolCall, raw []byte) ([]llms.ToolCall, error) {
	var deltas []struct {
		Index    *int   `json:"index"`
		ID       string `json:"id"`
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	}
	if err := json.Unmarshal(raw, &deltas); err != nil {
		return calls, errMalformed
	}
	for _, d := range deltas {
		if d.ID == "null" {
			d.ID = ""
		}
		at := len(calls) - 1
		switch {
		case d.Index != nil && (*d.Index < 0 || *d.Index > len(calls)):
			return calls, errMalformed
		case d.Index != nil:
			at = *d.Index
		case at < 0 || d.ID != "" && d.ID != calls[at].ID || d.ID == "" && d.Function.Name != "":
			at = len(calls)
		}
		if at == len(calls) {
			calls = append(calls, llms.ToolCall{Type: "function", FunctionCall: &llms.FunctionCall{}})
		}
		call := &calls[at]
		if d.ID != "" {
			call.ID = d.ID
		}
		if d.Function.Name != "" {
			call.FunctionCall.Name = d.Function.Name
		}
		var text string
		if json.Unmarshal(d.Function.Arguments, &text) != nil {
			text = string(d.Function.Arguments)
		}
		call.FunctionCall.Arguments += text
	}
	return calls, nil
}
