package llm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/tmc/langchaingo/llms"
)

// begin forgets the answer of an earlier attempt.
func (c *call) begin() {
	c.echo = c.given
	c.text.Reset()
	c.finish, c.usage, c.hasUsage, c.done = "", usage{}, false, false
	c.deltas, c.fresh, c.half = 0, 0, half{}
}

// read reads the answer to its end. kind is its media type.
func (c *call) read(ctx context.Context, body io.Reader, kind string, w *watch) *failure {
	p := parsers.Get().(*parser)
	defer p.giveBack()
	opened := false // the answer is known to be an event stream
	idle := false   // the first token came, so Config.IdleTimeout holds
	for empty := 0; ; {
		n, err := p.events.fill(body)
		if n > 0 {
			empty = 0
		} else if empty++; err == nil && empty > 100 {
			err = io.ErrNoProgress
		}
		if !opened {
			is, known := eventStream(p.events.held(), kind, err != nil)
			if !known {
				w.hear(false)
				continue
			}
			if opened = is || err != nil && err != io.EOF; !opened {
				return c.noStream(ctx, p.events.held(), body, kind)
			}
		}
		finished, deltas := c.finish != "", c.deltas
		bad := c.take(p)
		if c.unwanted == nil {
			c.unwanted = c.deliver(p)
		}
		if c.unwanted != nil {
			return c.unwanted
		}
		if bad != nil && (c.finish == "" || c.finish == "error") {
			return bad
		}
		if bad != nil {
			err = errors.New(bad.Details[detailLog].(string))
		}
		switch {
		case err != nil || c.done:
			if err == nil {
				drain(body, w)
			}
			unfinished := p.events.unfinished()
			if err == io.EOF && unfinished && p.events.endsDone() {
				c.done = true
			}
			return c.end(ctx, p, err, unfinished)
		case c.finish != "" && !finished:
			w.allow(lateUsage)
		case c.finish == "" && c.deltas > 0 && !idle:
			idle = true
			w.allow(c.budget.silenceLimit(c.m.cfg.IdleTimeout))
		case c.finish == "" && n > 0:
			w.hear(c.deltas > deltas)
		}
	}
}

// drain waits up to lateEnd for the end after [DONE], which lets the connection be used again.
func drain(body io.Reader, w *watch) {
	w.allow(lateEnd)
	_, _ = io.CopyN(io.Discard, body, minBuffer)
}

// take reads all events in the buffer. If one is bad, the events before it still count.
func (c *call) take(p *parser) *failure {
	d := &p.decoder
	for !c.done {
		data, ok, err := p.events.next()
		if err != nil {
			return broken(err)
		}
		if !ok {
			return nil
		}
		if data[0] != '{' { // skip the checks for the usual case
			if isDone(data) {
				c.done = true
				return nil
			}
			if !structured(data) { // a gateway's ping
				continue
			}
		}
		text, thought := len(d.text), len(d.thought)
		if err := d.event(data); err != nil {
			f := broken(err)
			f.transient = true
			return f
		}
		if d.failed {
			return c.m.explainEvent(parseReason(data, c.m.cfg.Model))
		}
		var f *failure
		if len(d.thought) > thought && (text > 0 || len(d.boundaries) > 0) {
			f = c.inOrder(p, text, thought)
		} else {
			f = c.joinHalves(d, text, thought)
		}
		if f != nil {
			return f
		}
		if d.hasUsage {
			c.usage, c.hasUsage = d.usage, true
		}
		if d.finish != "" {
			c.finish = d.finish
		}
		if c.finish == "error" {
			f := fail(llms.ErrCodeProviderUnavailable, nil, "the model's service ended its answer with an error")
			f.transient, f.refusal = true, true
			return f
		}
	}
	return nil
}

// joinHalves joins an event's text to what came before: halves of characters are joined, and
// text that the caller already has is cut.
func (c *call) joinHalves(d *decoder, text, thought int) *failure {
	if d.ragged || c.half.waits {
		d.text = c.half.join(d.text, text, &c.half.text)
		d.thought = c.half.join(d.thought, thought, &c.half.thought)
	}
	if len(d.text) > text && !c.echo.done {
		fresh, err := c.echo.cut(d.text[text:])
		if d.text = append(d.text[:text], fresh...); err != nil {
			return broken(err)
		}
	}
	if n := len(d.text) - text; n > 0 || len(d.thought) > thought {
		c.deltas++
		c.fresh += n
	}
	return nil
}

// inOrder is joinHalves for an event in which thoughts follow text. deliver hands on thoughts
// first, so inOrder delivers the event in pieces.
func (c *call) inOrder(p *parser, text, thought int) *failure {
	d := &p.decoder
	said, thoughts, deltas := bytes.Clone(d.text[text:]), bytes.Clone(d.thought[thought:]), c.deltas
	d.text, d.thought = d.text[:text], d.thought[:thought]
	from := boundary{text, thought}
	for _, at := range append(d.boundaries, boundary{text + len(said), thought + len(thoughts)}) {
		if c.unwanted = c.deliver(p); c.unwanted != nil {
			return c.unwanted
		}
		d.text = append(d.text, said[from.text-text:at.text-text]...)
		d.thought = append(d.thought, thoughts[from.thought-thought:at.thought-thought]...)
		if f := c.joinHalves(d, 0, 0); f != nil {
			return f
		}
		from = at
	}
	c.deltas = min(c.deltas, deltas+1) // it is one event
	return nil
}

// broken is the failure of a stream that is malformed.
func broken(err error) *failure {
	return fail(llms.ErrCodeProviderUnavailable, err, "the answer of the model's service cannot be read: %v", err)
}

