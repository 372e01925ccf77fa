package static_test

import (
	"fmt"
	"strings"
	"testing"
)

// A reply of 5,000 tokens costs at its end, per token, what it cost at its
// beginning. Counted in changes of the document, nodes they touched and
// elements they moved, not in time.
func TestLongReply(t *testing.T) {
	_, p, c := openPage(t)
	p.Do(`window.counts = []; window.changes = 0;
		new MutationObserver((records) => {
			for (const m of records) changes += 1 + m.addedNodes.length + m.removedNodes.length;
		}).observe($('.list'), { childList: true, subtree: true, characterData: true });`)
	_, r := ask(p, c, "Write at length", "")
	const steps, perStep = 10, 500
	var whole strings.Builder
	for step := range steps {
		for i := range perStep {
			text := fmt.Sprintf("w%d ", i)
			switch {
			case i == 0:
				text = fmt.Sprintf("\n\n## Part %d\n\n", step)
			case i%100 == 0:
				text = "\n\n- item with `code` and **bold**\n\n"
			case i%70 == 0:
				text = "\n\n```go\nreturn nil\n```\n\n"
			}
			whole.WriteString(text)
			r.delta(text)
		}
		r.delta(fmt.Sprintf("mark%d ", step))
		fmt.Fprintf(&whole, "mark%d ", step)
		p.Until(fmt.Sprintf("$('.assistant').textContent.includes('mark%d')", step))
		p.Do("counts.push(changes); changes = 0")
	}
	r.finish("stop")
	p.Until("w.state === 'ready'")
	counts := eval[[]int](p, "counts")
	t.Logf("changes of the document per %d tokens: %v", perStep, counts)
	first, last := counts[1], counts[len(counts)-1] // the first step also has the first paint
	if last > 2*first+perStep {
		t.Errorf("500 tokens took %d changes at the beginning and %d at the end", first, last)
	}
	if got := eval[string](p, "$('.assistant').row.message.content"); got != whole.String() {
		t.Errorf("%d bytes of %d arrived", len(got), whole.Len())
	}
	if n := eval[int](p, "$$('.assistant h3, .assistant figure, .assistant li').length"); n != steps*(1+7+4) {
		t.Errorf("%d headings, listings and items", n)
	}
	// A very long listing is laid out in pieces, a very long paragraph in short nodes.
	_, r = ask(p, c, "And code", r.id)
	r.delta("```\n" + strings.Repeat("line of code\n", 2000) + "```\n" + strings.Repeat("word ", 5000)).finish("stop")
	p.Until("w.state === 'ready' && $$('.assistant').length === 2")
	if got := eval[int](p, "Math.max(...$$('.assistant:last-child pre span').map((s) => s.childNodes.length))"); got > 100 {
		t.Errorf("%d nodes in one piece of a listing", got)
	}
}
