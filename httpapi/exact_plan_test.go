package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"lumos/backend/llm/mistralsim"
)

// exactPlan is what the model means to say to one message, and what goes wrong
// while it does.
type exactPlan struct {
	text   string
	tokens []string
	ascii  bool         // \u escapes for all that is not ASCII
	joined bool         // the finish_reason comes with the last token
	flush  int          // tokens written at a time
	faults []exactFault // of the first requests, one each
	gates  []*exactGate // by token
	refuse int32        // so many requests are refused first
	asked  atomic.Int32 // requests so far

	between map[int][]string // what the model thinks in front of a token
}

// size is more than the bytes that all of the reply has, whatever is thought twice.
func (p *exactPlan) size() int {
	n := len(p.text)
	for _, thoughts := range p.between {
		n += (len(p.faults) + 1) * (len(strings.Join(thoughts, "")) + 4)
	}
	return n
}

// think has the model think in front of some tokens.
func (p *exactPlan) think(rng *rand.Rand) {
	p.between = map[int][]string{}
	for i := range len(p.tokens) + 1 {
		if i < len(p.tokens) || !p.joined {
			if n := len(p.tokens); i == 0 && rng.IntN(2) == 0 || rng.IntN(n+1) < 2 {
				_, p.between[i] = exactText(rng, 1+rng.IntN(6))
			}
		}
	}
}

// thought tells whether that can be the reasoning of the reply: all that the model
// thought, in order; and where its stream was cut, before that what it had thought
// of the same, behind blank lines.
func (p *exactPlan) thought(got string) error {
	var parts []string
	for _, i := range slices.Sorted(maps.Keys(p.between)) {
		parts = append(parts, strings.Join(p.between[i], ""))
	}
	want := strings.Join(parts, "\n\n")
	if len(p.faults) == 0 && got != want {
		return errors.New("reasoning: " + textDiff(got, want))
	}
	rest := got
	for _, part := range parts {
		at := strings.Index(rest, part)
		if at < 0 {
			return fmt.Errorf("reasoning: %q is missing in %q", part, rest)
		}
		rest = rest[at+len(part):]
	}
	reached := make([]bool, len(got)+1) // by parts, beginnings of parts and blank lines
	reached[0] = true
	for at := range got {
		if !reached[at] {
			continue
		}
		for _, piece := range append(parts, "\n\n") {
			for n := 0; n < len(piece) && at+n < len(got) && piece[n] == got[at+n]; n++ {
				reached[at+n+1] = true
			}
		}
	}
	if !reached[len(got)] {
		return fmt.Errorf("reasoning: %q is not made of %q", got, parts)
	}
	return nil
}

// exactDone ends the body of every whole answer.
const exactDone = "data: [DONE]\n\n"

// exactFault ends one answer of the simulator early.
type exactFault struct {
	at     int  // byte of the body
	clean  bool // the body ends as if it were whole
	reset  bool // by a TCP reset
	noDone bool // [DONE] alone is missing; at does not count
}

// exactGate holds a reply back in front of a token until it is opened.
type exactGate struct {
	token, offset int           // and how much text stands before it
	reached       chan struct{} // closed when the reply stands there
	opened        chan struct{}
	reach, open   func()
}

// gate adds a gate in front of a token.
func (p *exactPlan) gate(token int) *exactGate {
	g := &exactGate{token: token, reached: make(chan struct{}), opened: make(chan struct{})}
	g.reach = sync.OnceFunc(func() { close(g.reached) })
	g.open = sync.OnceFunc(func() { close(g.opened) })
	for _, before := range p.tokens[:token] {
		g.offset += len(before)
	}
	p.gates = append(p.gates, g)
	return g
}

// answer is mistralsim.Config.Answer for this plan.
func (p *exactPlan) answer(*mistralsim.Request) mistralsim.Answer {
	a := mistralsim.Answer{Tokens: p.tokens, ASCII: p.ascii, FinishWithText: p.joined, Flush: p.flush, Between: p.between}
	n := p.asked.Add(1) - 1
	if n < p.refuse {
		return mistralsim.ModelUnknown("test-model")
	}
	if n -= p.refuse; int(n) < len(p.faults) {
		f := p.faults[n]
		a.CutBytes, a.CleanEnd, a.Reset, a.NoDone = f.at, f.clean, f.reset, f.noDone
	}
	if len(p.gates) > 0 {
		a.Hold = p.hold
	}
	return a
}

func (p *exactPlan) hold(ctx context.Context, token int) {
	for _, g := range p.gates {
		if g.token == token {
			g.reach()
			select {
			case <-g.opened:
			case <-ctx.Done():
			}
		}
	}
}

// seen opens the gates up to an offset: a client has all before them.
func (p *exactPlan) seen(offset int) {
	for _, g := range p.gates {
		if g.offset <= offset {
			g.open()
		}
	}
}

// release opens all gates.
func (p *exactPlan) release() { p.seen(len(p.text)) }

