package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// frame is any frame from the hub.
type frame struct {
	Type         string
	ID           string
	MessageID    string
	Role         string
	Content      string
	Delta        string
	Offset       *int
	After        string
	Running      string
	Conversation string `json:"conversation_id"`
	Model        string
	More         bool
	Watching     bool
	Messages     []history
	Outcome      string
	Code         string
	ErrorText    string
	Ref          string
	RetryAfter   int `json:"retry_after"`
	Metadata     struct {
		Conversation string `json:"conversation_id"`
		Model        string
		FinishReason string `json:"finish_reason"`
		Usage        *struct {
			Total int `json:"total_tokens"`
		}
	} `json:"messageMetadata"`
}

// history is MessageHistory of the contract.
type history struct {
	Role         string
	Content      string
	ID           string
	FinishReason string `json:"finish_reason"`
	Reasoning    string
}

// peer is a WebSocket client that checks every frame that it gets.
type peer struct {
	t        testing.TB
	patience time.Duration
	ws       *websocket.Conn
	ready    frame
}

// dial connects to path and leaves ready to the caller.
func (r *rig) dial(path string, change ...func(*websocket.DialOptions)) *peer {
	r.t.Helper()
	options := websocket.DialOptions{HTTPClient: r.client, HTTPHeader: http.Header{}, Subprotocols: []string{"chathub.v1"}}
	for _, f := range change {
		f(&options)
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, r.url+path, &options)
	if err != nil {
		r.t.Fatalf("dial %s: %v", path, err)
	}
	ws.SetReadLimit(-1)
	r.t.Cleanup(func() { _ = ws.CloseNow() })
	return &peer{t: r.t, patience: r.patience, ws: ws}
}

// join connects to path and reads ready.
func (r *rig) join(path string, change ...func(*websocket.DialOptions)) *peer {
	r.t.Helper()
	p := r.dial(path, change...)
	p.ready = p.want("ready")
	return p
}

// read returns the next frame, or what ended the connection.
func (p *peer) read() (frame, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	typ, data, err := p.ws.Read(ctx)
	if err != nil {
		return frame{}, err
	}
	if typ != websocket.MessageText {
		p.t.Fatalf("a message of type %v: %q", typ, data)
	}
	checkFrame(p.t, fromHub, data)
	var f frame
	if err := json.Unmarshal(data, &f); err != nil {
		p.t.Fatal(err)
	}
	return f, nil
}

// want returns the next frame, which must be of this type.
func (p *peer) want(typ string) frame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("got %v, want %s", err, typ)
	}
	if f.Type != typ {
		p.t.Fatalf("got %+v, want %s", f, typ)
	}
	return f
}

// wantClose reads on until the connection is closed, which must be with code;
// -1: without a close frame. It returns the frames before that.
func (p *peer) wantClose(code websocket.StatusCode) []frame {
	p.t.Helper()
	var before []frame
	for {
		f, err := p.read()
		if err == nil {
			before = append(before, f)
			continue
		}
		if errors.Is(err, context.DeadlineExceeded) {
			p.t.Fatalf("still open, want close code %d", code)
		}
		if got := websocket.CloseStatus(err); got != code {
			p.t.Errorf("closed with %d (%v), want %d", got, err, code)
		}
		var closed websocket.CloseError
		if errors.As(err, &closed) && closed.Reason == "" {
			p.t.Errorf("close code %d comes without a reason", closed.Code)
		}
		return before
	}
}

// send sends a text message as it is.
func (p *peer) send(text string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	if err := p.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// ask sends a frame that the contract knows.
func (p *peer) ask(v any) {
	p.t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		p.t.Fatal(err)
	}
	checkFrame(p.t, toHub, data)
	p.send(string(data))
}

