package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// refStream is what a client keeps of a reply that it gets as server-sent
// events, by the rules of the HTML standard and of PROTOCOL.md.
type refStream struct {
	lastID  string // of the last event that came whole; "" : none did
	session string
	reply   string
	parts   []refPart
	offset  int64  // of the last event
	open    string // the kind of the part that was started
	end     string // the type of the chunk that ended the reply
	done    bool   // [DONE] was seen
}

// openRefStream sends a request over a connection of its own and returns the
// response, whose body breaks where d says.
func openRefStream(addr string, d refDial, req *http.Request) (*refConn, *http.Response, error) {
	conn, err := dialRef(addr, d)
	if err != nil {
		return nil, nil, err
	}
	if err := req.Write(conn); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		_ = conn.Close()
		if conn.left == 0 { // whatever was made of half a status line
			err = errRefDropped
		}
		return nil, nil, err
	}
	return conn, resp, nil
}

// read takes a stream's events until [DONE] or an error; each is called behind
// every event. An event that is cut off counts for nothing.
func (s *refStream) read(body io.Reader, each func() error) error {
	in := bufio.NewReader(body)
	var id, data string
	for !s.done {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case name == "id":
			id = value
		case name == "data":
			data = value
		case line == "" && data != "":
			if err := s.take(id, data); err != nil {
				return fmt.Errorf("%w\nevent: %.500s", err, data)
			}
			data = ""
			if err := each(); err != nil {
				return err
			}
		case line != "" && !strings.HasPrefix(line, ":"):
			return fmt.Errorf("an odd line: %q", line)
		}
	}
	return nil
}

func (s *refStream) take(id, data string) error {
	if data == "[DONE]" {
		if s.end == "" {
			return errors.New("[DONE] before the reply's end")
		}
		s.done = true
		return nil
	}
	var c struct {
		Type, ID, MessageID, Delta string
		Metadata                   struct {
			Conversation string `json:"conversation_id"`
		} `json:"messageMetadata"`
	}
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return err
	}
	if c.Type == "start" { // from its beginning, whatever was there
		*s = refStream{session: c.Metadata.Conversation, reply: c.MessageID}
	} else if s.reply == "" || c.ID != "" && c.ID != s.reply || s.end != "" {
		return errors.New("no such reply is being streamed")
	}
	switch kind, what, _ := strings.Cut(c.Type, "-"); {
	case what == "start":
		if n := len(s.parts); s.open != "" || n > 0 && s.parts[n-1].kind == kind {
			return errors.New("a part inside a part, or behind one of its kind")
		}
		if s.open = kind; kind != "text" || s.offset > 0 {
			s.offset += 2
		}
		s.parts = append(s.parts, refPart{kind: kind, begin: s.offset})
	case what == "delta":
		if s.open != kind || c.Delta == "" || len(c.Delta) > refMaxDelta {
			return fmt.Errorf("a delta of %d bytes, or outside of its part", len(c.Delta))
		}
		last := &s.parts[len(s.parts)-1]
		last.body = append(last.body, c.Delta...)
		s.offset += int64(len(c.Delta))
	case what == "end": // which may come twice
		if n := len(s.parts); n == 0 || s.parts[n-1].kind != kind || s.open != "" && s.open != kind {
			return errors.New("the end of a part out of its place")
		}
		s.open = ""
	case c.Type == "finish", c.Type == "abort", c.Type == "error":
		if s.open != "" {
			return errors.New("an end inside a part")
		}
		s.end = c.Type
	}
	place := strconv.FormatInt(s.offset, 10)
	if s.end != "" {
		place = "end"
	}
	if s.lastID = id; id != s.reply+":"+place {
		return fmt.Errorf("the event's id is %s, but the place is %s", id, place)
	}
	return nil
}

// text is what came of the text.
func (s *refStream) text() string { return partsOf(s.parts, "text", "") }

// clone returns s as it is now.
func (s *refStream) clone() refStream {
	c := *s
	c.parts = cloneParts(s.parts)
	return c
}

func cloneParts(parts []refPart) []refPart {
	parts = slices.Clone(parts)
	for i := range parts {
		parts[i].body = bytes.Clone(parts[i].body)
	}
	return parts
}
