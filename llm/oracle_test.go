package llm

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tmaxmax/go-sse"
)

// oracle reads the same stream with go-sse and encoding/json.
func oracle(stream []byte) outcome {
	var o outcome
	begin := bytes.TrimLeft(bytes.TrimPrefix(stream, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(begin) > 0 && (begin[0] == '{' || begin[0] == '<') {
		return outcome{err: "bad"}
	}
	done := false
	for e, err := range sse.Read(bytes.NewReader(stream), &sse.ReadConfig{MaxEventSize: 1 << 22}) {
		if err != nil {
			o.err = "bad"
			break
		}
		if e.Data == "" {
			continue
		}
		if strings.TrimSpace(e.Data) == "[DONE]" {
			done = true
			break
		}
		if data := strings.TrimLeft(e.Data, " \t\r\n"); data == "" || data[0] != '{' && data[0] != '[' {
			continue
		}
		said, ok := understand(json.RawMessage(e.Data))
		o.text += said.text
		o.thought += said.thought
		if said.usage != nil && ok {
			o.usage = *said.usage
		}
		if said.finish != "" && ok {
			o.finish = said.finish
		}
		if !ok || o.finish == "error" {
			o.err = "bad"
			break
		}
	}
	if o.err == "" && !done { // an empty line is missing behind [DONE]
		last := ""
		for e, err := range sse.Read(bytes.NewReader(slices.Concat(stream, []byte("\n\n"))), &sse.ReadConfig{MaxEventSize: 1 << 22}) {
			if err != nil {
				break
			}
			last = e.Data
		}
		done = strings.TrimSpace(last) == "[DONE]"
	}
	if o.err == "" && done && o.finish == "" {
		o.finish = "stop"
	}
	if o.finish != "" && o.finish != "error" {
		o.err = ""
	} else if o.err == "" && o.finish == "" {
		o.err = "cut"
	}
	o.text, o.thought = settle(o.text, o.err == ""), settle(o.thought, o.err == "")
	return o
}

// unquote is the text of a JSON string whose surrogates are three bytes each and
// whose other bytes are as they came.
func unquote(raw json.RawMessage) (text string) {
	for i := 1; i < len(raw)-1; i++ {
		switch {
		case raw[i] != '\\':
			text += string(raw[i : i+1])
		case raw[i+1] == 'u':
			unit, _ := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
			if unit >= 0xD800 && unit < 0xE000 {
				text += string([]byte{0xED, 0x80 | byte(unit>>6&0x3F), 0x80 | byte(unit&0x3F)})
			} else {
				text += string(rune(unit))
			}
			i += 5
		default:
			i++
			if at := strings.IndexByte("bfnrt", raw[i]); at >= 0 {
				text += "\b\f\n\r\t"[at : at+1]
			} else {
				text += string(raw[i : i+1])
			}
		}
	}
	return text
}

// settle joins the surrogates of a whole text. What is no character is U+FFFD, but
// for a half at the end of a text that was cut.
func settle(text string, whole bool) string {
	var out strings.Builder
	unit := func(s string) int {
		if len(s) >= 3 && s[0] == 0xED && s[1] >= 0xA0 && s[1] < 0xC0 && s[2]&0xC0 == 0x80 {
			return 0xD000 | int(s[1]&0x3F)<<6 | int(s[2]&0x3F)
		}
		return -1
	}
	part := func(s string) bool { // of a surrogate, or nothing
		return s == "" || s == "\xED" || len(s) == 2 && s[0] == 0xED && s[1] >= 0xA0 && s[1] < 0xC0
	}
	for text != "" {
		first := unit(text)
		switch {
		case first >= 0 && first < 0xDC00 && unit(text[3:]) >= 0xDC00:
			out.WriteString(string(utf16.Decode([]uint16{uint16(first), uint16(unit(text[3:]))})))
			text = text[6:]
		case !whole && (first >= 0 && first < 0xDC00 && part(text[3:]) || first < 0 && (part(text) || !utf8.FullRuneInString(text))):
			return out.String()
		case first >= 0:
			out.WriteString("\uFFFD")
			text = text[3:]
		default:
			r, n := utf8.DecodeRuneInString(text)
			out.WriteRune(r)
			text = text[n:]
		}
	}
	return out.String()
}

type saying struct {
	text, thought, finish string
	usage                 *usage
}

// pair is a member of an object.
type pair struct {
	key   string
	value json.RawMessage
}

func pairs(object json.RawMessage) (all []pair, ok bool) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, false
		}
		all = append(all, pair{key.(string), value})
	}
	return all, true
}

