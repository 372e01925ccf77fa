package redisstore

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// writerURL is the environment of a process that writes a reply in the Redis that
// it names until another node does.
const writerURL = "CHATHUB_TEST_WRITER"

// TestWriterProcess is that process.
func TestWriterProcess(t *testing.T) {
	url := os.Getenv(writerURL)
	if url == "" {
		return
	}
	n := newNode(t, Config{URL: url})
	said := n.begin(t)
	fmt.Println("reply", said.Text.Ref.ID, said.Text.Ref.Born, said.Text.Reply)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for said.Text.Append([]byte("token ")) {
		<-pace.C
	}
	fmt.Println("lost", latest(said.Text).Own())
}

// writerCommand is such a process as its test has it.
type writerCommand struct {
	cmd   *exec.Cmd
	out   *bufio.Reader
	ref   session.Ref
	reply uuid.UUID
}

// startWriter starts one, which is killed when the test ends.
func startWriter(t testing.TB, url string) *writerCommand {
	t.Helper()
	w := &writerCommand{cmd: exec.Command(os.Args[0], "-test.run=^TestWriterProcess$")}
	w.cmd.Env = append(os.Environ(), writerURL+"="+url)
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.cmd.Process.Kill()
		_ = w.cmd.Wait()
	})
	w.out = bufio.NewReader(out)
	words := strings.Fields(w.line(t))
	if len(words) != 4 || words[0] != "reply" {
		t.Fatal(words)
	}
	w.ref = session.Ref{ID: uuid.MustParse(words[1]), Born: words[2]}
	w.reply = uuid.MustParse(words[3])
	return w
}

func (w *writerCommand) line(t testing.TB) string {
	t.Helper()
	s, err := w.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *writerCommand) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := w.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// TestProcesses ends processes that write a reply, by kill -9 and by SIGSTOP: the
// first loses its connections, the second only its beat, and wakes up again.
func TestProcesses(t *testing.T) {
	t.Parallel()
	url := "redis://" + startRedis(t).addr
	n, other := newNode(t, Config{URL: url}).settle(t), newNode(t, Config{URL: url}).settle(t)
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			w := startWriter(t, url)
			copied, watched := n.follow(t, w.ref), other.follow(t, w.ref)
			shown(t, copied, 60)
			w.signal(t, signal)
			n.await(t, "orphaned", w.ref.ID.String(), w.reply.String())
			said := n.take(t, w.ref, w.reply)
			had := said.Text.String(said.Text.Safe())
			if want := strings.Repeat("token ", len(had)/6+1)[:len(had)]; had != want {
				t.Errorf("taken %q", had)
			}
			said.Text.Append([]byte("and on"))
			reads(t, watched, had+"and on")
			if signal == syscall.SIGSTOP {
				w.signal(t, syscall.SIGCONT)
				if got := w.line(t); got != "lost false\n" {
					t.Errorf("it wakes up and says %q", got)
				}
				eventually(t, "it is known to live again", func() bool { return n.store.Alive(session.FenceNode(copied.Fence)) })
			}
			n.end(t, said.Text)
			if got := other.last(t, w.ref).Content; got != had+"and on" {
				t.Errorf("stored %q", got)
			}
		})
	}
}
