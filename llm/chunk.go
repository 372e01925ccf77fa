package llm

import (
	"bytes"
	"errors"
)

// errMalformed is an event that is not what Mistral's schema allows.
var errMalformed = errors.New("malformed event")

// decoder reads the events of one stream. The text of tokens goes straight from
// the event's bytes to text, without reflection and without an allocation.
// It takes the choice with index 0 only, and of keys that come twice the last.
type decoder struct {
	text    []byte // of all events since the owner last emptied it
	thought []byte // the same of reasoning ("thinking" parts)

	// What the last event said.
	finish   string // finish_reason, "" for none
	usage    usage
	hasUsage bool
	failed   bool // it is an error object
	ragged   bool // its text has halves of characters, see appendRagged

	// boundaries are the places in the last event at which a thought follows text. Most
	// events have none.
	boundaries []boundary

	// Marks inside the event being read.
	eventText, eventThought   int
	choiceText, choiceThought int
	choiceFinish              string

	repeat repeat
}

// boundary is a place in an event, by the lengths of text and thought before it.
type boundary struct{ text, thought int }

// back drops what was read after a place.
func (d *decoder) back(text, thought int) {
	d.text, d.thought = d.text[:text], d.thought[:thought]
	for n := len(d.boundaries); n > 0 && (d.boundaries[n-1].text > text || d.boundaries[n-1].thought > thought); n-- {
		d.boundaries = d.boundaries[:n-1]
	}
}

// thinks notes a boundary, if the event has text before the thought that follows.
func (d *decoder) thinks() {
	from := d.eventText
	if n := len(d.boundaries); n > 0 {
		from = d.boundaries[n-1].text
	}
	if len(d.text) > from {
		d.boundaries = append(d.boundaries, boundary{len(d.text), len(d.thought)})
	}
}

// reset makes the decoder ready for another stream; its memory stays.
func (d *decoder) reset() {
	*d = decoder{text: d.text[:0], thought: d.thought[:0],
		repeat: repeat{head: d.repeat.head[:0], tail: d.repeat.tail[:0]}}
}

// event reads one event's data. If it is malformed, or an error object, nothing of it is kept.
func (d *decoder) event(b []byte) error {
	d.eventText, d.eventThought = len(d.text), len(d.thought)
	d.finish, d.failed, d.ragged, d.boundaries = "", false, false, d.boundaries[:0]
	if d.hasUsage {
		d.usage, d.hasUsage = usage{}, false
	}
	i := d.repeated(b)
	if i == 0 {
		i = d.top(b)
	}
	bad := i < 0 || space(b, i) != len(b)
	if bad || d.failed {
		d.back(d.eventText, d.eventThought)
		d.finish, d.usage, d.hasUsage = "", usage{}, false
		d.repeat.forget()
	}
	if bad {
		d.failed = false
		return errMalformed
	}
	return nil
}

// top reads the event's object from its first byte.
func (d *decoder) top(b []byte) int {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	d.repeat.begin()
	if i = d.topRest(b, i+1, true, false); i > 0 {
		d.learn(b, i)
	}
	return i
}

// topRest reads the members of the event's object; first as in member.
// chose says that choices were read already.
func (d *decoder) topRest(b []byte, i int, first, chose bool) int {
	object, message, named := false, false, false
	for ; ; first = false {
		key, at := member(b, i, first)
		if key == nil {
			d.failed = object || named || message && !chose
			return at
		}
		switch string(key) {
		case "choices":
			d.back(d.eventText, d.eventThought)
			d.finish = ""
			if chose || object || named {
				d.repeat.odd()
			}
			chose = true
			i = d.choices(b, at)
		case "usage":
			i = d.counts(b, at)
		case "object":
			i = skip(b, at, maxDepth)
			object = i > 0 && bytes.EqualFold(b[at:i], []byte(`"error"`))
		case "error":
			i = skip(b, at, maxDepth)
			named = i > 0 && !noError(b[at:i])
		case "message", "detail":
			i = skip(b, at, maxDepth)
			message = true
		case "p":
			if !object && !named {
				d.repeat.padding(b, at)
			}
			i = skip(b, at, maxDepth)
		default:
			i = skip(b, at, maxDepth)
		}
		if i < 0 {
			return -1
		}
	}
}

