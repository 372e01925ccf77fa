package mistralsim

import (
	"cmp"
	"net/http"
	"slices"
)

// stream sends the reply as server-sent events, Answer.Flush tokens at a time.
func (p *reply) stream() error {
	p.w.Header().Set("Content-Type", cmp.Or(p.ans.ContentType, "text/event-stream; charset=utf-8"))
	p.w.WriteHeader(http.StatusOK)
	if p.clock.first > 0 {
		if err := p.flush(); err != nil {
			return err
		}
	}
	if !p.override(-1, "") {
		p.buf = p.frames.role(p.buf)
	}
	each := max(p.ans.Flush, 1)
	for i := 0; ; i++ {
		if err := p.think(i); err != nil {
			return err
		}
		if err := p.at(i); err != nil {
			return err
		}
		if !p.tokens.more() {
			return p.finish(i, "")
		}
		token := p.tokens.take()
		for n := 1; n < p.ans.Join && p.tokens.more() && !p.happens(i+1); n++ {
			token += p.tokens.take()
			p.held++
			i++
		}
		if p.ans.FinishWithText && !p.tokens.more() {
			p.held++
			return p.finish(i, token)
		}
		if !p.override(i, token) {
			p.buf = p.frames.token(p.buf, token)
		}
		if p.held++; p.held < each {
			continue
		}
		if err := p.due(); err != nil {
			return err
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
}

// finish sends the chunk with the finish_reason, which has number i, and the
// end marker.
func (p *reply) finish(i int, token string) error {
	switch {
	case p.override(i, token):
	case !p.ans.NoFinish:
		p.buf = p.frames.last(p.buf, token, p.reason(), p.used())
	case token != "":
		p.buf = p.frames.token(p.buf, token)
	}
	if !p.ans.NoDone {
		p.buf = append(p.buf, "data: [DONE]\n\n"...)
	}
	if err := p.due(); err != nil { // the end, with the last token
		return err
	}
	return p.flush()
}

// think sends the thoughts in front of token i, as far as max_tokens allows.
func (p *reply) think(i int) error {
	if p.tokens.pos < p.tokens.echo {
		return nil
	}
	thoughts := p.ans.Between[i]
	if i == 0 {
		thoughts = slices.Concat(p.ans.Thoughts, thoughts)
	}
	for _, thought := range thoughts {
		if !p.tokens.room() {
			break
		}
		p.tokens.fresh++
		p.buf = p.frames.thought(p.buf, thought)
		if err := p.due(); err != nil {
			return err
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
	return nil
}

// happens says that something is to happen in front of token i.
func (p *reply) happens(i int) bool {
	a := p.ans
	return a.Hold != nil || len(a.Between[i]) > 0 || a.Event != "" && a.EventAfter == i || a.Stall == StallTokens && a.StallAfter == i || a.CutTokens == i
}

// override writes the answer's own JSON for chunk i, if it has one.
func (p *reply) override(i int, token string) bool {
	if p.ans.Chunk == nil {
		return false
	}
	json := p.ans.Chunk(i, token)
	if json == "" {
		return false
	}
	p.buf = append(p.buf, "data: "...)
	p.buf = append(p.buf, json...)
	p.buf = append(p.buf, "\n\n"...)
	return true
}

// reason is the finish_reason. Call it after the last token.
func (p *reply) reason() string {
	switch {
	case !p.tokens.whole():
		return "length"
	case p.ans.Finish != "":
		return p.ans.Finish
	}
	return "stop"
}

// used is the usage. Call it after the last token. An echoed prefix counts
// as prompt.
func (p *reply) used() Usage {
	if p.ans.Usage != nil {
		return *p.ans.Usage
	}
	return Usage{PromptTokens: p.req.promptTokens(), CompletionTokens: p.tokens.fresh, CachedTokens: p.req.cached}
}
