package llm

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tmc/langchaingo/llms"
)

const (
	// lateUsage is how long to wait, after the finish_reason, for the usage, which may come
	// in an event of its own. lateEnd is how long to wait after [DONE] for the end, so that
	// the connection can be used again.
	lateUsage = time.Second
	lateEnd   = 50 * time.Millisecond
)

// call is one GenerateContent, over all its attempts. It belongs to its caller's goroutine.
type call struct {
	m       *Mistral
	ctx     context.Context
	opts    llms.CallOptions
	body    []byte
	given   echo // the echo that each attempt begins with
	collect bool // the text is to be returned
	begun   bool // text was handed to the caller, so only the caller may try again
	thinks  bool // a thought was handed to the caller, likewise
	budget  *Budget

	// The answer, begun anew by each attempt.
	echo     echo
	text     strings.Builder
	finish   string
	usage    usage
	hasUsage bool
	done     bool     // [DONE] was seen
	deltas   int      // events with text or thoughts that are new
	fresh    int      // bytes of new text
	half     half     // the first part of a character that the next delta completes
	unwanted *failure // the caller's streaming function returned an error
}

// parser reads one stream. Parsers are pooled.
type parser struct {
	events  events
	decoder decoder
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// giveBack returns the parser to the pool, unless its buffers are unusually large.
func (p *parser) giveBack() {
	d := &p.decoder
	if max(cap(p.events.buf), cap(p.events.data), cap(d.text), cap(d.thought), cap(d.repeat.head), cap(d.repeat.tail)) > 2*maxBuffer {
		return
	}
	p.events.reset()
	d.reset()
	parsers.Put(p)
}

// run makes attempts until one succeeds, or retries or the budget allow no other.
func (c *call) run() *failure {
	if c.budget.Spent() {
		return fail(llms.ErrCodeProviderUnavailable, nil, "the model was asked as often as one reply may")
	}
	if wait := c.budget.pause; wait > 0 {
		c.budget.pause = 0
		if !sleep(c.ctx, wait) {
			return canceled(c.ctx)
		}
		c.budget.waited += wait
	}
	for try := 0; ; try++ {
		if c.ctx.Err() != nil {
			return canceled(c.ctx)
		}
		c.budget.requests--
		f := c.attempt()
		if c.begun || f == nil { // tokens of a failed attempt without text are not the reply's
			c.budget.tokens += c.spent()
		}
		if f == nil {
			return nil
		}
		wait, ok := c.m.cfg.nextWait(try, f)
		ok = ok && c.budget.allows(wait)
		if !ok || c.begun || c.thinks {
			if f.transient {
				f.WithDetail(detailTransient, true)
			}
			if ok && f.refusal {
				c.budget.pause = wait
			}
			return f
		}
		c.m.cfg.Logger.Info("the model is asked again", "code", string(f.Code), "try", try+1, "wait_s", wait.Seconds())
		if c.m.cfg.OnRetry != nil {
			c.m.cfg.OnRetry(wait, f.Error)
		}
		if !sleep(c.ctx, wait) {
			return canceled(c.ctx)
		}
		c.budget.waited += wait
	}
}

// spent returns how many tokens the last attempt generated, at least. The usage may include
// the repeated beginning, so the new text's bytes bound it: no token is shorter than a byte.
func (c *call) spent() int { return max(c.deltas, min(c.usage.completion, c.fresh)) }

// attempt sends the request once and reads its answer.
func (c *call) attempt() *failure {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	w := newWatch(cancel, c.budget.silenceLimit(c.m.cfg.FirstTokenTimeout))
	defer func() { c.budget.waited += w.stop() }()
	c.begin()

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.m.endpoint, bytes.NewReader(c.body))
	if err != nil {
		return fail(llms.ErrCodeInvalidRequest, err, "the request cannot be written: %v", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("User-Agent", "chathub")
	if c.m.cfg.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+c.m.cfg.APIKey)
	}
	resp, err := c.m.client.Do(req)
	if err != nil {
		return unreached(c.ctx, ctx, err)
	}
	defer resp.Body.Close()
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		resp.Body = &gunzip{Closer: resp.Body, packed: resp.Body}
	}
	if resp.StatusCode != http.StatusOK {
		f := c.m.refused(resp)
		if gone := gaveUp(c.ctx, ctx); gone != nil {
			return gone
		}
		return f
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	f := c.read(ctx, resp.Body, kind, w)
	if f != nil {
		if id := requestID(resp.Header); id != "" {
			f.WithDetail("request_id", id)
		}
	}
	return f
}

// gunzip is the body of a compressed answer, unpacked. The request asks for none, but one that
// names no encodings allows them all (RFC 9110 section 12.5.3), and some proxies compress.
type gunzip struct {
	io.Closer
	packed io.Reader
	text   *gzip.Reader // nil before the first read
}

func (g *gunzip) Read(p []byte) (n int, err error) {
	if g.text == nil {
		if g.text, err = gzip.NewReader(g.packed); err != nil {
			return 0, err
		}
	}
	return g.text.Read(p)
}