func understand(data json.RawMessage) (said saying, ok bool) {
	if !json.Valid(data) || tooDeep(data) {
		return said, false
	}
	top, ok := pairs(data)
	if !ok {
		return said, false
	}
	object, message, named, chose := false, false, false, false
	for _, p := range top {
		switch p.key {
		case "choices":
			chose = true
			said.text, said.thought, said.finish = "", "", ""
			var choices []json.RawMessage
			if json.Unmarshal(p.value, &choices) != nil {
				return saying{}, false
			}
			for _, choice := range choices {
				if !said.choose(choice) {
					return saying{}, false
				}
			}
		case "usage":
			said.usage = nil
			if counts, ok := pairs(p.value); ok {
				said.usage = &usage{}
				for _, c := range counts {
					digits := strings.TrimSuffix(strings.Trim(string(c.value), `"`), ".0")
					n, err := strconv.ParseUint(digits, 10, 32)
					if err != nil || n > 999_999_999 || len(digits) > 9 {
						n = 0
					}
					switch c.key {
					case "prompt_tokens":
						said.usage.prompt = int(n)
					case "completion_tokens":
						said.usage.completion = int(n)
					case "total_tokens":
						said.usage.total = int(n)
					}
				}
				if said.usage.prompt == 0 && said.usage.completion == 0 {
					said.usage = nil
				}
			}
		case "object":
			object = strings.EqualFold(string(p.value), `"error"`)
		case "error":
			named = string(p.value) != "null" && string(p.value) != "false" && string(p.value) != `""`
		case "message", "detail":
			message = true
		}
	}
	if object || named || message && !chose {
		return saying{}, false
	}
	return said, true
}

// choose adds a choice if it is the one with index 0.
func (said *saying) choose(choice json.RawMessage) bool {
	members, ok := pairs(choice)
	ours := true
	var text, thought, finish string
	for _, p := range members {
		switch p.key {
		case "index":
			ours = string(p.value) == "null" || strings.Trim(strings.Trim(string(p.value), `"-`), "0.") == ""
		case "finish_reason":
			finish = ""
			if json.Unmarshal(p.value, &finish) != nil {
				return false
			}
		case "delta":
			text, thought = "", ""
			if string(p.value) == "null" {
				continue
			}
			deltas, isObject := pairs(p.value)
			if !isObject {
				return false
			}
			reasoning := ""
			for _, d := range deltas {
				switch d.key {
				case "content":
					text, thought = "", ""
					if !spell(d.value, &text, &thought) {
						return false
					}
				case "reasoning", "reasoning_content":
					if d.value[0] == '"' && (reasoning == "" || string(d.value) != `""`) {
						reasoning = unquote(d.value)
					}
				}
			}
			thought += reasoning
		}
	}
	if ours {
		said.text += text
		said.thought += thought
		if finish != "" {
			said.finish = finish
		}
	}
	return ok
}

// spell adds a content's text.
func spell(content json.RawMessage, text, thought *string) bool {
	var s *string
	if json.Unmarshal(content, &s) == nil {
		if s != nil {
			*text += unquote(content)
		}
		return true
	}
	var parts []json.RawMessage
	if json.Unmarshal(content, &parts) != nil {
		return false
	}
	for _, raw := range parts {
		var s string
		if raw[0] == '"' {
			*text += unquote(raw)
			continue
		}
		members, ok := pairs(raw)
		if !ok {
			return false
		}
		kind := `"text"`
		var of = map[string]json.RawMessage{}
		for _, p := range members {
			if p.key == "type" {
				kind = string(p.value)
			}
			of[p.key] = p.value
		}
		switch kind {
		case `"text"`:
			if v := of["text"]; v != nil {
				if json.Unmarshal(v, &s) != nil {
					return false
				}
				if v[0] == '"' {
					*text += unquote(v)
				}
			}
		case `"thinking"`:
			if v := of["thinking"]; v != nil && !spell(v, thought, thought) {
				return false
			}
		}
	}
	return true
}
