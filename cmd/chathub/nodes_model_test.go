package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"lumos/backend/llm/mistralsim"
)

// simulator is Mistral's API, in this process, that all nodes of a test ask.
type simulator struct {
	url   string
	sim   *mistralsim.Server
	plans sync.Map // what the user says → *plan
}

func startSimulated(t testing.TB) *simulator {
	m := &simulator{}
	m.sim = mistralsim.New(mistralsim.Config{Record: -1, Answer: m.answer})
	server := httptest.NewServer(m.sim)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	m.url = server.URL
	return m
}

func (m *simulator) answer(r *mistralsim.Request) mistralsim.Answer {
	p, ok := m.plans.Load(r.LastUser())
	if !ok {
		return mistralsim.Answer{Status: http.StatusBadRequest, Body: `{"message":"no plan for what was said"}`}
	}
	return p.(*plan).answer(r)
}

// plan is what the model means to say to one message.
type plan struct {
	said   string
	text   string
	tokens []string
	pace   time.Duration
	stop   int              // it waits before this token until release; negative: it does not
	goes   chan struct{}    // closed by release
	fork   bool             // who goes on with it gets another text than the first, and need not wait
	open   bool             // with fork: that text's end waits until release
	cut    int              // bytes behind which the first answer breaks off; 0: it does not
	thinks map[int][]string // what the model thinks, by the token that it comes before

	mu    sync.Mutex
	asked []*mistralsim.Request // guarded by mu
}

// plan makes a reply of so many tokens, all of it from the seed.
func (m *simulator) plan(seed uint64, tokens int, pace time.Duration) *plan {
	rng := rand.New(rand.NewPCG(seed, 7))
	p := &plan{said: fmt.Sprintf("say %d: %s", seed, piece(rng)), pace: pace, stop: -1, goes: make(chan struct{})}
	p.tokens = tokensOf(rng, seed, tokens)
	p.text = strings.Join(p.tokens, "")
	m.plans.Store(p.said, p)
	return p
}

// think has the model think before some of its tokens.
func (p *plan) think(rng *rand.Rand) {
	p.thinks = make(map[int][]string)
	for range 1 + rng.IntN(3) {
		p.thinks[rng.IntN(len(p.tokens))] = tokensOf(rng, rng.Uint64(), 1+rng.IntN(30))
	}
}

// halt has the model wait before a token until release.
func (p *plan) halt(token int) *plan {
	p.stop = token
	return p
}

func (p *plan) release() { close(p.goes) }

// before is the text before a token.
func (p *plan) before(token int) string { return strings.Join(p.tokens[:token], "") }

func (p *plan) answer(r *mistralsim.Request) mistralsim.Answer {
	p.mu.Lock()
	p.asked = append(p.asked, r)
	n := len(p.asked)
	p.mu.Unlock()
	a := mistralsim.Answer{Tokens: p.tokens, Pace: p.pace, Between: p.thinks}
	if n == 1 {
		a.CutBytes = p.cut
	}
	if p.fork && n > 1 {
		a.Text = r.Prefix() + fmt.Sprintf(" [went on by %d] ", n) + strings.Repeat("ö", 200)
		a.Tokens = nil
	}
	stop := p.stop
	if p.fork && n > 1 {
		stop = -1
		if p.open {
			a.Tokens, stop = []string{a.Text}, 1
		}
	}
	if stop >= 0 {
		a.Hold = func(ctx context.Context, i int) {
			if i >= stop {
				select {
				case <-p.goes:
				case <-ctx.Done():
				}
			}
		}
	}
	return a
}

// requests returns what the model was asked for this reply, so far.
func (p *plan) requests() []*mistralsim.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*mistralsim.Request(nil), p.asked...)
}

// pieces are what texts are made of: what a prefix, a cut or a JSON reader
// might get wrong.
var pieces = []string{
	"word", "Ein", "naïve", " ", " ", "  ", "\n\n", "\r\n", "\t", " \n", "日本語", "한국어", "👩‍👩‍👧‍👦", "🇩🇪", "e\u0301",
	"\u00a0", "\u2028", "\ufeff", "\x00", "𝒳", `"`, `\`, "data: [DONE]\n\n", "{\"type\":\"finish\"}", "<&>",
}

func piece(rng *rand.Rand) string { return pieces[rng.IntN(len(pieces))] }

// tokensOf makes the tokens of a text that no other seed has a part of.
func tokensOf(rng *rand.Rand, seed uint64, n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = piece(rng)
		if rng.IntN(3) == 0 {
			tokens[i] += fmt.Sprintf("%x.%d", seed, i)
		}
		if _, size := utf8.DecodeRuneInString(tokens[i]); rng.IntN(8) == 0 && size < len(tokens[i]) {
			tokens[i] = tokens[i][:size] // a token need not be a whole cluster
		}
	}
	return tokens
}
