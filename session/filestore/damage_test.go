package filestore

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"lumos/backend/session"
)

// played is a disk on which all steps were taken, with many segments.
func played(t testing.TB, upTo int) (*disk, map[string]told) {
	t.Helper()
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{segmentBytes: 1 << 10}))
	if err != nil {
		t.Fatal(err)
	}
	s := &script{store, map[string]session.Ref{}, map[string]*session.Text{}, map[string]session.Turn{}}
	for _, step := range steps[:upTo] {
		if err := step.do(s); err != nil {
			t.Fatal(err)
		}
	}
	return d, dump(t, store)
}

// withoutCompaction is how many of the steps there are before the first compaction.
var withoutCompaction = slices.IndexFunc(steps, func(s step) bool { return s.name == "compact" })

// TestDamage flips every byte of what counts of every segment.
func TestDamage(t *testing.T) {
	d, want := played(t, withoutCompaction)
	names := segmentNames(d)
	if len(names) < 3 {
		t.Fatalf("%d segments", len(names))
	}
	for i, name := range names {
		last := i == len(names)-1
		for at := 0; at < len(d.names[name].data); at += stride {
			m := d.afterProcess()
			m.names[name].data[at] ^= 0x10
			var log strings.Builder
			cfg := quiet(Config{})
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			_, err := open(m, "disk", cfg)
			var damage *DamageError
			switch {
			case last && int64(at) >= headerFrame:
				if err != nil || !strings.Contains(log.String(), "the end of the log does not count") {
					t.Fatalf("the tail of %s, damaged at %d: %v\n%s", name, at, err, log.String())
				}
				continue
			case last && err == nil:
				continue // a header that was torn when the machine died looks like that
			case !errors.As(err, &damage):
				t.Fatalf("%s damaged at %d: %v", name, at, err)
			case damage.File != name || damage.Offset > int64(at) || !strings.Contains(err.Error(), name):
				t.Fatalf("%s damaged at %d: told of %v", name, at, err)
			}
		}
	}
	for _, name := range names[:len(names)-1] {
		for _, hurt := range []func(m *disk){
			func(m *disk) { delete(m.names, name) },
			func(m *disk) { m.names[name].data = m.names[name].data[:len(m.names[name].data)/2] },
			func(m *disk) { clear(m.names[name].data) },
			func(m *disk) { m.names[name].data = nil },
		} {
			m := d.afterProcess()
			hurt(m)
			var damage *DamageError
			if _, err := open(m, "disk", quiet(Config{})); !errors.As(err, &damage) || damage.File != name {
				t.Fatalf("%s was hurt: %v", name, err)
			}
			there := m.names[name] != nil
			repairs(t, m, want)
			if aside := m.names[name+".damaged"] != nil; aside != there || m.names[name] != nil {
				t.Errorf("%s is set aside: %v", name, aside)
			}
		}
	}
}

// repairs opens a damaged store with Repair, and then without.
func repairs(t *testing.T, m *disk, want map[string]told) {
	t.Helper()
	var log strings.Builder
	cfg := Config{Repair: true}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, err := open(m, "disk", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "set aside") {
		t.Errorf("it was told: %s", log.String())
	}
	got := dump(t, s)
	for id, one := range got {
		w, known := want[id]
		if !known {
			continue // its end was lost
		}
		if len(one.Messages) > len(w.Messages) || !slices.Equal(one.Messages, w.Messages[:len(one.Messages)]) {
			t.Errorf("repaired, %s has %v, had %v", id, one.Messages, w.Messages)
		}
	}
	again, err := open(m.afterProcess(), "disk", quiet(Config{}))
	if err != nil {
		t.Fatalf("opened once more: %v", err)
	}
	if diff := cmp.Diff(got, dump(t, again)); diff != "" {
		t.Errorf("opened once more it is another:\n%s", diff)
	}
}

// TestCrashInRepair cuts a repair at every call; the next one is as good.
func TestCrashInRepair(t *testing.T) {
	d, _ := played(t, withoutCompaction)
	names := segmentNames(d)
	damaged := names[1]
	d.names[damaged].data[len(d.names[damaged].data)-5] ^= 1
	content := slices.Clone(d.names[damaged].data)
	whole := d.afterProcess()
	s, err := open(whole, "disk", quiet(Config{Repair: true}))
	if err != nil {
		t.Fatal(err)
	}
	want := dump(t, s)
	for at := 0; at < len(whole.calls); at++ {
		m := d.afterProcess()
		m.crashAt, m.partial = at, at%4
		if _, err := open(m, "disk", quiet(Config{Repair: true})); err == nil && m.crashed {
			continue // only the removal of old files failed
		}
		left := m.afterMachine()
		left["process"] = m.afterProcess()
		for how, m := range left {
			what := fmt.Sprintf("cut at call %s, which left %s", whole.at(at), how)
			s, err := open(m, "disk", quiet(Config{Repair: true}))
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if diff := cmp.Diff(want, dump(t, s)); diff != "" {
				t.Fatalf("%s:\n%s", what, diff)
			}
			if f := m.names[damaged+".damaged"]; f == nil || !slices.Equal(f.data, content) {
				t.Fatalf("%s: it is not set aside", what)
			}
		}
	}
}

