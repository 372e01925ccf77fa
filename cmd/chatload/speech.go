package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// speechTokens is how many tokens a speech holds before it comes round again.
// The round is longer than what a socket's buffers take, so that text put in
// the wrong place is seen as wrong; the offsets catch a whole round.
const speechTokens = 1 << 16

// speech is everything the simulated model ever says, made from a seed, so
// that simulator and clients agree on each reply's text without telling each
// other. It is read only once made.
type speech struct {
	tokens []string
	text   string // the tokens joined
	size   int    // bytes of every token: a byte's offset tells its token
}

// pieces are what tokens are made of: mostly words, and in some the bytes that
// JSON escapes and characters of two, three and four bytes, since a relay that
// mistreats those is found only by meeting them.
var (
	words  = strings.Fields("the of and to in that it is was for on are as with his they at be this from have or by one had not but what all were when we there can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know")
	spiced = []string{"\n", "\n\n", `"`, `\`, "\t", "é", "ß", "—", "日本", "…", "😀", "**", "<b>&", "\u2028", "\x00\x1f"}
)

// newSpeech makes the speech of a seed, in tokens of size bytes each.
func newSpeech(seed uint64, size int) (*speech, error) {
	if size < 1 {
		return nil, fmt.Errorf("token bytes: %d given, 1 or more accepted", size)
	}
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	var all strings.Builder
	all.Grow(speechTokens * size)
	for range speechTokens {
		end := all.Len() + size
		if rng.IntN(8) == 0 {
			if p := spiced[rng.IntN(len(spiced))]; len(p) <= size {
				all.WriteString(p)
			}
		}
		for all.Len() < end {
			w := " " + words[rng.IntN(len(words))]
			all.WriteString(w[:min(len(w), end-all.Len())])
		}
	}
	s := &speech{text: all.String(), size: size, tokens: make([]string, speechTokens)}
	for i := range s.tokens {
		s.tokens[i] = s.text[i*size : (i+1)*size]
		if !utf8.ValidString(s.tokens[i]) {
			return nil, fmt.Errorf("token %d is cut inside a character", i)
		}
	}
	return s, nil
}

// span is one reply: so many tokens of the speech, from one of them on.
type span struct {
	of    *speech
	first int
	count int // tokens
}

// reply is what the model answers in a conversation's turn.
func (s *speech) reply(conversation, turn, tokens int) span {
	h := uint64(conversation)*0x9e3779b97f4a7c15 + uint64(turn)*0xbf58476d1ce4e5b9
	h ^= h >> 29
	h *= 0x94d049bb133111eb
	return span{of: s, first: int(h >> 32 % speechTokens), count: tokens}
}

// len is the reply's length in bytes.
func (r span) len() int { return r.count * r.of.size }

// tokens are the reply's.
func (r span) tokens() []string {
	if r.first+r.count <= speechTokens {
		return r.of.tokens[r.first : r.first+r.count]
	}
	t := make([]string, r.count)
	for i := range t {
		t[i] = r.of.tokens[(r.first+i)%speechTokens]
	}
	return t
}

// match counts how many bytes of got stand in the reply from offset at on; all
// of them when got is right.
func (r span) match(at int, got []byte) int {
	right := 0
	for right < len(got) && at < r.len() {
		begin := (r.first*r.of.size + at) % len(r.of.text)
		want := r.of.text[begin:min(len(r.of.text), begin+r.len()-at)]
		n := min(len(want), len(got)-right)
		if string(got[right:right+n]) != want[:n] {
			for got[right] == want[0] {
				right, want = right+1, want[1:]
			}
			return right
		}
		right, at = right+n, at+n
	}
	return right
}

// prompt is what the user says, and says it such that the simulator knows
// which reply is wanted.
func prompt(conversation, turn int) string {
	return fmt.Sprintf("conversation %d turn %d", conversation, turn)
}

// readPrompt takes a prompt apart.
func readPrompt(s string) (conversation, turn int, err error) {
	_, err = fmt.Sscanf(s, "conversation %d turn %d", &conversation, &turn)
	return conversation, turn, err
}
