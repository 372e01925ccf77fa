package session

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

// TestShare: whoever reads a text while it is shared with the stored content reads on as
// before, from wherever it is.
func TestShare(t *testing.T) {
	content := strings.Repeat("naïve 👋 ", 20_000)
	text := NewMemory(Config{}).newText(Ref{}, &Running{Reply: uuid.New()}, false)
	text.append([]byte(content))
	text.show(len(content), false)
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			c, _ := text.At(0)
			var got strings.Builder
			for got.Len() < len(content) {
				got.Write(c.Next(1000 + 4000*i))
			}
			if got.String() != content {
				t.Errorf("reader %d read something else", i)
			}
		})
	}
	text.share(content)
	readers.Wait()
	if got := text.String(len(content)); got != content {
		t.Error("the text is another one")
	}
	blocks := 0
	for b := text.first; b != nil; b = b.next.Load() {
		blocks++
	}
	if blocks != 2 {
		t.Errorf("%d blocks are held from the beginning on, want the first and the content", blocks)
	}
}
