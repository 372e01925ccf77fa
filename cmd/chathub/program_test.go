package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"lumos/backend/llm/mistralsim"
)

// programKey is the key that the program is given, to look for where it must not be.
const programKey = "not-a-real-key-of-the-program"

// program is chathub as a process on its own.
type program struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  lockedBuffer
	log  lockedBuffer
	url  string
	done chan struct{} // closed when it has ended
}

// launch starts the program in an empty directory, with these settings only.
func launch(t testing.TB, env []string, args ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(builtBinary(t), args...), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = env, t.TempDir(), &p.out, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // its status is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

var listens = regexp.MustCompile(`"chathub listens".*url"?[=:]"?(http://[^\s"]+)`)

// serving starts the program in front of a simulated model, and returns when it listens.
func serving(t testing.TB, answer func(*mistralsim.Request) mistralsim.Answer, env []string, args ...string) *program {
	t.Helper()
	p := launch(t, append([]string{"PORT=0", "HOST=127.0.0.1", "MISTRAL_API_KEY=" + programKey, "MISTRAL_BASE_URL=" + simulated(t, answer)}, env...), args...)
	p.listens()
	return p
}

// simulated starts a simulated model, and returns its address.
func simulated(t testing.TB, answer func(*mistralsim.Request) mistralsim.Answer) string {
	t.Helper()
	upstream := httptest.NewServer(mistralsim.New(mistralsim.Config{Key: programKey, Answer: answer}))
	t.Cleanup(func() {
		upstream.CloseClientConnections()
		upstream.Close()
	})
	return upstream.URL
}

// listens waits for the start line.
func (p *program) listens() {
	p.t.Helper()
	eventually(p.t, "the program listens", func() bool {
		if found := listens.FindStringSubmatch(p.log.String()); found != nil {
			p.url = found[1]
		}
		select {
		case <-p.done:
			p.t.Fatalf("the program has ended:\n%s", p.log.String())
		default:
		}
		return p.url != ""
	})
}

// exit waits for the program to end, and returns its status.
func (p *program) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("the program has not ended:\n%s", p.log.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// signal sends the program a signal.
func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// request sends a request and returns status and body.
func (p *program) request(method, path, body string, header ...string) (int, string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Close = true
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, err.Error()
	}
	return resp.StatusCode, string(answer)
}

// later is request in the background.
func (p *program) later(method, path, body string, header ...string) (wait func() (int, string)) {
	type answer struct {
		status int
		body   string
	}
	c := make(chan answer, 1)
	go func() {
		status, body := p.request(method, path, body, header...)
		c <- answer{status, body}
	}()
	return func() (int, string) { a := <-c; return a.status, a.body }
}

// speaker is a WebSocket to the program.
type speaker struct {
	t  testing.TB
	ws *websocket.Conn
	id string // of the conversation
}

// told is what these tests look at in a frame.
type told struct {
	Type, Delta, Code string
	Conversation      string `json:"conversation_id"`
}

func (p *program) speak(path string) *speaker {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = ws.CloseNow() })
	c := &speaker{t: p.t, ws: ws}
	c.id = c.until("ready").Conversation
	return c
}

func (c *speaker) say(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *speaker) read() (told, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	_, data, err := c.ws.Read(ctx)
	var f told
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	return f, err
}

// until reads to the first frame of this type.
func (c *speaker) until(typ string) told {
	c.t.Helper()
	for {
		f, err := c.read()
		if err != nil {
			c.t.Fatalf("%v, want %s", err, typ)
		}
		if f.Type == typ {
			return f
		}
	}
}

// rest reads until the connection is closed: the text that came, the type of
// the last frame, the codes of errors, and the close code.
func (c *speaker) rest() (text, last string, codes []string, closed websocket.StatusCode) {
	c.t.Helper()
	for {
		f, err := c.read()
		var closing websocket.CloseError
		if errors.As(err, &closing) {
			return text, last, codes, closing.Code
		}
		if err != nil {
			c.t.Fatal(err)
		}
		if text, last = text+f.Delta, f.Type; f.Code != "" {
			codes = append(codes, f.Code)
		}
	}
}

// gated answers every message with these tokens, and waits in front of token
// at until the gate is opened.
func gated(at int, tokens ...string) (answer func(*mistralsim.Request) mistralsim.Answer, reached chan struct{}, open chan struct{}) {
	reached, open = make(chan struct{}, 100), make(chan struct{})
	return func(*mistralsim.Request) mistralsim.Answer {
		return mistralsim.Answer{Tokens: tokens, Hold: func(ctx context.Context, i int) {
			if i != at {
				return
			}
			reached <- struct{}{}
			select {
			case <-open:
			case <-ctx.Done():
			}
		}}
	}, reached, open
}

// lines are the lines of a text that hold a word.
func lines(text, word string) (found []string) {
	for line := range bytes.Lines([]byte(text)) {
		if bytes.Contains(line, []byte(word)) {
			found = append(found, string(line))
		}
	}
	return found
}
