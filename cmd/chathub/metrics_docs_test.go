package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMetricsTable holds the README's table of metrics to what /metrics has: every name, and every
// label.
func TestMetricsTable(t *testing.T) {
	var table string
	for _, file := range []string{"README.md", "../../README.md"} {
		text, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		_, after, found := strings.Cut(string(text), "| metric (`chathub_…`)")
		if found {
			table, _, _ = strings.Cut(after, "\n\n")
		}
	}
	var told []string
	for row := range strings.Lines(table) {
		if cells := strings.Split(row, "|"); len(cells) > 2 && strings.HasPrefix(row, "| `") {
			for _, m := range regexp.MustCompile("`([a-z_]+)(?:{([a-z,]+)})?`").FindAllStringSubmatch(cells[1], -1) {
				told = append(told, metric(m[1], strings.Split(m[2], ",")))
			}
		}
	}

	p := launch(t, []string{"PORT=0"}, "--demo")
	p.listens()
	p.request("GET", "/", "")
	_, body := p.request("GET", "/metrics", "")
	var there []string
	for _, m := range regexp.MustCompile(`(?m)^chathub_([a-z_]+?)(?:_bucket|_sum|_count)?(?:{(.*)})? \S+$`).FindAllStringSubmatch(body, -1) {
		labels := []string{""}
		for _, pair := range regexp.MustCompile(`([a-z]+)="`).FindAllStringSubmatch(m[2], -1) {
			if pair[1] != "le" {
				labels = append(labels, pair[1])
			}
		}
		there = append(there, metric(m[1], labels))
	}
	slices.Sort(told)
	slices.Sort(there)
	if diff := cmp.Diff(slices.Compact(there), told); diff != "" {
		t.Errorf("the README's table (-/metrics +README):\n%s", diff)
	}
}

// metric is a name with its labels in order.
func metric(name string, labels []string) string {
	slices.Sort(labels)
	return strings.TrimRight(name+" "+strings.TrimLeft(strings.Join(labels, ","), ","), " ")
}
