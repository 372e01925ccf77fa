package hub

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// read returns all of t from off on, in pieces of at most limit bytes, and
// fails the test when a piece is not what from promises.
func (t *text) read(tb testing.TB, off, limit int) string {
	tb.Helper()
	var all strings.Builder
	for {
		piece := t.from(off, limit)
		if len(piece) == 0 {
			return all.String()
		}
		if len(piece) > limit || !utf8.Valid(piece) {
			tb.Fatalf("from(%d, %d) is %q", off, limit, piece)
		}
		all.Write(piece)
		off += len(piece)
	}
}

// split cuts s into whole characters, by chance.
func split(rnd *rand.Rand, s string, most int) (parts []string) {
	for s != "" {
		n := whole([]byte(s), min(len(s), utf8.UTFMax+rnd.IntN(most)))
		parts, s = append(parts, s[:n]), s[n:]
	}
	return parts
}

func TestText(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "é", "€", "👋", "你好", strings.Repeat("word ", 50), strings.Repeat("👩‍👩‍👧", 300)}
	for range 200 {
		want := ""
		var got text
		for range rnd.IntN(30) {
			s := alphabet[rnd.IntN(len(alphabet))]
			want += s
			for _, part := range split(rnd, s, 64) {
				got.append([]byte(part))
			}
		}
		if got.size != len(want) || got.String() != want {
			t.Fatalf("%d bytes, want %d", got.size, len(want))
		}
		for _, limit := range []int{utf8.UTFMax, 7, 100, maxDelta} {
			if got.read(t, 0, limit) != want {
				t.Fatalf("read in pieces of %d bytes, it is another", limit)
			}
		}
		for range 20 {
			off := rnd.IntN(len(want) + 2)
			fits := off <= len(want) && (off == len(want) || utf8.RuneStart(want[off]))
			if got.splits(off) != fits {
				t.Fatalf("splits(%d) is %v in %d bytes", off, !fits, len(want))
			}
			if fits && got.read(t, off, maxDelta) != want[off:] {
				t.Fatalf("read from %d on, it is another", off)
			}
		}
		if got.splits(-1) || got.splits(len(want)+1) || got.from(len(want), 10) != nil || got.from(len(want)+5, 10) != nil {
			t.Fatal("there is something outside")
		}
		kept := stored(want)
		if kept.String() != want || kept.size != len(want) || kept.read(t, 0, maxDelta) != want {
			t.Fatal("stored, it is another")
		}
	}
}

// TestTextStays: what was handed out does not change while more is written.
func TestTextStays(t *testing.T) {
	var x text
	var views [][]byte
	var copies []string
	for i := range 5000 {
		x.append([]byte(strings.Repeat(string(rune('a'+i%26)), 1+i%40)))
		views = append(views, x.from(max(0, x.size-100), 100))
		copies = append(copies, string(views[i]))
	}
	whole := x.String()
	for i := range views {
		if string(views[i]) != copies[i] {
			t.Fatalf("view %d changed", i)
		}
	}
	x.append([]byte("more"))
	if x.String() != whole+"more" {
		t.Error("the string that was handed out is not its beginning")
	}
}

// TestTextBlocks: a long reply is neither copied nor kept in crumbs.
func TestTextBlocks(t *testing.T) {
	var x text
	for range 1 << 20 / 5 {
		x.append([]byte("word "))
	}
	room := 0
	for _, b := range x.blocks {
		room += cap(b.b)
	}
	if room > x.size+2*lastBlock || len(x.blocks) > x.size/lastBlock+10 {
		t.Errorf("%d bytes take %d in %d blocks", x.size, room, len(x.blocks))
	}
}

// TestTextCutAnywhere: another writer had less, and goes on from there; what was handed
// out stays.
func TestTextCutAnywhere(t *testing.T) {
	const all = "0123456789 Grüße 👋 "
	for _, block := range []int{1, 100, 5000} {
		long := strings.Repeat(all, block)
		for _, n := range []int{0, 1, firstBlock - 1, firstBlock, firstBlock + 1, 3 * firstBlock, len(long) - 1, len(long)} {
			if n > len(long) {
				continue
			}
			var x text
			for _, part := range split(rand.New(rand.NewPCG(7, uint64(n))), long, 50) {
				x.append([]byte(part))
			}
			view := x.from(0, maxDelta)
			kept := string(view)
			x.cut(n)
			if x.size != n || x.String() != long[:n] {
				t.Fatalf("cut to %d of %d, it has %d bytes", n, len(long), x.size)
			}
			x.append([]byte(all))
			if x.String() != long[:n]+all || string(view) != kept {
				t.Fatalf("cut to %d of %d and gone on with, it is another", n, len(long))
			}
			if len(x.blocks) > len(long)/lastBlock+12 {
				t.Fatalf("%d blocks", len(x.blocks))
			}
		}
	}
}

func TestWhole(t *testing.T) {
	for _, tt := range []struct {
		p     string
		limit int
		want  int
	}{
		{"", 0, 0}, {"abc", 5, 3}, {"abc", 3, 3}, {"abc", 2, 2}, {"aé", 2, 1}, {"a👋b", 4, 1}, {"a👋b", 5, 5},
		{"👋", 4, 4}, {"éé", 3, 2}, {"€€", 5, 3}, {"\x80\x80\x80\x80\x80\x80", 5, 5}, // no UTF-8: no endless loop
	} {
		if got := whole([]byte(tt.p), tt.limit); got != tt.want {
			t.Errorf("whole(%q, %d) = %d, want %d", tt.p, tt.limit, got, tt.want)
		}
	}
}

// FuzzText appends anything, in any cut, and reads it back.
func FuzzText(f *testing.F) {
	f.Add([]byte("hello 👋"), uint64(1))
	f.Add(bytes.Repeat([]byte("€"), 400), uint64(2))
	f.Add([]byte("\xff\x80\x80\x80\x80\x80"), uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		var x text
		for rest := data; len(rest) > 0; {
			n := whole(rest, min(len(rest), utf8.UTFMax+rnd.IntN(600)))
			x.append(rest[:n])
			rest = rest[n:]
		}
		if x.String() != string(data) {
			t.Fatalf("got %q", x.String())
		}
		var back []byte
		for off := 0; off < x.size; {
			piece := x.from(off, utf8.UTFMax+rnd.IntN(50))
			if len(piece) == 0 {
				t.Fatalf("nothing from %d of %d", off, x.size)
			}
			if utf8.Valid(data) && (!utf8.Valid(piece) || !x.splits(off)) {
				t.Fatalf("%q at %d", piece, off)
			}
			back = append(back, piece...)
			off += len(piece)
		}
		if !bytes.Equal(back, data) {
			t.Fatalf("read back as %q", back)
		}
	})
}
