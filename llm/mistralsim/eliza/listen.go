package eliza

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// listen cuts an utterance into words and finds the keywords in it, those of
// the highest rank first. As in the paper, only the first clause that has a
// keyword counts; without any, the words are those of the last clause.
func listen(utterance string) (words []word, found []*keyword) {
	for _, clause := range clauses(utterance) {
		words = clause
		for _, w := range clause {
			k := keywords[w.low]
			if k == nil {
				k = keywords[families[w.low]]
			}
			if k != nil && !slices.Contains(found, k) {
				found = append(found, k)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	slices.SortStableFunc(found, func(a, b *keyword) int { return b.rank - a.rank })
	return words, found
}

// word is a word as the script knows it and as it was written.
type word struct{ low, raw string }

// clauses returns the words of an utterance, a list for each part between
// punctuation marks or "but".
func clauses(utterance string) [][]word {
	if end := maxBytes; len(utterance) > end {
		for end > 0 && !utf8.RuneStart(utterance[end]) {
			end--
		}
		utterance = utterance[:end]
	}
	utterance = strings.ReplaceAll(utterance, "’", "'")
	var all [][]word
	var clause []word
	next := func() {
		if len(clause) > 0 {
			all = append(all, clause)
			clause = nil
		}
	}
	for _, piece := range strings.Fields(utterance) {
		raw := strings.TrimFunc(piece, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		switch low := strings.ToLower(raw); {
		case low == "but":
			next()
			continue
		case shortForms[low] != "":
			for _, w := range strings.Fields(shortForms[low]) {
				clause = append(clause, word{w, w})
			}
		case low != "" && len(clause) == 0:
			clause = append(clause, word{low, low}) // its capital means nothing
		case low != "":
			clause = append(clause, word{low, raw})
		}
		if strings.ContainsAny(piece[len(piece)-1:], ".,;:!?") {
			next()
		}
	}
	next()
	return all
}

// shortForms are written out, so that the script need not know them twice.
var shortForms = map[string]string{
	"i'm": "i am", "im": "i am", "i've": "i have", "ive": "i have", "i'd": "i would", "i'll": "i will",
	"you're": "you are", "youre": "you are", "you've": "you have", "you'd": "you would", "you'll": "you will",
	"it's": "it is", "that's": "that is", "what's": "what is", "who's": "who is", "there's": "there is",
	"he's": "he is", "she's": "she is", "we're": "we are", "they're": "they are",
	"dont": "don't", "cant": "can't", "cannot": "can't", "wont": "won't",
	"dreamed": "dreamt", "mom": "mother", "mum": "mother", "mama": "mother", "dad": "father", "papa": "father",
	"hi": "hello", "hey": "hello", "thank": "thanks", "goodbye": "bye",
}
