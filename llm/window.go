package llm

const (
	// perMessage is what a message costs beside its text: role and separators.
	perMessage = 4

	// The estimate may be corrected by this much in either direction: one odd
	// measurement must not empty the window or burst it.
	minRatio, maxRatio = 0.25, 4
)

// weights holds what a byte adds to an estimate, in sixths of a token: a run of
// lower-case letters is about three bytes a token, digits are tokens of their
// own, letters beyond Latin come near to one, emoji take two or more.
var weights = func() (w [256]uint8) {
	for c := range w {
		switch {
		case 'a' <= c && c <= 'z', c == ' ', c == '\n':
			w[c] = 2
		case 'A' <= c && c <= 'Z', c < ' ':
			w[c] = 3
		case '0' <= c && c <= '9':
			w[c] = 6
		case c < 0x80:
			w[c] = 4
		case c < 0xC0: // inside a character
			w[c] = 0
		case c < 0xE0:
			w[c] = 4
		case c < 0xF0:
			w[c] = 6
		default:
			w[c] = 12
		}
	}
	return w
}()

// EstimateTokens returns about how many tokens text is, rather too many than too
// few. It allocates nothing and takes about a nanosecond a byte.
func EstimateTokens(text string) int {
	sum := 0
	for i := range len(text) {
		sum += int(weights[text[i]])
	}
	return (sum + 5) / 6
}

// Corrected returns an estimate times ratio, the measured tokens per estimated one, within
// bounds. A ratio of 0 or less means 1.
func Corrected(estimate int, ratio float64) float64 {
	if !(ratio > 0) {
		ratio = 1
	}
	return float64(estimate) * min(max(ratio, minRatio), maxRatio)
}

// longDelta is the average length of deltas, in bytes, above which they count as more than
// one token each.
const longDelta = 12

// AtLeastTokens returns the least number of tokens of a text that came in so many deltas. Long
// deltas hold several tokens: then its words count, since no token spans two, and its length.
func AtLeastTokens(text string, deltas int) int {
	if len(text) <= longDelta*deltas {
		return deltas
	}
	words, inWord := 0, false
	for i := range len(text) {
		was := inWord
		if inWord = text[i] > ' '; inWord && !was {
			words++
		}
	}
	return max(deltas, words, len(text)/(2*longDelta))
}

// Window says which of n messages to send so that they fit into budget tokens:
// those from first on. The newest one is always among them, even alone over the
// budget. content(i) is the text of message i; overhead is what is sent beside
// them, in estimated tokens (the system prompt). estimate is the estimate of all
// that is sent, not corrected, so that ratio for the next call is what the model
// measured (prompt tokens) divided by it; a ratio of 0 or less means 1.
//
// A service's cache serves a prompt as far as it begins like the one before. So
// where prompts begin stays: sent(i) is the estimate of the prompt that message i
// answered, 0 if it answered none or that is not known, and the newest one that is
// known tells where it began. Only when that no longer fits, or nothing is known,
// is the conversation cut, to half of the budget.
//
// It goes from the newest message backwards and asks for one more than fits, so
// its cost does not grow with the conversation.
func Window(n int, content func(i int) string, sent func(i int) int, overhead, budget int, ratio float64) (first, estimate int) {
	fits := func(tokens, budget int) bool { return Corrected(tokens, ratio) <= float64(budget) }

	half, halfEstimate := n, overhead // as much as fits into half of the budget
	steady := 0                       // the estimate when all is sent from where the last prompt began; 0: not known
	estimate = overhead
	for first = n; first > 0; {
		more := estimate + perMessage + EstimateTokens(content(first-1))
		if first < n && !fits(more, budget) {
			return half, halfEstimate
		}
		first, estimate = first-1, more
		if fits(estimate, budget/2) || first == n-1 {
			half, halfEstimate = first, estimate
		} else if steady > 0 && !fits(steady, budget) {
			return half, halfEstimate
		}
		if before := sent(first); before > 0 && steady == 0 {
			steady = before + estimate - overhead
		}
		if steady > 0 && estimate >= steady && fits(steady, budget) {
			break
		}
	}
	return first, estimate
}