// TestDamageBehindASync: what a mark says was synced is no torn tail, though it is
// in the last segment.
func TestDamageBehindASync(t *testing.T) {
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := &script{store, map[string]session.Ref{}, map[string]*session.Text{}, map[string]session.Turn{}}
	for _, step := range []step{create("a"), say("a", "hi"), write("a", "Hello"), syncNow, markNow} {
		if err := step.do(s); err != nil {
			t.Fatal(err)
		}
	}
	synced := int(store.b.j.seg.marked)
	if err := write("a", " more").do(s); err != nil {
		t.Fatal(err)
	}
	name := segmentName(1)
	for at := range d.names[name].data {
		m := d.afterProcess()
		m.names[name].data[at] ^= 1
		_, err := open(m, "disk", quiet(Config{}))
		if at < synced && err == nil || at >= synced+markSize && err != nil {
			t.Fatalf("damaged at %d, where %d were synced: %v", at, synced, err)
		}
	}
}

// TestTail: what is cut of the last segment, or stands behind it as zeros or as
// anything else, is no damage.
func TestTail(t *testing.T) {
	d, want := played(t, withoutCompaction)
	names := segmentNames(d)
	name := names[len(names)-1]
	size := len(d.names[name].data)
	for _, more := range [][]byte{{0}, make([]byte, 7), make([]byte, 8), make([]byte, 4096), []byte("noise, and more of it"), {255, 255, 255, 255, 0, 0, 0, 0, 1}} {
		m := d.afterProcess()
		m.names[name].data = append(m.names[name].data, more...)
		s, err := open(m, "disk", quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, dump(t, s)); diff != "" {
			t.Errorf("behind %d bytes more:\n%s", len(more), diff)
		}
	}
	for n := range size {
		m := d.afterProcess()
		m.names[name].data = m.names[name].data[:n]
		if _, err := open(m, "disk", quiet(Config{})); err != nil {
			t.Fatalf("cut to %d of %d: %v", n, size, err)
		}
	}
}

// TestNewerFormat: a log of a newer program is not touched.
func TestNewerFormat(t *testing.T) {
	d, _ := played(t, withoutCompaction)
	names := segmentNames(d)
	name := names[len(names)-1]
	data := d.names[name].data
	data[frameHeader+1+len(magic)]++
	endFrame(data[:headerFrame], 0)
	for _, repair := range []bool{false, true} {
		if _, err := open(d, "disk", quiet(Config{Repair: repair})); err == nil || !strings.Contains(err.Error(), "format is 2") {
			t.Errorf("opened with %v", err)
		}
	}
	if got := len(d.names); got != len(names) {
		t.Errorf("%d files, were %d", got, len(names))
	}
}

func segmentNames(d *disk) (names []string) {
	seqs, _ := segments(d)
	for _, seq := range seqs {
		names = append(names, segmentName(seq))
	}
	return names
}

// FuzzReplay replays anything. Whatever it is, it must not panic, nor take for
// ever.
func FuzzReplay(f *testing.F) {
	d, _ := played(f, len(steps))
	for _, file := range d.names {
		f.Add(file.data[headerFrame:], true)
	}
	f.Add([]byte{}, false)
	f.Add(append(markFrame(1<<40, 0), readyFrame()...), false)
	f.Fuzz(func(t *testing.T, data []byte, sums bool) {
		if sums {
			resum(data)
		}
		d := newDisk()
		first := header{seq: 1, run: 1, start: 1}.frame()
		d.names[segmentName(1)] = &diskFile{data: append(first, data...)}
		for _, repair := range []bool{false, true} {
			r := &replay{files: d, repair: repair}
			if r.run() == nil {
				if all, err := r.restored(); err == nil {
					m := session.NewMemory(session.Config{})
					for _, one := range all {
						_, _ = m.Restore(one)
					}
				}
			}
		}
	})
}

// resum has the frames that data is made of have right checksums, so that what is
// in them is looked at.
func resum(data []byte) {
	for at := 0; at+frameHeader < len(data); {
		n := int(uint32(data[at]) | uint32(data[at+1])<<8 | uint32(data[at+2])<<16)
		data[at+3] = 0
		if n == 0 || n > len(data)-at-frameHeader {
			return
		}
		endFrame(data[at:at+frameHeader+n], 0)
		at += frameHeader + n
	}
}

// TestForgedMark: what somebody has said is no mark of a sync, whatever its bytes are, so
// the torn frame that it is in does not keep the store from starting.
func TestForgedMark(t *testing.T) {
	forged := "\xff"
	for n := int64(1) << 40; !utf8.ValidString(forged); n++ {
		forged = string(markFrame(n, 0))
	}
	d := newDisk()
	store, err := open(d, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	s := newScript(store)
	s.must(t, create("a"))
	want := dump(t, store)
	s.must(t, say("a", forged+" and more"))
	killed := d.afterProcess()
	for _, f := range killed.names { // there is one
		f.data = f.data[:len(f.data)-len("more")]
		if !strings.Contains(string(f.data), forged) {
			t.Fatal("it was not written")
		}
	}
	again, err := open(killed, "disk", quiet(Config{}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, dump(t, again)); diff != "" {
		t.Error(diff)
	}
}
