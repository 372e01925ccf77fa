package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// bodyFigures are what BenchmarkBodies tells of a body: its size, the status,
// and, of several sent at a time to a server of their own, the time until all
// are answered, the server's processor time for one, and how much more memory
// than idle it had at most.
var bodyFigures = []string{"MB", "status", "ms", "cpu-ms", "MB-peak"}

// BenchmarkBodies measures what each shape of a body, and of a frame, costs a
// server in a process of its own.
//
//	go test -run '^$' -bench Bodies -benchtime 1x ./httpapi
func BenchmarkBodies(b *testing.B) {
	const atOnce = 4
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "\t"+strings.Join(bodyFigures, "\t")+"\t")
	run := func(route string, shapes []costShape, send func(addr string, s costShape) (string, error)) {
		for _, s := range shapes {
			b.Run(route+" "+strings.ReplaceAll(s.name, " ", "_"), func(b *testing.B) {
				server := startRole(b, "server")
				defer server.stop()
				server.forgetPeak()
				before, used := server.settled(), server.processor()
				var status string
				for b.Loop() {
					var senders sync.WaitGroup
					for range atOnce {
						senders.Go(func() {
							got, err := send(server.addr, s)
							if err != nil {
								b.Error(err)
							}
							status = got
						})
					}
					senders.Wait()
				}
				took := b.Elapsed() / time.Duration(b.N)
				busy := (server.processor() - used) / time.Duration(atOnce*b.N)
				fmt.Fprintf(out, "%s %s\t%.1f\t%s\t%d\t%d\t%.1f\t\n", route, s.name, float64(s.size())/1e6, status, took.Milliseconds(), busy.Milliseconds(), server.peak()-before)
			})
		}
	}
	post := func(path string) func(string, costShape) (string, error) {
		return func(addr string, s costShape) (string, error) { return sendBody(addr, path, s) }
	}
	frame := func(dialect string) func(string, costShape) (string, error) {
		return func(addr string, s costShape) (string, error) { return sendFrame(addr, dialect, s) }
	}
	run("/api/chat", costSDKShapes(), post("/api/chat"))
	run("/chat", costChatShapes(200), post("/chat"))
	run("/sessions", costChatShapes(201), post("/sessions"))
	run("chathub.v1", costFrameShapes(), frame("chathub.v1"))
	run("deep-chat", costDeepShapes(), frame("deep-chat"))
	_ = out.Flush()
}

// forgetPeak has peak begin anew; where the system cannot, it goes on.
func (p *roleProcess) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0)
}

// peak is the most that the process had in memory, in MB; 0 where the system
// does not tell.
func (p *roleProcess) peak() (mb float64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
		_, _ = fmt.Sscan(rest, &mb) // in KiB
	}
	return mb * 1024 / 1e6
}

// sendBody posts a body and returns the status of the answer.
func sendBody(addr, path string, s costShape) (string, error) {
	s.head = strings.Replace(s.head, someID, newID(), 1)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	go func() { // it may be answered before it has sent all
		_, _ = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: hub\r\nContent-Length: %d\r\n\r\n", path, s.size())
		_ = s.writeTo(c)
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return fmt.Sprint(resp.StatusCode), err
}

// sendFrame sends a frame and returns the code of its refusal, or "pong".
func sendFrame(addr, dialect string, s costShape) (string, error) {
	sock, err := dialectSocket(addr, dialect)
	if err != nil {
		return "", err
	}
	defer sock.close()
	var text strings.Builder
	_ = s.writeTo(&text) // cannot fail
	if _, err := io.WriteString(sock.conn, masked(0x81, text.String())); err != nil {
		return "", err
	}
	answer, err := sock.read()
	switch text := string(answer); {
	case strings.Contains(text, "pong"):
		return "pong", err
	case strings.Contains(text, "error"):
		return "error", err
	}
	return "?", err
}
