package eliza

import (
	"fmt"
	"strings"
)

// Asked tells whether the utterance asks to be thought about: "think about my mother",
// "please think hard about it". What says "I think about…" does not.
func Asked(utterance string) bool {
	for _, clause := range clauses(utterance) {
		i := 0
		for i < len(clause) && (clause[i].low == "please" || clause[i].low == "now") {
			i++
		}
		if i < len(clause) && clause[i].low == "think" {
			return true
		}
	}
	return false
}

// Think returns what ELIZA thinks before she answers the utterance: what she heard,
// and how she means to turn it. The same utterance always gets the same.
func Think(utterance string) string {
	words, found := listen(utterance)
	heard := make([]string, 0, len(words))
	for _, w := range words {
		heard = append(heard, w.low)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The user says %q. ", strings.Join(heard, " "))
	if len(found) == 0 {
		b.WriteString("There is no keyword in it that I know. ")
	} else {
		fmt.Fprintf(&b, "Keywords in it that I know: %d. The one that weighs most decides. ", len(found))
	}
	b.WriteString("I will not judge.\n\nA question keeps the user talking: what was said to me comes back as something to say more about. ")
	b.WriteString("Persons change sides in it, so that my becomes your. That is what I answer with.")
	return b.String()
}
