package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// event is one event of a stream: the chunk, and the id that the event had.
type event struct {
	frame
	EventID string
}

// stream is a client of server-sent events. When it has read to the end, or
// closes, all that it read is held against openapi.yaml.
type stream struct {
	t     testing.TB
	req   *http.Request
	resp  *http.Response
	lines *bufio.Reader
	read  bytes.Buffer // all of the body so far
	id    string       // of the reply, as far as it was told
	text  string       // the deltas so far
	pings int
	done  bool // [DONE] came
}

// follow opens a stream, which must be one.
func (r *rig) follow(method, path, body string, change ...func(*http.Request)) *stream {
	r.t.Helper()
	change = append([]func(*http.Request){header("Accept", "text/event-stream")}, change...)
	resp, req := r.send(method, path, body, change...)
	s := newStream(r.t, req, resp)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		rest, _ := io.ReadAll(s.lines)
		r.t.Fatalf("%s %s: %s, %s: %s", method, path, resp.Status, resp.Header.Get("Content-Type"), rest)
	}
	return s
}

// newStream reads a response as a stream.
func newStream(t testing.TB, req *http.Request, resp *http.Response) *stream {
	s := &stream{t: t, req: req, resp: resp}
	s.lines = bufio.NewReader(io.TeeReader(resp.Body, &s.read))
	t.Cleanup(func() { _ = resp.Body.Close() })
	return s
}

// next returns the next event; false: the stream has ended.
func (s *stream) next() (e event, ok bool) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err == io.EOF && line == "" || err == io.ErrUnexpectedEOF { // the second: it was cut
			checkResponse(s.t, s.req, s.resp, s.read.Bytes())
			return event{}, false
		}
		if err != nil {
			s.t.Fatalf("the stream breaks: %v behind %.200q", err, s.read.String())
		}
		line = strings.TrimSuffix(line, "\n")
		switch name, value, _ := strings.Cut(line, ": "); {
		case line == ": ping":
			s.pings++
		case line == "data: [DONE]":
			s.done = true
		case name == "id":
			e.EventID = value
		case name == "data":
			if err := json.Unmarshal([]byte(value), &e.frame); err != nil {
				s.t.Fatalf("%v in %q", err, line)
			}
		case line == "" && e.Type != "":
			s.text += e.Delta
			if e.MessageID != "" {
				s.id = e.MessageID
			}
			return e, true
		case line != "":
			s.t.Fatalf("the line %q", line)
		}
	}
}

// until reads to the first event of this type, and returns it.
func (s *stream) until(typ string) event {
	s.t.Helper()
	for {
		e, ok := s.next()
		if !ok {
			s.t.Fatalf("the stream ends without %s: %.200s", typ, s.read.String())
		}
		if e.Type == typ {
			return e
		}
	}
}

// rest reads the stream to its end.
func (s *stream) rest() (events []event) {
	s.t.Helper()
	for {
		e, ok := s.next()
		if !ok {
			return events
		}
		events = append(events, e)
	}
}

// close goes away in mid-stream.
func (s *stream) close() {
	s.t.Helper()
	if err := s.resp.Body.Close(); err != nil {
		s.t.Error(err)
	}
	checkResponse(s.t, s.req, s.resp, s.read.Bytes())
}
