// Package eliza talks as Joseph Weizenbaum's ELIZA did with its DOCTOR script:
// "ELIZA, a computer program for the study of natural language communication
// between man and machine", CACM 9 (1966), 36-45,
// https://doi.org/10.1145/365153.365168. It follows the paper's method: keywords with ranks,
// decomposition and reassembly, reflection of persons, a memory. The script is
// written anew.
//
// It keeps nothing between calls: what ELIZA remembers, and which of several
// answers is due, follows from what was said in the conversation so far.
//
// Beyond the original it shows off Markdown when asked for some (see Show), so
// that one can watch a long reply being written.
package eliza

import "strings"

const (
	maxTurns = 40   // how far back a conversation is remembered
	maxBytes = 2000 // how much of one utterance is listened to
)

// Reply returns ELIZA's answer to the last of the user's utterances, which are
// given oldest first. The same utterances always get the same answer.
func Reply(said []string) string {
	if len(said) == 0 {
		return greeting
	}
	if shown, ok := Show(said[len(said)-1]); ok {
		return shown
	}
	said = said[max(0, len(said)-maxTurns):]
	m := mind{used: map[*rule]int{}}
	var answer string
	for _, utterance := range said {
		answer = m.answer(utterance)
	}
	return answer
}

const greeting = "How do you do. Please tell me your problem."

// mind is what ELIZA has in her head during one conversation.
type mind struct {
	used   map[*rule]int // how often each rule has answered
	memory []string      // answers to come back to, oldest first
	lost   int           // how often nothing was recognised
}

// answer answers one utterance.
func (m *mind) answer(utterance string) string {
	words, found := listen(utterance)
	for _, k := range found {
		if answer, ok := m.try(k, words); ok {
			m.remember(k, words)
			return answer
		}
	}
	m.lost++
	if len(m.memory) > 0 {
		recalled := m.memory[0]
		m.memory = m.memory[1:]
		return recalled
	}
	return nothing[(m.lost-1)%len(nothing)]
}

// try answers by the first rule of a keyword whose pattern fits.
func (m *mind) try(k *keyword, words []word) (string, bool) {
	for i := range k.rules {
		r := &k.rules[i]
		parts, ok := match(r.words, words)
		if !ok {
			continue
		}
		answer := r.answers[m.used[r]%len(r.answers)]
		m.used[r]++
		if next, ok := strings.CutPrefix(answer, "="); ok {
			return m.try(keywords[next], words)
		}
		return assemble(answer, parts), true
	}
	return "", false
}

// remember stores something to come back to, if the keyword has a memory.
func (m *mind) remember(k *keyword, words []word) {
	for i := range k.memory {
		r := &k.memory[i]
		if parts, ok := match(r.words, words); ok {
			m.memory = append(m.memory, assemble(r.answers[m.used[r]%len(r.answers)], parts))
			m.used[r]++
			return
		}
	}
}
