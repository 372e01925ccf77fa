package httpapi_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"lumos/backend/cmd/needs"
)

// startDemo builds and starts the program as README.md says, on a free port,
// and returns its address.
func startDemo(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil || !strings.Contains(string(readme), "go run ./cmd/chathub --demo") {
		t.Fatalf("README.md does not say how to start the demo (%v)", err)
	}
	addr, _ := runProgram(t, buildProgram(t), nil, "--demo", "--port=0")
	return addr
}

// buildProgram builds chathub and returns its path.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "chathub")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/chathub").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// runProgram starts it, and returns its address and what is kill -9.
func runProgram(t *testing.T, program string, env []string, args ...string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var log syncBuffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &log, &log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("the program's log:\n%s", log.String())
		}
	})
	listens := regexp.MustCompile(`"chathub listens" url=http://(\S+)`)
	eventually(t, "the program listens", func() bool {
		if found := listens.FindStringSubmatch(log.String()); found != nil {
			addr = found[1]
		}
		return addr != ""
	})
	return addr, kill
}

// TestReadmeCurl does what README.md's minute with curl shows.
func TestReadmeCurl(t *testing.T) {
	needs.Program(t, "curl")
	addr := startDemo(t)
	tr := newTranscript()
	for _, block := range readmeSessions(t, "A minute with curl") {
		for _, x := range exchanges(block, "$ ") {
			ctx, cancel := context.WithTimeout(t.Context(), rigPatience)
			command := strings.ReplaceAll(tr.fill(x.typed), "localhost:8080", addr)
			out, err := exec.CommandContext(ctx, "sh", "-c", command).Output()
			cancel()
			if err != nil {
				t.Fatalf("%s: %v", command, err)
			}
			if err := tr.compare(x.lines, strings.Split(string(out), "\n")); err != nil {
				t.Errorf("%s: %v", x.typed, err)
			}
		}
	}
}

// TestReadmeWscat plays README.md's minute with the real wscat, at a terminal.
func TestReadmeWscat(t *testing.T) {
	needs.Program(t, "script") // which makes a terminal
	bin, err := filepath.Abs(filepath.Join(npmPackages(t, "wscat"), "node_modules", ".bin"))
	if err != nil {
		t.Fatal(err)
	}
	addr := startDemo(t)
	for _, block := range readmeSessions(t, "A minute with wscat") {
		for _, x := range exchanges(block, "$ ") {
			command := strings.TrimPrefix(strings.ReplaceAll(x.typed, "localhost:8080", addr), "npx ")
			s := openTerminal(t, command, bin)
			s.play(exchanges("> \n"+strings.Join(x.lines, "\n"), "> "))
		}
	}
}

// terminal is a program at a terminal that script(1) makes.
type terminal struct {
	t     *testing.T
	keys  io.Writer
	lines chan string // closed when the program has ended
}

func openTerminal(t *testing.T, command, bin string) *terminal {
	t.Helper()
	script := exec.Command("script", "-q", "-e", "-c", command, "/dev/null")
	script.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TERM=dumb", "SHELL=/bin/sh")
	keys, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	screen, err := script.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	s := &terminal{t: t, keys: keys, lines: make(chan string)}
	done := make(chan struct{})
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(screen); scan.Scan(); {
			select {
			case s.lines <- scan.Text():
			case <-done:
			}
		}
	}()
	t.Cleanup(func() {
		_, _ = keys.Write([]byte{3}) // Ctrl+C
		close(done)
		eventually(t, "wscat ends at Ctrl+C", func() bool { _, open := <-s.lines; return !open })
		_ = script.Wait()
	})
	return s
}

// play types what the session has, each when all before it has come.
func (s *terminal) play(session []exchange) {
	s.t.Helper()
	tr := newTranscript()
	cut := false // the reply before was left in its midst
	for i, x := range session {
		if i > 0 { // the first is what comes by itself
			if _, err := io.WriteString(s.keys, tr.fill(x.typed)+"\n"); err != nil {
				s.t.Fatal(err)
			}
		}
		met := s.until(tr, x.lines, cut)
		if err := tr.compare(x.lines, met); err != nil {
			s.t.Fatalf("behind %q: %v", x.typed, err)
		}
		cut = x.lines[len(x.lines)-1] == gap
	}
}

// until reads lines to the last of those shown; to a first delta where the
// README leaves the rest out. With cut, deltas at the beginning are another's.
func (s *terminal) until(tr *transcript, shown []string, cut bool) (met []string) {
	s.t.Helper()
	for len(shown) > 0 && shown[len(shown)-1] == "" {
		shown = shown[:len(shown)-1]
	}
	last := shown[len(shown)-1]
	for {
		line, ok := s.next()
		if !ok {
			s.t.Fatalf("wscat ended behind\n%s", strings.Join(met, "\n"))
		}
		if line == "" || cut && isDeltaLine(line) {
			continue
		}
		cut = false
		met = append(met, line)
		if last == gap && isDeltaLine(line) || last != gap && sameKind(last, line) {
			return met
		}
	}
}

var frameType = regexp.MustCompile(`"type":"([a-z-]+)"`)

// sameKind tells whether the lines are frames of one type, or the same.
func sameKind(a, b string) bool {
	x, y := frameType.FindStringSubmatch(a), frameType.FindStringSubmatch(b)
	return a == b || x != nil && y != nil && x[1] == y[1]
}

// control is what a program sends a terminal to move and to colour.
var control = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\r`)

// next returns a line as a person sees it: "" when it is what was typed.
func (s *terminal) next() (string, bool) {
	s.t.Helper()
	limit := time.NewTimer(rigPatience)
	defer limit.Stop()
	var line string
	var ok bool
	select {
	case line, ok = <-s.lines:
	case <-limit.C:
		s.t.Fatal("wscat shows nothing more")
	}
	if i := strings.LastIndex(line, "\x1b[2K"); i >= 0 { // what stood there was erased
		line = line[i:]
	}
	line = control.ReplaceAllString(line, "")
	if strings.HasPrefix(line, "> ") {
		line = ""
	}
	return line, ok
}
