package eliza

import (
	"strconv"
	"strings"
)

// match fits words to a pattern and returns what stood for each of its "*" and
// "@group" in order. "*" stands for any number of words, "@group" for one word
// of a group, anything else for itself.
func match(pattern []string, words []word) ([]string, bool) {
	if len(pattern) == 0 {
		return nil, len(words) == 0
	}
	switch p := pattern[0]; {
	case p == "*" && len(pattern) == 1:
		return []string{join(words)}, true
	case p == "*":
		for n := 0; n <= len(words); n++ {
			if rest, ok := match(pattern[1:], words[n:]); ok {
				return append([]string{join(words[:n])}, rest...), true
			}
		}
		return nil, false
	case len(words) == 0:
		return nil, false
	case strings.HasPrefix(p, "@"):
		if families[words[0].low] != p {
			return nil, false
		}
		rest, ok := match(pattern[1:], words[1:])
		return append([]string{words[0].raw}, rest...), ok
	case p != words[0].low:
		return nil, false
	}
	return match(pattern[1:], words[1:])
}

func join(words []word) string {
	raw := make([]string, len(words))
	for i, w := range words {
		raw[i] = w.raw
	}
	return strings.Join(raw, " ")
}

// assemble puts what was matched, seen from the other side, in place of $1 to
// $9 of an answer.
func assemble(answer string, parts []string) string {
	for i, part := range parts {
		answer = strings.ReplaceAll(answer, "$"+strconv.Itoa(i+1), reflect(part))
	}
	answer = strings.Join(strings.Fields(answer), " ")
	for _, mark := range []string{".", "?", ",", "!"} {
		answer = strings.ReplaceAll(answer, " "+mark, mark)
	}
	return answer
}

// reflect turns what somebody says of himself into what is said of him.
func reflect(part string) string {
	words := strings.Fields(part)
	out := make([]string, 0, len(words))
	for i := 0; i < len(words); i++ {
		low := strings.ToLower(words[i])
		if i+1 < len(words) {
			if pair, ok := otherPair[low+" "+strings.ToLower(words[i+1])]; ok {
				out = append(out, pair)
				i++
				continue
			}
		}
		switch other, ok := otherSide[low]; {
		case low == "you" && i+1 == len(words):
			out = append(out, "me") // an object, as in "I hate you"
		case ok:
			out = append(out, other)
		default:
			out = append(out, words[i])
		}
	}
	return strings.Join(out, " ")
}

var otherSide = map[string]string{
	"i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself",
	"you": "I", "your": "my", "yours": "mine", "yourself": "myself",
	"we": "you", "us": "you", "our": "your", "ours": "yours", "ourselves": "yourselves",
}

var otherPair = map[string]string{
	"i am": "you are", "am i": "are you", "i was": "you were", "was i": "were you",
	"you are": "I am", "are you": "am I", "you were": "I was", "were you": "was I",
	"to you": "to me", "with you": "with me", "about you": "about me", "for you": "for me",
	"of you": "of me", "from you": "from me", "at you": "at me",
}
