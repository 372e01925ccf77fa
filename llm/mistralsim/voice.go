package mistralsim

import (
	"time"

	"lumos/backend/llm/mistralsim/eliza"
)

// Eliza answers with ELIZA's voice, as fast as it can. The answer follows from
// the user's messages alone, so a request with a prefix is answered by the same
// text, from where the prefix ends.
func Eliza(r *Request) Answer {
	var said []string
	for _, m := range r.Messages {
		if m.Role == "user" {
			said = append(said, m.Content)
		}
	}
	return Answer{Text: eliza.Reply(said)}
}

// Demo is Eliza at a pace that is pleasant to read along: about 160 characters
// a second, after a moment of thought.
func Demo(r *Request) Answer {
	a := Eliza(r)
	a.FirstToken, a.Pace = 400*time.Millisecond, 30*time.Millisecond
	return a
}
