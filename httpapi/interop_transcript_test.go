package httpapi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// readmeSessions returns the console blocks of one section of README.md.
func readmeSessions(t *testing.T, section string) []string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(readme), "\n## "+section+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var blocks []string
	for {
		var block string
		if _, text, ok = strings.Cut(text, "```console\n"); !ok {
			break
		}
		if block, text, ok = strings.Cut(text, "```"); !ok {
			t.Fatalf("a block in %q has no end", section)
		}
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		t.Fatalf("nothing to try in %q", section)
	}
	return blocks
}

// exchange is one thing that is typed, and the lines that it brings.
type exchange struct {
	typed string
	lines []string
}

// exchanges splits a session at its prompt.
func exchanges(session, prompt string) (all []exchange) {
	for line := range strings.Lines(session) {
		line = strings.TrimSuffix(line, "\n")
		if typed, ok := strings.CutPrefix(line, prompt); ok {
			all = append(all, exchange{typed: typed})
		} else if len(all) > 0 {
			last := &all[len(all)-1]
			last.lines = append(last.lines, line)
		}
	}
	return all
}

// transcript compares what README.md shows with what happens. An id of the
// README's stands for one that is met, everywhere the same; where one delta
// ends and the next begins has no meaning; "…" leaves lines out.
type transcript struct {
	ids   map[string]string // of the README's: that was met
	shown map[string]string // the reverse
}

func newTranscript() *transcript {
	return &transcript{ids: make(map[string]string), shown: make(map[string]string)}
}

const gap = "…"

var (
	anyID   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	anyTime = regexp.MustCompile(`"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z"`)
	// The simulator cuts a text into tokens at random.
	anyCount = regexp.MustCompile(`"(completion|total)_tokens":\d+`)
)

// fill puts the ids that were met into what the README says to type.
func (tr *transcript) fill(text string) string {
	return anyID.ReplaceAllStringFunc(text, func(id string) string {
		if met, ok := tr.ids[id]; ok {
			return met
		}
		return id
	})
}

// compare returns what is wrong with the lines that were met.
func (tr *transcript) compare(shown, met []string) error {
	want, got := joined(shown), joined(met)
	open := len(want) > 0 && want[len(want)-1] == gap
	if open {
		want = want[:len(want)-1]
	}
	if len(got) < len(want) || len(got) > len(want) && !open {
		return fmt.Errorf("%d lines came, the README shows %d:\n%s\n\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, line := range want {
		if err := tr.line(line, got[i]); err != nil {
			return err
		}
	}
	return nil
}

func (tr *transcript) line(want, got string) error {
	shown, met := anyID.FindAllString(want, -1), anyID.FindAllString(got, -1)
	if len(shown) == len(met) {
		for i, id := range shown {
			if tr.ids[id] == "" && tr.shown[met[i]] == "" {
				tr.ids[id], tr.shown[met[i]] = met[i], id
			}
			if tr.ids[id] != met[i] || tr.shown[met[i]] != id {
				return fmt.Errorf("%s is not the id that %s stood for before:\n%s\n%s", id, met[i], got, want)
			}
		}
	}
	plain := func(s string) string {
		s = anyTime.ReplaceAllString(anyID.ReplaceAllString(s, "<id>"), `"<time>"`)
		return anyCount.ReplaceAllString(s, `"${1}_tokens":<n>`)
	}
	want, got = plain(want), plain(got)
	before, after, cut := strings.Cut(want, gap)
	if want == got || cut && strings.HasPrefix(got, before) && strings.HasSuffix(got, after) {
		return nil
	}
	return fmt.Errorf("got\n%s\nthe README shows\n%s", got, want)
}

// joined makes one line of every run of deltas, which is its text. What is left
// out in the midst of one stays left out.
func joined(lines []string) (out []string) {
	run := false
	for i, line := range lines {
		text, isDelta := deltaOf(line)
		switch {
		case line == "":
		case isDelta && run:
			out[len(out)-1] += text
		case isDelta:
			out, run = append(out, "deltas: "+text), true
		case run && line == gap:
			out[len(out)-1] += gap
		case strings.HasPrefix(line, "id: ") && i+1 < len(lines) && isDeltaLine(lines[i+1]):
		default:
			out, run = append(out, line), false
		}
	}
	return out
}

// deltaOf returns the text of a line that has a text-delta.
func deltaOf(line string) (text string, ok bool) {
	_, frame, ok := strings.Cut(line, "{")
	var delta struct{ Type, Delta string }
	if !ok || json.Unmarshal([]byte("{"+frame), &delta) != nil || delta.Type != "text-delta" {
		return "", false
	}
	return delta.Delta, true
}

func isDeltaLine(line string) bool {
	_, ok := deltaOf(line)
	return ok
}
