package mistralsim

// chatBody is the closed schema of a chat completion request, as the OpenAPI
// description has it (https://docs.mistral.ai/api/endpoint/chat).
var chatBody = object(
	must("model", text),
	must("messages", list(message, 0)),
	may("temperature", null(number(0, 1.5, false))),
	may("top_p", null(number(0, 1, true))),
	may("max_tokens", null(integer(0))),
	may("stream", boolean),
	may("stop", null(textOr(list(text, 0)))),
	may("random_seed", null(integer(0))),
	may("metadata", null(freeForm)),
	may("response_format", object(
		may("type", oneOf("text", "json_object", "json_schema")),
		may("json_schema", null(object(
			must("name", text), may("description", null(text)), must("schema", freeForm), may("strict", boolean),
		))),
	)),
	may("tools", null(list(tagged("type", tools), 128))),
	may("tool_choice", toolChoice),
	may("presence_penalty", null(number(-2, 2, false))),
	may("frequency_penalty", null(number(-2, 2, false))),
	may("n", null(integer(1))),
	may("prediction", object(may("type", oneOf("content")), may("content", text))),
	may("parallel_tool_calls", boolean),
	may("reasoning_effort", null(oneOf("none", "minimal", "low", "medium", "high", "xhigh"))),
	may("prompt_mode", null(oneOf("reasoning"))),
	may("guardrails", null(list(object(
		may("block_on_error", boolean), may("moderation_llm_v1", null(freeForm)), may("moderation_llm_v2", null(freeForm)),
	), 0))),
	may("prompt_cache_key", null(text)),
	may("service_tier", null(oneOf("auto", "standard_only"))),
	may("safe_prompt", boolean),
)

// function is a tool's function.
var function = object(
	must("name", text), may("description", text), may("strict", boolean), must("parameters", freeForm),
)

// tools are the kinds of tools. Only functions are looked into: a chat sends
// none of the others.
var tools = map[string]check{
	"function":           object(must("type", text), must("function", function)),
	"web_search":         freeForm,
	"web_search_premium": freeForm,
	"code_interpreter":   freeForm,
	"image_generation":   freeForm,
	"document_library":   freeForm,
	"connector":          freeForm,
}

func toolChoice(v *verdict, at *place, value any) {
	if _, ok := value.(string); ok {
		oneOf("auto", "none", "any", "required")(v, at, value)
		return
	}
	object(may("type", oneOf("function")), must("function", object(must("name", text))))(v, at, value)
}

// message is one message, told apart by its role.
func message(v *verdict, at *place, value any) { anyMessage(v, at, value) }

var anyMessage = tagged("role", map[string]check{
	"system": object(must("role", text), must("content", textOr(list(tagged("type", only("text", "thinking")), 0)))),
	"user":   object(must("role", text), must("content", null(textOr(list(chunk, 0))))),
	"assistant": object(must("role", text), may("content", null(textOr(list(chunk, 0)))),
		may("tool_calls", null(list(toolCall, 0))), may("prefix", boolean)),
	"tool": object(must("role", text), must("content", null(textOr(list(chunk, 0)))),
		may("tool_call_id", null(text)), may("name", null(text))),
})

// chunks are the kinds of parts that a content array may have. Only text and
// thinking are looked into.
var chunks = map[string]check{
	"text": object(must("type", text), must("text", text)),
	"thinking": object(must("type", text), must("thinking", list(freeForm, 0)),
		may("closed", boolean), may("signature", null(text))),
	"reference":    freeForm,
	"image_url":    freeForm,
	"document_url": freeForm,
	"file":         freeForm,
	"input_audio":  freeForm,
}

var chunk = tagged("type", chunks)

// only picks some of the chunks.
func only(names ...string) map[string]check {
	some := map[string]check{}
	for _, n := range names {
		some[n] = chunks[n]
	}
	return some
}

var toolCall = object(
	may("id", text), may("type", oneOf("function")), may("index", integer(0)),
	must("function", object(must("name", text), must("arguments", textOr(freeForm)))),
)
