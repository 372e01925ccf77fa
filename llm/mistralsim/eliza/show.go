package eliza

import (
	"embed"
	"slices"
	"strconv"
	"strings"
)

// shows are longer texts in Markdown, by what one asks for.
//
//go:embed show/*.md
var shows embed.FS

// topics says which words ask for which text, the first that fits.
var topics = []struct {
	file  string
	words []string
}{
	{"markdown", []string{"markdown", "formatting", "everything"}},
	{"table", []string{"table"}},
	{"code", []string{"code", "program", "snippet", "function"}},
	{"list", []string{"list", "bullets", "todo", "checklist"}},
	{"quote", []string{"quote", "quotation", "link", "links"}},
	{"languages", []string{"emoji", "emojis", "unicode", "chinese", "japanese", "korean", "cjk", "languages", "arabic"}},
	{"story", []string{"story", "tale", "long", "essay", "novel"}},
	{"help", []string{"help", "demo", "examples", "commands"}},
}

// requests are words with which one asks for a text to be written.
var requests = strings.Fields("tell write show give make draw print generate create send produce can could")

// Show returns a longer text when the utterance asks for one ("tell me a long
// story", "write some markdown", "a table, please", "count to 50"), and
// whether it does.
func Show(utterance string) (string, bool) {
	var words []string
	for _, clause := range clauses(utterance) {
		for _, w := range clause {
			words = append(words, w.low)
		}
	}
	if len(words) == 0 || len(words) > 16 {
		return "", false
	}
	if n, ok := countTo(words); ok {
		return count(n), true
	}
	asked := len(words) <= 2 || slices.Contains(words, "please") || slices.Contains(requests, words[0])
	if !asked {
		return "", false
	}
	for _, t := range topics {
		if slices.ContainsFunc(t.words, func(w string) bool { return slices.Contains(words, w) }) {
			text, err := shows.ReadFile("show/" + t.file + ".md")
			return strings.TrimSpace(string(text)), err == nil
		}
	}
	return "", false
}

// countTo reads "count to 50".
func countTo(words []string) (int, bool) {
	i := slices.Index(words, "count")
	if i < 0 || i+2 >= len(words) || words[i+1] != "to" {
		return 0, false
	}
	n, err := strconv.Atoi(words[i+2])
	return min(n, 2000), err == nil && n > 0
}

// count writes the numbers to n, ten a line: a gap or a repetition would show.
func count(n int) string {
	var b strings.Builder
	b.WriteString("Very well, but then we talk about you.\n")
	for i := 1; i <= n; i++ {
		if i%10 == 1 {
			b.WriteString("\n")
		} else {
			b.WriteString(" ")
		}
		b.WriteString(strconv.Itoa(i))
		if i < n {
			b.WriteString(",")
		} else {
			b.WriteString(".")
		}
	}
	return b.String()
}
