package llm

import "bytes"

// usage is what a request cost, in tokens.
type usage struct{ prompt, completion, total, cached int }

// counts reads a usage object; anything else in its place is skipped, and so is one that
// counts nothing, since a reply without usage is better than one of no tokens.
func (d *decoder) counts(b []byte, at int) int {
	d.usage, d.hasUsage = usage{}, false
	if at >= len(b) || b[at] != '{' {
		return skip(b, at, maxDepth)
	}
	d.repeat.odd()
	i := at + 1
	for first := true; ; first = false {
		key, at := member(b, i, first)
		if key == nil {
			d.hasUsage = d.usage.prompt+d.usage.completion > 0
			return at
		}
		if i = skip(b, at, maxDepth); i < 0 {
			return -1
		}
		switch string(key) {
		case "prompt_tokens":
			d.usage.prompt = count(b[at:i])
		case "completion_tokens":
			d.usage.completion = count(b[at:i])
		case "total_tokens":
			d.usage.total = count(b[at:i])
		case "num_cached_tokens": // the services differ in where they tell it
			d.usage.cached = max(d.usage.cached, count(b[at:i]))
		case "prompt_tokens_details", "prompt_token_details":
			d.usage.cached = max(d.usage.cached, numberIn(b[at:i], "cached_tokens"))
		}
	}
}

// numberIn returns the whole number that a member of an object is, 0 if there is none.
func numberIn(b []byte, name string) int {
	if b[0] != '{' {
		return 0
	}
	n := 0
	for i, first := 1, true; ; first = false {
		key, at := member(b, i, first)
		if key == nil {
			return n
		}
		if i = skip(b, at, maxDepth); string(key) == name {
			n = count(b[at:i])
		}
	}
}

// count returns a whole number of at most nine digits, which some gateways write as "12" or
// 12.0; anything else is 0.
func count(b []byte) int {
	b = bytes.TrimSuffix(bytes.Trim(b, `"`), []byte(".0"))
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || len(b) > 9 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