// deliver hands the decoder's thoughts and text to the caller, and empties them.
func (c *call) deliver(p *parser) *failure {
	d := &p.decoder
	if len(d.thought) > 0 {
		if c.opts.StreamingReasoningFunc != nil {
			c.thinks = true
			if err := c.opts.StreamingReasoningFunc(c.ctx, d.thought, nil); err != nil {
				return unwanted(err)
			}
		}
		d.thought = d.thought[:0]
	}
	text := d.text
	d.text = d.text[:0]
	return c.hand(text)
}

// hand gives text to the caller.
func (c *call) hand(text []byte) *failure {
	if len(text) == 0 {
		return nil
	}
	c.begun = true
	if c.collect {
		c.text.Write(text)
	}
	if c.opts.StreamingFunc != nil {
		if err := c.opts.StreamingFunc(c.ctx, text); err != nil {
			return unwanted(err)
		}
	}
	if c.opts.StreamingReasoningFunc != nil {
		if err := c.opts.StreamingReasoningFunc(c.ctx, nil, text); err != nil {
			return unwanted(err)
		}
	}
	return nil
}

// unwanted is the failure of a call whose StreamingFunc returned an error.
func unwanted(err error) *failure {
	return fail(llms.ErrCodeCanceled, err, "the answer is not wanted any more: %v", err)
}

// end decides whether an answer whose stream has ended is whole. err is what ended it, and
// unfinished: that was inside an event.
func (c *call) end(ctx context.Context, p *parser, err error, unfinished bool) *failure {
	if c.finish == "" && c.done {
		// Some gateways send no finish_reason. [DONE] is an explicit end all the same.
		c.finish = "stop"
	}
	if c.finish == "" {
		f := cut(c.ctx, ctx, err)
		if f.Code == llms.ErrCodeTimeout && c.deltas > 0 {
			f.transient = c.ctx.Err() == nil // after text, a silent model is worth another call
		}
		if err == io.EOF && !unfinished && c.ctx.Err() == nil {
			f.Cause = ErrNoEnd
			// If the answer has only repeated the given text, another call would do the same.
			f.transient = f.transient && (c.given.done || !c.echo.ended())
		}
		return f
	}
	if !c.done && !errors.Is(err, io.EOF) {
		c.m.cfg.Logger.Debug("the model's stream broke behind its finish_reason", "error", beforeQuote(err.Error()))
	}
	// Halves of characters that were never completed become U+FFFD.
	p.decoder.thought = appendEnd(p.decoder.thought[:0], c.half.thought)
	if p.decoder.text = appendEnd(p.decoder.text[:0], c.half.text); len(p.decoder.text) > 0 && !c.echo.done {
		if p.decoder.text, err = c.echo.cut(p.decoder.text); err != nil {
			return broken(err)
		}
	}
	if f := c.deliver(p); f != nil {
		return f
	}
	return c.hand(c.echo.rest())
}

// response returns the answer in langchaingo's form.
func (c *call) response() *llms.ContentResponse {
	choice := &llms.ContentChoice{
		Content:        c.text.String(),
		StopReason:     c.finish,
		GenerationInfo: map[string]any{},
	}
	if c.hasUsage {
		choice.GenerationInfo["PromptTokens"] = c.usage.prompt
		choice.GenerationInfo["CompletionTokens"] = c.usage.completion
		choice.GenerationInfo["TotalTokens"] = c.usage.total
		choice.GenerationInfo["PromptCachedTokens"] = c.usage.cached
	}
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{choice}}
}

// fieldNames begin the lines of an event stream.
var fieldNames = [][]byte{[]byte("data:"), []byte("event:"), []byte("id:"), []byte("retry:"), []byte(":")}

// eventStream says whether an answer that begins with b is an event stream: the
// first bytes decide, since proxies type streams as they like. known is false as
// long as there are too few; ended says that no more come. What is typed as an
// event stream is one unless it begins as JSON or HTML do.
func eventStream(b []byte, kind string, ended bool) (is, known bool) {
	typed := kind == "text/event-stream"
	const mark = "\xef\xbb\xbf"
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte(mark)), " \t\r\n")
	if strings.HasPrefix(mark, string(b)) { // as the empty text does
		return typed, ended
	}
	if typed {
		return b[0] != '{' && b[0] != '<', true
	}
	for _, name := range fieldNames {
		if bytes.HasPrefix(b, name) {
			return true, true
		}
		if bytes.HasPrefix(name, b) && !ended {
			return false, false
		}
	}
	return false, true
}

// noStream is the failure of an answer that is no event stream: an error with the status 200,
// or something that a chat cannot use.
func (c *call) noStream(ctx context.Context, begun []byte, body io.Reader, kind string) *failure {
	rest, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
	whole := append(bytes.Clone(begun), rest...)
	if f := gaveUp(c.ctx, ctx); f != nil {
		return f
	}
	var d decoder
	if err := d.event(whole); err == nil && d.failed {
		return c.m.explainEvent(parseReason(whole, c.m.cfg.Model))
	}
	switch kind {
	case "application/json", "text/html", "text/plain", "application/xml", "text/event-stream", "":
	default: // do not log it: it may be any text
		kind = "another type"
	}
	return fail(llms.ErrCodeProviderUnavailable, nil, "the server did not stream its answer but sent %s", cmp.Or(kind, "no type"))
}

// structured reports whether an event's data is JSON: an object or an array. Some gateways
// send words between events, to keep a connection open.
func structured(data []byte) bool {
	i := space(data, 0)
	return i < len(data) && (data[i] == '{' || data[i] == '[')
}
