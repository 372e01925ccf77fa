package filestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

func newScript(s *Store) *script {
	return &script{s, map[string]session.Ref{}, map[string]*session.Text{}, map[string]session.Turn{}}
}

func (s *script) must(t testing.TB, steps ...step) {
	t.Helper()
	for _, step := range steps {
		if err := step.do(s); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
}

// runs has the store work in the background until the function that it returns is
// called.
func runs(t testing.TB, s *Store) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := opened(t, dir, Config{})
	newScript(s).must(t, create("a"))
	_, err := Open(dir, quiet(Config{}))
	if err == nil || !strings.Contains(err.Error(), "the directory "+dir+" is in use by another process") {
		t.Errorf("opened twice: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := create("b").do(newScript(s)); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("created in a store that is closed: %v", err)
	}
	opened(t, dir, Config{})
}

func TestDirectoryThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "data"), quiet(Config{})); err == nil {
		t.Error("opened in a file")
	}
}

// TestDisplaced: where the lock has failed, the process that began last goes on.
func TestDisplaced(t *testing.T) {
	for name, notice := range map[string]func(s *script) error{
		"by the clock":                  func(s *script) error { s.b.tick(t.Context()); return s.Ready(t.Context()) },
		"by a new segment":              func(s *script) error { _, _, err := s.b.j.startCompaction(); return err },
		"when it goes on after failing": func(s *script) error { return s.b.recover(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			older, err := open(d, "disk", quiet(Config{}))
			if err != nil {
				t.Fatal(err)
			}
			first := newScript(older)
			first.must(t, create("a"), say("a", "hi"))
			if strings.Contains(name, "failing") {
				d.full = true
				_ = write("a", "x").do(first)
				d.full = false
			}
			newer, err := open(d, "disk", quiet(Config{}))
			if err != nil {
				t.Fatal(err)
			}
			if err := notice(first); err == nil {
				t.Error("it has not noticed")
			}
			for range 2 {
				if err := create("b").do(first); !errors.Is(err, session.ErrUnavailable) {
					t.Errorf("created all the same: %v", err)
				}
				first.b.tick(t.Context())
			}
			second := newScript(newer)
			second.must(t, create("c"))
			again, err := open(d.afterProcess(), "disk", quiet(Config{}))
			if err != nil {
				t.Fatal(err)
			}
			if again.Len() != 2 {
				t.Errorf("%d conversations", again.Len())
			}
		})
	}
}

const childDir = "FILESTORE_TEST_CHILD"

// TestKill kills processes that write, again and again, on one directory.
func TestKill(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	dir := t.TempDir()
	acknowledged := map[string]string{} // the text of each reply, as far as it was told
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			reply, text, _ := strings.Cut(lines.Text(), " ")
			if _, err := uuid.Parse(reply); err != nil {
				continue
			}
			acknowledged[reply] = text
			if n == 300 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		s, err := Open(dir, quiet(Config{}))
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		err = s.Each(t.Context(), func(_ uuid.UUID, c *session.Conversation, text *session.Text) error {
			for _, m := range c.Messages() {
				found[m.ID.String()] = m.Content
			}
			if text != nil {
				found[text.Reply.String()] = text.String(text.Safe())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for reply, text := range acknowledged {
			if !strings.HasPrefix(found[reply], text) {
				t.Errorf("reply %s is %q, and %q was acknowledged", reply, found[reply], text)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) < 8 {
		t.Errorf("%d replies", len(acknowledged))
	}
}

// child writes replies, five at a time, until it is killed, and tells how far they
// are stored.
func child(dir string) {
	cfg := Config{segmentBytes: 32 << 10, eraseEvery: 50 * time.Millisecond}
	s, err := Open(dir, quiet(cfg))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	go func() { _ = s.Run(ctx) }()
	lines := make(chan string)
	for range 5 {
		go func() {
			for {
				got, err := s.Create(ctx, session.Creation{ID: uuid.New()})
				if err != nil {
					continue
				}
				said, err := s.Say(ctx, got.Ref(), session.Turn{
					User: session.Message{ID: uuid.New(), Content: "hi", Timestamp: session.Now()}, Reply: uuid.New(), Model: "m",
				})
				if err != nil {
					continue
				}
				for i := range 40 {
					said.Text.Append(fmt.Appendf(nil, "token-%d-", i))
					n := said.Text.Safe()
					lines <- said.Text.Reply.String() + " " + said.Text.String(n)
				}
				if s.Finish(ctx, said.Text, session.Message{FinishReason: session.FinishStop}) == nil {
					lines <- said.Text.Reply.String() + " " + said.Text.String(said.Text.Appended())
				}
			}
		}()
	}
	go func() {
		for ctx.Err() == nil {
			_ = s.b.compact(ctx)
		}
	}()
	for line := range lines {
		fmt.Println(line)
	}
}