// noError reports whether the value of "error" says that there is none.
func noError(value []byte) bool {
	return string(value) == "null" || string(value) == "false" || string(value) == `""`
}

func (d *decoder) choices(b []byte, at int) int {
	if isNull(b, at) {
		return at + 4
	}
	if at >= len(b) || b[at] != '[' {
		return -1
	}
	return d.choicesRest(b, at+1, true)
}

func (d *decoder) choicesRest(b []byte, i int, first bool) int {
	for ; ; first = false {
		at, more := element(b, i, first)
		if !more {
			return at
		}
		if b[at] != '{' {
			return -1
		}
		if !first {
			d.repeat.odd()
		}
		d.choice()
		if i = d.choiceRest(b, at+1, true, true); i < 0 {
			return -1
		}
	}
}

// choice marks where a choice begins.
func (d *decoder) choice() {
	d.choiceText, d.choiceThought = len(d.text), len(d.thought)
	d.choiceFinish = ""
}

// choiceRest reads the members of a choice and keeps it if its index is 0. ours: so far it
// has that index, or none.
func (d *decoder) choiceRest(b []byte, i int, first, ours bool) int {
	for ; ; first = false {
		key, at := member(b, i, first)
		if key == nil {
			if at > 0 {
				d.keep(ours)
			}
			return at
		}
		switch string(key) {
		case "index":
			if i = skip(b, at, maxDepth); i > 0 {
				// Whatever is no other number: some gateways write "0" or 0.0.
				value := bytes.Trim(b[at:i], `"-`)
				ours = isNull(b, at) || len(bytes.Trim(value, "0.")) == 0
			}
			if !ours {
				d.repeat.odd()
			}
		case "delta":
			d.repeat.again()
			d.back(d.choiceText, d.choiceThought)
			switch {
			case isNull(b, at):
				i = at + 4
			case at < len(b) && b[at] == '{':
				i = d.delta(b, at+1, true)
			default:
				return -1
			}
		case "finish_reason":
			i = d.reason(b, at)
		default:
			i = skip(b, at, maxDepth)
		}
		if i < 0 {
			return -1
		}
	}
}

// keep ends a choice: it is kept if ours, else dropped.
func (d *decoder) keep(ours bool) {
	if !ours {
		d.back(d.choiceText, d.choiceThought)
		return
	}
	if d.choiceFinish != "" {
		d.finish = d.choiceFinish
	}
}

// reason reads a finish_reason: a string, or null.
func (d *decoder) reason(b []byte, at int) int {
	d.choiceFinish = ""
	if isNull(b, at) {
		return at + 4
	}
	d.repeat.odd()
	if at >= len(b) || b[at] != '"' {
		return -1
	}
	end, _ := stringEnd(b, at+1)
	if end < 0 {
		return -1
	}
	d.choiceFinish = string(appendText(nil, b[at+1:end]))
	return end + 1
}

// delta reads the members of a delta; first as in member. Servers of open weights
// tell what a model thinks in a member of its own.
func (d *decoder) delta(b []byte, i int, first bool) int {
	reasoning := 0
	for ; ; first = false {
		key, at := member(b, i, first)
		if key == nil {
			if reasoning > 0 && at > 0 {
				d.str(b, reasoning, &d.thought)
			}
			return at
		}
		switch string(key) {
		case "content":
			d.repeat.again()
			d.back(d.choiceText, d.choiceThought)
			if i = d.content(b, at, &d.text, maxDepth); i > 0 && b[at] == '"' {
				d.repeat.content(at+1, i-1)
			}
		case "reasoning_content", "reasoning":
			// Some servers send both names, and one of them empty.
			if i = skip(b, at, maxDepth); i > 0 && b[at] == '"' && (reasoning == 0 || i > at+2) {
				d.repeat.odd()
				reasoning = at
			}
		default:
			i = skip(b, at, maxDepth)
		}
		if i < 0 {
			return -1
		}
	}
}
