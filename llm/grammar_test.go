package llm

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// grammar writes streams that are nearly right, which random bytes are not:
// keys in any order and twice, values of the wrong type, white space, escapes.
type grammar struct {
	*rand.Rand
	strings.Builder
}

func (g *grammar) pick(choices ...string) string { return choices[g.IntN(len(choices))] }

func (g *grammar) space() {
	if g.IntN(8) == 0 {
		g.WriteString(g.pick(" ", "\t", "  ", "\ndata:", "\r\ndata: "))
	}
}

func (g *grammar) str() {
	g.WriteByte('"')
	for range g.IntN(6) {
		g.WriteString(g.pick("a", " word", "你", "😀", "\\n", `\"`, `\\`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00x`, "é", "\xff", "]}", "data: ", "plain text that is longer"))
	}
	g.WriteByte('"')
}

// object writes an object of some of these members, each with the function that
// writes its value.
func (g *grammar) object(members map[string]func(), keys ...string) {
	g.WriteByte('{')
	n := g.IntN(len(keys) + 2)
	for i := range n {
		if i > 0 {
			g.WriteByte(',')
		}
		g.space()
		key := keys[g.IntN(len(keys))]
		fmt.Fprintf(g, "%q", key)
		g.space()
		g.WriteByte(':')
		g.space()
		if g.IntN(300) == 0 {
			g.any(2)
		} else {
			members[key]()
		}
		g.space()
	}
	g.WriteByte('}')
}

func (g *grammar) array(value func()) {
	g.WriteByte('[')
	g.space()
	for i := range g.IntN(3) {
		if i > 0 {
			g.WriteByte(',')
		}
		g.space()
		value()
		g.space()
	}
	g.WriteByte(']')
}

func (g *grammar) any(depth int) {
	if depth > 0 && g.IntN(3) == 0 {
		if g.IntN(2) == 0 {
			g.array(func() { g.any(depth - 1) })
		} else {
			g.object(map[string]func(){"a": func() { g.any(depth - 1) }, "choices": func() { g.any(depth - 1) }}, "a", "choices")
		}
		return
	}
	if g.IntN(2) == 0 {
		g.str()
		return
	}
	g.WriteString(g.pick("null", "true", "false", "0", "-1", "1.5e-3", "12345678901"))
}

func (g *grammar) content() {
	switch g.IntN(5) {
	case 0:
		g.WriteString("null")
	case 1:
		g.array(g.part)
	default:
		g.str()
	}
}

func (g *grammar) part() {
	g.object(map[string]func(){
		"type":     func() { g.WriteString(g.pick(`"text"`, `"text"`, `"thinking"`, `"reference"`)) },
		"text":     g.str,
		"thinking": g.content,
		"closed":   func() { g.WriteString("true") },
	}, "type", "text", "thinking", "closed")
}

func (g *grammar) choice() {
	g.object(map[string]func(){
		"index":         func() { g.WriteString(g.pick("0", "0", "0", "0", "0", "1", "null")) },
		"delta":         g.delta,
		"finish_reason": func() { g.WriteString(g.pick("null", "null", "null", "null", `"stop"`, `""`)) },
		"logprobs":      func() { g.any(2) },
	}, "index", "delta", "delta", "finish_reason", "logprobs")
}

func (g *grammar) delta() {
	g.object(map[string]func(){
		"role":              func() { g.WriteString(`"assistant"`) },
		"content":           g.content,
		"tool_calls":        func() { g.WriteString(g.pick("null", "null", `[{"id":"x","function":{"name":"f","arguments":"{}"}}]`)) },
		"reasoning":         func() { g.WriteString(g.pick("null", `"hm"`, `"\ud83d"`, `{"a":1}`)) },
		"reasoning_content": func() { g.WriteString(g.pick("null", "null", `" well"`, `"\ude00"`)) },
	}, "role", "content", "content", "content", "tool_calls", "reasoning", "reasoning_content")
}

func (g *grammar) event() {
	switch g.IntN(40) {
	case 0, 1:
		g.WriteString(": comment\nevent: x\n")
	case 2, 3, 4:
		g.WriteString(strings.Repeat(event(`"usual"`), 2))
		return
	case 5:
		g.WriteString(g.pick(`data: {"object":"Error","message":"x"}`, `data: {"a":01}`, `data: {"a":nul}`, `data: {"a":1.}`, `data: {"a":-}`, `data: {,}`, `data: [`) + "\n\n")
		return
	}
	g.WriteString("data: ")
	g.object(map[string]func(){
		"id":      g.str,
		"object":  func() { g.WriteString(g.pick(`"chat.completion.chunk"`, `"error."`)) },
		"choices": func() { g.array(g.choice) },
		"usage": func() {
			g.object(map[string]func(){"prompt_tokens": func() { fmt.Fprint(g, g.IntN(1e10)) }, "total_tokens": func() { g.any(1) }}, "prompt_tokens", "total_tokens")
		},
		"p":     g.str,
		"error": func() { g.WriteString("null") },
	}, "id", "object", "choices", "choices", "choices", "usage", "p", "error")
	g.WriteString(g.pick("\n\n", "\n\n", "\r\n\r\n", "\r\r", "\n\r\n"))
}

// TestStreamGrammar is FuzzStream's comparison over streams of the grammar, some
// with a byte missing.
func TestStreamGrammar(t *testing.T) {
	const streams = 1000
	g := &grammar{Rand: Random(t)}
	ends := map[string]int{}
	for range streams {
		g.Reset()
		for range 1 + g.IntN(5) {
			from := g.Len()
			g.event()
			if again := g.String()[from:]; g.IntN(2) == 0 {
				// Events repeat but for a few letters, which is what repeat looks for.
				g.WriteString(strings.ReplaceAll(again, "word", g.pick("word", "", "letters", "\\n")))
				g.WriteString(strings.Replace(again, "null", g.pick("null", `"stop"`), 1))
			}
		}
		if g.IntN(3) > 0 {
			g.WriteString(finish("stop"))
		}
		stream := []byte(g.String())
		if g.IntN(6) == 0 {
			at := g.IntN(len(stream))
			stream = append(stream[:at], stream[at+1:]...)
		}
		cuts := make([]byte, g.IntN(4))
		for i := range cuts {
			cuts[i] = byte(g.IntN(80))
		}
		want := oracle(stream)
		if got := readAs(t, &pieces{data: stream, cuts: cuts}); got != want {
			t.Fatalf("cuts %v, stream %q:\ngot  %+v\nwant %+v", cuts, stream, got, want)
		}
		ends[want.err]++
		if want.text != "" {
			ends["text"]++
		}
	}
	for _, end := range []string{"", "cut", "bad", "text"} {
		if ends[end] < streams/20 {
			t.Errorf("the grammar made too few streams of a kind: %v", ends)
		}
	}
}
