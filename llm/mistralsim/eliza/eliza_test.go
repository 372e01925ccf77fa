package eliza

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestConversation holds one conversation and looks at every answer: keywords
// by rank, decomposition, reflection, answers in turn, the memory.
func TestConversation(t *testing.T) {
	talk := []struct{ said, want string }{
		{"Hello!", "Hello, and welcome. What would you like to talk about today?"},
		{"Men are all alike.", "Did you think that they might not be all alike? What made you expect it?"},
		{"They're always bugging us about something or other.", "Can you think of a particular example? Always is a long time."},
		{"Well, my boyfriend made me come here.", "Your boyfriend made you come here? Tell me how that came about."},
		{"He says I'm depressed much of the time.", "I am sorry to hear that you are depressed. Has it been so for long?"},
		{"It's true. I am unhappy.", "Do you think that coming here will help you not to be unhappy? What has helped before?"},
		{"I need some help, that much seems certain.", "What would it mean to you if you got some help? Imagine that you had it this very evening."},
		{"My mother takes care of me.", "Tell me more about your family. Your mother seems to be in your thoughts."},
		{"You don't argue with me.", "Why do you think that I don't argue with you? Has somebody else done so before me?"},
		{"You are afraid of me.", "What makes you think that I am afraid of you? We have known each other for a few sentences only."},
		{"Bullies.", "Let us go back to something. Earlier you said: your boyfriend made you come here. Why did you leave it so quickly?"},
		{"你好", "Does that have anything to do with what you said before: your mother takes care of you?"},
		{"42", "That is interesting. What does it bring to your mind?"},
		{"I like YOU", "What do you like best about me? And when did you last enjoy it?"},
		{"My name is Anna Müller", "I am pleased to meet you, Anna Müller. People have taken me for somebody, too. What brings you here?"},
		{"Nothing, but are you a computer?", "Would it trouble you if I were a computer? I can assure you that I listen all the same."},
		{"I am unhappy", "I am sorry to hear that you are unhappy. Has it been so for long?"},
	}
	var said []string
	for _, turn := range talk {
		said = append(said, turn.said)
		if got := Reply(said); got != turn.want {
			t.Errorf("to %q: got %q, want %q", turn.said, got, turn.want)
		}
		if first, again := Reply(said), Reply(said); first != again {
			t.Errorf("to %q: %q, and the next time %q", turn.said, first, again)
		}
	}
}

func TestReplyToNothing(t *testing.T) {
	if got := Reply(nil); got != greeting {
		t.Errorf("got %q", got)
	}
	for _, said := range []string{"", "   ", "...", "\x00\n"} {
		if got := Reply([]string{said}); got != nothing[0] {
			t.Errorf("to %q: got %q", said, got)
		}
	}
}

// TestScript holds every pattern and answer of the script to its grammar.
func TestScript(t *testing.T) {
	for name, k := range keywords {
		if strings.HasPrefix(name, "@") {
			if !isFamily(name) {
				t.Errorf("%s: no such family", name)
			}
		}
		for _, r := range append(append([]rule{}, k.rules...), k.memory...) {
			slots := 0
			for _, w := range r.words {
				if strings.HasPrefix(w, "@") && !isFamily(w) {
					t.Errorf("%s: no family %s", name, w)
				}
				if w == "*" || strings.HasPrefix(w, "@") {
					slots++
				}
			}
			for _, a := range r.answers {
				if next, ok := strings.CutPrefix(a, "="); ok {
					if keywords[next] == nil {
						t.Errorf("%s: hands over to %q, which is no keyword", name, next)
					}
					continue
				}
				for n := slots + 1; n <= 9; n++ {
					if strings.Contains(a, "$"+string(rune('0'+n))) {
						t.Errorf("%s: %q asks for more than the %d parts of %v", name, a, slots, r.words)
					}
				}
			}
		}
		// The keyword alone, and in the middle of others, always has an answer.
		word := name
		for w, family := range families {
			if family == name {
				word = w
			}
		}
		for _, said := range []string{word, "so " + word + " then"} {
			m := mind{used: map[*rule]int{}}
			if _, ok := m.try(k, clauses(said)[0]); !ok {
				t.Errorf("%s: no answer to %q", name, said)
			}
		}
	}
}

func isFamily(name string) bool {
	for _, family := range families {
		if family == name {
			return true
		}
	}
	return false
}

func TestShow(t *testing.T) {
	cases := []struct{ said, want string }{
		{"tell me a long story", "# The keeper"},
		{"Write something long, please", "# The keeper"},
		{"Can you write some Markdown?", "# Everything"},
		{"show me a table", "| Day |"},
		{"Table!", "| Day |"},
		{"a list, please", "1. Put the"},
		{"write code", "```go"},
		{"give me a quote with a link", "> It is said"},
		{"show me emoji and Chinese", "中文"},
		{"help", "`tell me a long story`"},
		{"count to 12", "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,\n11, 12."},
		{"count to 999999999", " 2000."},
	}
	for _, c := range cases {
		got, ok := Show(c.said)
		if !ok || !strings.Contains(got, c.want) {
			t.Errorf("%q: %v, %.60q; want it to contain %q", c.said, ok, got, c.want)
		}
		if !utf8.ValidString(got) {
			t.Errorf("%q: not UTF-8", c.said)
		}
	}
	for _, said := range []string{
		"", "I have a long list of worries", "my story is sad", "count to", "count to ten", "count to 0",
		"I lost my job at the table of the code company and now I can only tell stories to nobody at all really",
	} {
		if got, ok := Show(said); ok {
			t.Errorf("%q: shows %.40q", said, got)
		}
	}
	if long, _ := Show("tell me a long story"); len(long) < 4000 {
		t.Errorf("the long story has only %d bytes", len(long))
	}
}

func FuzzReply(f *testing.F) {
	f.Add("I am sad because you hate me", "my mother")
	f.Add("you me you me you", "i you i you")
	f.Add("no text at all", strings.Repeat("\xa4", 2*maxBytes))
	f.Fuzz(func(t *testing.T, a, b string) {
		got := Reply([]string{a, b, strings.Repeat(a+" ", 20)})
		if got == "" {
			t.Fatalf("no answer to %q, %q", a, b)
		}
		if utf8.ValidString(a) && utf8.ValidString(b) && !utf8.ValidString(got) {
			t.Fatalf("answer is not UTF-8: %q", got)
		}
	})
}
