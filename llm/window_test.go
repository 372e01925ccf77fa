package llm

import (
	"math"
	"strings"
	"testing"
)

func TestEstimateTokens(t *testing.T) {
	// The counts are those that Mistral's tokenizers are known to come to, roughly:
	// the estimate is to be no less and not much more.
	for _, test := range []struct {
		text      string
		low, high int
	}{
		{"", 0, 0},
		{"a", 1, 1},
		{"Hello, how are you today?", 7, 11},
		{strings.Repeat("The quick brown fox jumps over the lazy dog. ", 100), 1000, 1700},
		{"2026-11-22", 10, 12},
		{"你好世界", 4, 4},
		{"😀😀", 4, 4},
		{"Привет", 2, 6},
	} {
		if got := EstimateTokens(test.text); got < test.low || got > test.high {
			t.Errorf("%.30q: got %d, want %d to %d", test.text, got, test.low, test.high)
		}
	}
	text := strings.Repeat("a你😀1 ", 100)
	if n := testing.AllocsPerRun(100, func() { EstimateTokens(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWindow(t *testing.T) {
	// Each message is 10 tokens and 4 for itself.
	ten := strings.Repeat("12345 ", 2)[:10]
	if EstimateTokens(ten) != 10 {
		t.Fatalf("the unit is %d", EstimateTokens(ten))
	}
	tests := []struct {
		name             string
		n                int
		overhead, budget int
		ratio            float64
		first, estimate  int
		asked            int
	}{
		{"all fit", 3, 6, 48, 1, 0, 48, 3},
		{"one too many", 3, 7, 48, 1, 2, 21, 3},
		{"long conversation", 1_000_000, 0, 56, 1, 999_998, 28, 5},
		{"the last alone is too much", 5, 100, 10, 1, 4, 114, 2},
		{"no budget", 5, 0, 0, 1, 4, 14, 2},
		{"measured more", 10, 0, 112, 2, 8, 28, 5},
		{"measured less", 10, 0, 28, 0.5, 8, 28, 5},
		{"no ratio", 10, 0, 56, 0, 8, 28, 5},
		{"ratio below zero", 10, 0, 56, -1, 8, 28, 5},
		{"no number", 10, 0, 56, math.NaN(), 8, 28, 5},
		{"a mad ratio", 10, 0, 28, 1e9, 9, 14, 2},
		{"another", 100, 0, 28, 1e-9, 96, 56, 9},
		{"nothing to send", 0, 5, 100, 1, 0, 5, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			first, estimate := Window(test.n, func(i int) string {
				if i != test.n-1-asked {
					t.Errorf("asked for %d as number %d", i, asked)
				}
				asked++
				return ten
			}, func(int) int { return 0 }, test.overhead, test.budget, test.ratio)
			if first != test.first || estimate != test.estimate || asked != test.asked {
				t.Errorf("got first %d, estimate %d, asked %d", first, estimate, asked)
			}
		})
	}
}

// TestWindowIsSteady: over a long conversation a prompt begins where the last one
// did, until it is full; then it is cut to half.
func TestWindowIsSteady(t *testing.T) {
	random := Random(t)
	for range 200 {
		var texts []string
		var sent []int
		overhead, budget := random.IntN(50), 300+random.IntN(1000)
		begin, moved := 0, 0
		ratio := 1.0
		for turn := range 100 {
			texts, sent = append(texts, strings.Repeat("7", 1+random.IntN(100))), append(sent, 0)
			first, estimate := Window(len(texts), func(i int) string { return texts[i] }, func(i int) int { return sent[i] }, overhead, budget, ratio)
			all := overhead
			for _, text := range texts[first:] {
				all += perMessage + len(text)
			}
			if all != estimate || float64(estimate)*ratio > float64(budget) {
				t.Fatalf("turn %d: from %d on it is %d, told %d, of %d", turn, first, all, estimate, budget)
			}
			if first != begin {
				whole := estimate
				for _, text := range texts[min(begin, first):first] {
					whole += perMessage + len(text)
				}
				known := turn == 0 || sent[len(sent)-2] > 0
				if known && (first < begin || float64(whole)*ratio <= float64(budget) || first < len(texts)-1 && float64(estimate)*ratio > float64(budget/2)) {
					t.Fatalf("turn %d: it begins at %d, not at %d, with %d of %d", turn, first, begin, estimate, budget)
				}
				begin, moved = first, moved+1
			}
			// Some replies are not known to have had a prompt, and what is measured varies.
			texts, sent = append(texts, strings.Repeat("7", random.IntN(100))), append(sent, estimate)
			if ratio = 0.9 + random.Float64()/5; random.IntN(5) == 0 {
				sent[len(sent)-1] = 0
			}
		}
		if moved > 100*2*(50+perMessage)/budget*4 { // half of the budget lasts for so long, and the unknown moves it, too
			t.Errorf("in 100 turns the beginning moved %d times, with a budget of %d", moved, budget)
		}
	}
}

// TestAtLeastTokens: the count is never above what a text has.
func TestAtLeastTokens(t *testing.T) {
	for _, tt := range []struct {
		name   string
		text   string
		deltas int
		want   int
	}{
		{"nothing", "", 0, 0},
		{"deltas without text", "", 5, 5},
		{"a delta for each token", strings.Repeat("token ", 100), 100, 100},
		{"many in a delta", strings.Repeat("token ", 100), 10, 100},
		{"all in one", strings.Repeat("token ", 100), 1, 100},
		{"not told in how many", strings.Repeat("a ", 100), 0, 100},
		{"without words", strings.Repeat("你好", 100), 1, 25},
		{"white space", strings.Repeat(" \n", 240), 1, 20},
	} {
		if got := AtLeastTokens(tt.text, tt.deltas); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