// newExactPlan makes a reply of a length up to about most tokens, with up to
// three faults and, perhaps, gates.
func newExactPlan(rng *rand.Rand, most int) *exactPlan {
	p := &exactPlan{ascii: rng.IntN(3) == 0, joined: rng.IntN(4) == 0, flush: 1 + rng.IntN(8)}
	for strings.TrimSpace(p.text) == "" { // a blank reply is in no prompt, which then joins two messages of the user
		p.text, p.tokens = exactText(rng, 1+rng.IntN(most))
	}
	if rng.IntN(2) == 0 {
		p.think(rng)
	}
	for i := range p.tokens {
		if i > 0 && rng.IntN(2*len(p.tokens)) == 0 {
			p.gate(i)
		}
	}
	if faults := rng.IntN(4); faults > 0 {
		body := p.body()
		for range faults {
			p.faults = append(p.faults, newExactFault(rng, body))
		}
	}
	return p
}

// body is what the simulator sends when nothing goes wrong.
func (p *exactPlan) body() []byte {
	plain := func(*mistralsim.Request) mistralsim.Answer {
		return mistralsim.Answer{Tokens: p.tokens, ASCII: p.ascii, FinishWithText: p.joined, Between: p.between}
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/v1/chat/completions",
		strings.NewReader(`{"model":"mistral-small-latest","messages":[{"role":"user","content":"x"}],"stream":true}`))
	r.Header.Set("Authorization", "Bearer "+rigKey)
	r.Header.Set("Content-Type", "application/json")
	mistralsim.New(mistralsim.Config{Record: -1, NoPadding: true, Answer: plain}).ServeHTTP(w, r)
	body := w.Body.Bytes()
	if w.Code != http.StatusOK || !bytes.HasSuffix(body, []byte(exactDone)) {
		panic(fmt.Sprintf("the simulator answers %d %q", w.Code, body))
	}
	return body
}

// newExactFault chooses where to cut a body, with an eye for the places where
// a cut hurts.
func newExactFault(rng *rand.Rand, body []byte) exactFault {
	f := exactFault{at: 1 + rng.IntN(len(body)), clean: rng.IntN(3) == 0, reset: rng.IntN(6) == 0}
	var places []int
	switch rng.IntN(6) {
	case 0: // in the first token
		mark := []byte(`"content":"`)
		if i := bytes.Index(body, mark) + len(mark); i >= len(mark) {
			if j := bytes.Index(body[i:], mark); j >= 0 {
				f.at = i + j + len(mark) + rng.IntN(4)
			}
		}
	case 1: // inside a character
		for i, b := range body {
			if !utf8.RuneStart(b) {
				places = append(places, i)
			}
		}
	case 2: // inside an escape
		for i, b := range body {
			if b == '\\' && i+3 < len(body) {
				places = append(places, i+1+rng.IntN(2))
			}
		}
	case 3: // behind the finish_reason, before [DONE]
		f.at = len(body) - len(exactDone) + rng.IntN(len(exactDone))
	case 4: // only [DONE] is missing
		f = exactFault{noDone: true}
	}
	if len(places) > 0 {
		f.at = places[rng.IntN(len(places))]
	}
	return f
}

// exactPieces are what texts are made of: what a client, a proxy or a JSON
// reader might get wrong.
var exactPieces = []string{
	"word", "Ein", "naïve", " ", " ", " ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", " \n", "   \n",
	"日本語", "漢", "한국어", "العربية", "שלום", "👍", "🏳️‍🌈", "👩‍👩‍👧‍👦", "🇩🇪", "👋🏽", "e\u0301", "a\u0308\u0323", "Z͑ͫ̓",
	"\u00a0", "\u3000", "\u2028", "\u2029", "\u0085", "\u200b", "\ufeff", "\ufffd", "\x00", "\x1b[31m", "\x7f", "\uffff", "𝒳", "\U0010ffff",
	`"`, `\`, `\n`, `\u00e9`, "</script>", "<&>", "'", "data: [DONE]\n\n", "{\"type\":\"finish\"}", "```go\n", "[DONE]",
}

// exactText makes a text of n tokens, none of which is a part of a character.
func exactText(rng *rand.Rand, n int) (string, []string) {
	var tokens []string
	for range n {
		token := exactPieces[rng.IntN(len(exactPieces))]
		for rng.IntN(3) == 0 {
			token += exactPieces[rng.IntN(len(exactPieces))]
		}
		if rng.IntN(8) == 0 { // a token need not be a whole cluster
			_, size := utf8.DecodeRuneInString(token)
			tokens = append(tokens, token[:size])
			if token = token[size:]; token == "" {
				continue
			}
		}
		tokens = append(tokens, token)
	}
	return strings.Join(tokens, ""), tokens
}

// exactSaid is what a user says in a run: the only one to say it, and not
// simple either.
func exactSaid(rng *rand.Rand, seed uint64, turn int) string {
	text, _ := exactText(rng, 1+rng.IntN(5))
	return fmt.Sprintf("%d.%d %s", seed, turn, text)
}