// say sends a message and returns its acknowledgement.
func (p *peer) say(id, content string) frame {
	p.t.Helper()
	p.ask(message(id, content))
	ack := p.want("message")
	if id != "" && ack.ID != id || ack.Content != content || ack.Role != "user" {
		p.t.Errorf("acknowledged %+v, want id %q and content %q", ack, id, content)
	}
	return ack
}

// message is a message frame.
func message(id, content string) map[string]string {
	m := map[string]string{"type": "message", "content": content}
	if id != "" {
		m["id"] = id
	}
	return m
}

// replied is a reply as its stream told it.
type replied struct {
	id     string
	after  string
	offset int  // where the deltas began
	open   bool // text-start came
	text   string
	end    frame
}

// reply reads one reply, from start to its end.
func (p *peer) reply() replied {
	p.t.Helper()
	r := p.begin()
	p.finish(&r)
	return r
}

// begin reads start, and the start of the part that a stream goes on in.
func (p *peer) begin() replied {
	p.t.Helper()
	start := p.want("start")
	r := replied{id: start.MessageID, after: start.After, offset: *start.Offset}
	if r.offset > 0 {
		p.open(&r, p.want("text-start"))
	}
	return r
}

// open takes a text-start.
func (p *peer) open(r *replied, f frame) {
	p.t.Helper()
	if r.open || f.ID != r.id || *f.Offset != r.offset {
		p.t.Errorf("text-start of %s at %d in %s, which is at %d", f.ID, *f.Offset, r.id, r.offset)
	}
	r.open = true
}

// delta reads deltas until the reply has want.
func (p *peer) delta(r *replied, want string) {
	p.t.Helper()
	for r.text != want {
		if !r.open {
			p.open(r, p.want("text-start"))
		}
		p.take(r, p.want("text-delta"))
		if !strings.HasPrefix(want, r.text) {
			p.t.Fatalf("the reply says %.80q, want %.80q", r.text, want)
		}
	}
}

func (p *peer) take(r *replied, f frame) {
	p.t.Helper()
	r.text += f.Delta
	if f.ID != r.id || *f.Offset != r.offset+len(r.text) {
		p.t.Errorf("a delta of %s up to %d in %s, of which %d bytes have come", f.ID, *f.Offset, r.id, r.offset+len(r.text))
	}
}

// finish reads a reply from its first delta on.
func (p *peer) finish(r *replied) {
	p.t.Helper()
	var end frame
	for {
		f, err := p.read()
		switch {
		case err != nil:
			p.t.Fatalf("the reply breaks off behind %.80q: %v", r.text, err)
		case f.Type == "text-start":
			p.open(r, f)
			continue
		case f.Type == "start" && !r.open && f.MessageID == r.id && *f.Offset == r.offset:
			continue // another writer goes on with it
		case f.Type == "text-delta" && r.open:
			p.take(r, f)
			continue
		case f.Type == "text-end" && f.ID == r.id && r.open:
			r.open = false
			if end, err = p.read(); err != nil {
				p.t.Fatalf("the reply breaks off behind text-end: %v", err)
			}
		case r.open:
			p.t.Fatalf("got %+v in a reply", f)
		default:
			end = f // of a reply without text
		}
		break
	}
	if end.Type != "finish" && end.Type != "abort" && end.Type != "error" {
		p.t.Fatalf("got %+v, want the reply's end", end)
	}
	if end.Type == "error" && end.ID != r.id {
		p.t.Errorf("the error is of %q, want the reply %s", end.ID, r.id)
	}
	r.end = end
}

// wantQuiet shows that nothing else was on its way: the next frame is the pong.
func (p *peer) wantQuiet() {
	p.t.Helper()
	p.ask(map[string]string{"type": "ping"})
	p.want("pong")
}

// leave closes the connection and waits until the hub has let go of it: the
// next one to come does not take over.
func (p *peer) leave() {
	p.t.Helper()
	if err := p.ws.Close(websocket.StatusNormalClosure, "done"); err != nil {
		p.t.Errorf("close: %v", err)
	}
}
