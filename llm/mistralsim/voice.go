package mistralsim

import (
	"strings"
	"time"

	"lumos/backend/llm/mistralsim/eliza"
)

// Eliza answers with ELIZA's voice, as fast as it can. The answer follows from
// the user's messages alone, so a request with a prefix is answered by the same
// text, from where the prefix ends. She thinks when she is asked to ("think about my
// mother"), or with a reasoning_effort of high.
func Eliza(r *Request) Answer {
	var said []string
	for _, m := range r.Messages {
		if m.Role == "user" {
			said = append(said, m.Content)
		}
	}
	a := Answer{Text: eliza.Reply(said)}
	if last := r.LastUser(); r.Effort == "high" || r.Effort != "none" && eliza.Asked(last) {
		a.Thoughts = strings.SplitAfter(eliza.Think(last), " ")
	}
	return a
}

// Demo is Eliza at a pace that is pleasant to read along: about 160 characters
// a second, after a moment of thought.
func Demo(r *Request) Answer {
	a := Eliza(r)
	a.FirstToken, a.Pace = 400*time.Millisecond, 30*time.Millisecond
	return a
}
