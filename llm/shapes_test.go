package llm

import (
	"context"
	"strings"
	"testing"

	"github.com/tmc/langchaingo/llms"
)

// TestShapes holds the client to every shape of stream in MISTRAL.md sections 2
// and 5, and to what an event stream may look like besides.
func TestShapes(t *testing.T) {
	stop := finish("stop")
	tests := []struct {
		name, body, text, thought, reason string
	}{
		{name: "recorded", body: hello, text: "Hello world", reason: "stop"},
		{name: "text on the last chunk", body: event(`"1"`) + `data: {"choices":[{"index":0,"delta":{"content":"00"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n", text: "100", reason: "stop"},
		{name: "length", body: event(`"a"`) + finish("length"), text: "a", reason: "length"},
		{name: "model_length", body: event(`"a"`) + finish("model_length"), text: "a", reason: "model_length"},
		{name: "unknown reason", body: event(`"a"`) + finish("tired"), text: "a", reason: "tired"},
		{name: "padding", body: `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"p":"abcde"}` + "\n\n" + stop, text: "a", reason: "stop"},
		{name: "content null", body: event(`null`) + event(`"a"`) + stop, text: "a", reason: "stop"},
		{name: "content missing", body: `data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}` + "\n\n" + event(`"a"`) + stop, text: "a", reason: "stop"},
		{name: "delta null", body: `data: {"choices":[{"index":0,"delta":null}]}` + "\n\n" + event(`"a"`) + stop, text: "a", reason: "stop"},
		{name: "text parts", body: event(`[{"type":"text","text":"a"},{"text":"b","type":"text"},{"type":"text","text":null}]`) + stop, text: "ab", reason: "stop"},
		{name: "thinking", body: event(`[{"type":"thinking","thinking":[{"type":"text","text":"Let me"}]}]`) +
			event(`[{"type":"thinking","thinking":[{"type":"text","text":" see"},{"type":"tool_reference","tool":"x"}],"closed":true}]`) +
			event(`[{"type":"thinking","thinking":[]},{"type":"text","text":"4"}]`) + event(`"2"`) + stop, text: "42", thought: "Let me see", reason: "stop"},
		{name: "thinking in a member of its own", body: `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":"Let"}}]}` + "\n\n" +
			`data: {"choices":[{"index":0,"delta":{"reasoning":" me","content":null}}]}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"reasoning":" me","content":"4"}}]}` + "\n\n" +
			`data: {"choices":[{"index":0,"delta":{"reasoning":" me","content":"2"}}]}` + "\n\n" + event(`"!"`) + stop, text: "42!", thought: "Let me me me", reason: "stop"},
		{name: "parts without text", body: event(`[{"type":"reference","reference_ids":[1]},{"type":"image_url","image_url":"x"},{"type":"later","text":7}]`) + event(`"a"`) + stop, text: "a", reason: "stop"},
		{name: "no choices", body: `data: {"choices":[]}` + "\n\n" + event(`"a"`) + `data: {"choices":null}` + "\n\n" + stop, text: "a", reason: "stop"},
		{name: "usage null", body: `data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}` + "\n\n" + stop, text: "a", reason: "stop"},
		{name: "other choices", body: `data: {"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":"length"},{"index":0,"delta":{"content":"a"}},{"delta":{"content":"y"},"index":2}]}` + "\n\n" + stop, text: "a", reason: "stop"},
		{name: "an index that is written in another way", body: `data: {"choices":[{"index":"0","delta":{"content":"a"}}]}` + "\n\n" + `data: {"choices":[{"index":0.0,"delta":{"content":"b"}},{"index":"1","delta":{"content":"x"}},{"index":1.0,"delta":{"content":"x"}},{"index":10,"delta":{"content":"x"}}]}` + "\n\n" + stop, text: "ab", reason: "stop"},
		{name: "no error", body: `data: {"error":false,"choices":[{"index":0,"delta":{"content":"a"}}]}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"content":"b"}}],"error":""}` + "\n\n" + stop, text: "ab", reason: "stop"},
		{name: "both names of thinking, one of them empty", body: `data: {"choices":[{"index":0,"delta":{"reasoning":"Let","reasoning_content":""}}]}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"reasoning":"","reasoning_content":" me"}}]}` + "\n\n" +
			`data: {"choices":[{"index":0,"delta":{"reasoning":" see","reasoning_content":" see"}}]}` + "\n\n" + event(`"a"`) + stop, text: "a", thought: "Let me see", reason: "stop"},
		{name: "keys in another order", body: `data: {"p":"x","choices":[{"finish_reason":null,"delta":{"content":"a","role":"assistant"},"index":0}],"object":"chat.completion.chunk"}` + "\n\n" + stop, text: "a", reason: "stop"},
		{name: "white space anywhere", body: "data:   { \"choices\" :\t[ { \"index\" : 0 , \"delta\" : { \"content\" : \"a\" } } ] }  \n\n" + stop, text: "a", reason: "stop"},
		{name: "escapes", body: event(`"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u4F60"`) + stop, text: "\"\\/\b\f\n\r\té😀你", reason: "stop"},
		{name: "escaped keys", body: `data: {"ch\u006fices":[{"index":0,"d\u0065lta":{"\u0063ontent":"a"}}]}` + "\n\n" + stop, text: "a", reason: "stop"},
		{name: "lone surrogates", body: event(`"a\ud83db\ude00c\ud83d\u0041"`) + stop, text: "a\uFFFDb\uFFFDc\uFFFDA", reason: "stop"},
		{name: "bytes that are not UTF-8", body: event("\"a\xffb\xe4\xbd\"") + stop, text: "a\uFFFDb\uFFFD\uFFFD", reason: "stop"},
		{name: "letters of all lengths", body: event(`"aé你😀"`) + stop, text: "aé你😀", reason: "stop"},
		{name: "CR LF", body: strings.ReplaceAll(hello, "\n", "\r\n"), text: "Hello world", reason: "stop"},
		{name: "CR", body: strings.ReplaceAll(hello, "\n", "\r"), text: "Hello world", reason: "stop"},
		{name: "byte order mark", body: "\xef\xbb\xbf" + hello, text: "Hello world", reason: "stop"},
		{name: "comments and other fields", body: ": ping\n\nevent: x\nid: 1\nretry: 5\nnonsense\n" + event(`"a"`) + ":\n\n" + stop, text: "a", reason: "stop"},
		{name: "no space behind data:", body: strings.ReplaceAll(hello, "data: ", "data:"), text: "Hello world", reason: "stop"},
		{name: "data over several lines", body: "data: {\"choices\":[{\"index\":0,\ndata:\"delta\":{\"content\":\ndata\ndata:  \"a\"}}]}\n\n" + stop, text: "a", reason: "stop"},
		{name: "empty events", body: "data\n\ndata:\n\n\n\n" + event(`"a"`) + stop, text: "a", reason: "stop"},
		{name: "data for nobody", body: "data: ping\n\n" + event(`"a"`) + "data: \"text\"\n\ndata: 1\n\ndata: null\n\ndata:  \n\n" + event(`"b"`) + "event: ping\ndata: keep alive\n\n" + stop, text: "ab", reason: "stop"},
		{name: "a surrogate pair over two deltas", body: event(`"a\ud83d"`) + event(`"\ude00b"`) + stop, text: "a😀b", reason: "stop"},
		{name: "over two deltas with an empty one between", body: event(`"\ud83d"`) + event(`""`) + event(`null`) + event(`"\uDE00"`) + stop, text: "😀", reason: "stop"},
		{name: "halves that do not fit", body: event(`"\ud83d"`) + event(`"b\ude00"`) + event(`"\ud83d"`) + event(`"\ud83d"`) + event(`"\ude00"`) + stop, text: "\uFFFDb\uFFFD\uFFFD😀", reason: "stop"},
		{name: "the first half at the end", body: event(`"a\ud83d"`) + stop, text: "a\uFFFD", reason: "stop"},
		{name: "a half in the last chunk", body: event(`"a\ud83d"`) + `data: {"choices":[{"index":0,"delta":{"content":"\ude00"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n", text: "a😀", reason: "stop"},
		{name: "bytes of a character over three deltas", body: event("\"a\xf0\x9f\"") + event("\"\x98\"") + event("\"\x80b\"") + stop, text: "a😀b", reason: "stop"},
		{name: "halves of text and thought", body: event(`[{"type":"thinking","thinking":"\ud83d"},{"type":"text","text":"\ud83d"}]`) + event(`[{"type":"text","text":"\ude00"},{"type":"thinking","thinking":"\ude01"}]`) + stop, text: "😀", thought: "😁", reason: "stop"},
		{name: "a long line", body: event(`"`+strings.Repeat("long ", 100_000)+`"`) + stop, text: strings.Repeat("long ", 100_000), reason: "stop"},
		{name: "no [DONE]", body: event(`"a"`) + strings.TrimSuffix(stop, "data: [DONE]\n\n"), text: "a", reason: "stop"},
		{name: "usage behind the reason", body: event(`"a"`) + strings.TrimSuffix(stop, "data: [DONE]\n\n") + `data: {"choices":[],"usage":{"prompt_tokens":1}}` + "\n\ndata: [DONE]\n\n", text: "a", reason: "stop"},
		{name: "unknown event", body: `data: {"note":"hello"}` + "\n\n" + event(`"a"`) + stop, text: "a", reason: "stop"},
		{name: "empty answer", body: stop, text: "", reason: "stop"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := serve(t, streams(test.body))
			got, option := gather()
			var thought strings.Builder
			resp, err := m.GenerateContent(t.Context(), ask, option, llms.WithStreamingReasoningFunc(func(_ context.Context, thoughts, _ []byte) error {
				thought.Write(thoughts)
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			choice := resp.Choices[0]
			if got.String() != test.text {
				t.Errorf("streamed %q, want %q", got, test.text)
			}
			if choice.Content != test.text || thought.String() != test.thought || choice.StopReason != test.reason {
				t.Errorf("got content %q, reasoning %q, reason %q", choice.Content, thought.String(), choice.StopReason)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	resp, err := serve(t, streams(hello)).GenerateContent(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	info := resp.Choices[0].GenerationInfo
	if info["PromptTokens"] != 13 || info["CompletionTokens"] != 8 || info["TotalTokens"] != 21 {
		t.Errorf("got %v", info)
	}
	resp, err = serve(t, streams(event(`"a"`)+finish("stop"))).GenerateContent(t.Context(), ask)
	if err != nil || len(resp.Choices[0].GenerationInfo) != 0 {
		t.Errorf("without usage: %v, %v", resp, err)
	}
	for usage, want := range map[string]any{
		`{"prompt_tokens":"13","completion_tokens":"8","total_tokens":"21"}`: 13, `{"prompt_tokens":13.0,"completion_tokens":8.0}`: 13,
		`{"prompt_tokens":13,"completion_tokens":0}`: 13, `{}`: nil, `{"prompt_tokens":null,"completion_tokens":null}`: nil,
		`{"prompt_tokens":"many","completion_tokens":[]}`: nil, `[]`: nil, `13`: nil,
	} {
		resp, err := serve(t, streams(event(`"a"`)+"data: {\"choices\":[],\"usage\":"+usage+"}\n\n"+finish("stop"))).GenerateContent(t.Context(), ask)
		if err != nil || resp.Choices[0].GenerationInfo["PromptTokens"] != want {
			t.Errorf("%s: %v, %v", usage, resp, err)
		}
	}
}
