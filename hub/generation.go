package hub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/hub/reply"
	"lumos/backend/llm"
	"lumos/backend/session"
)

const (
	// maxRequests is how many requests one reply may cost, whatever they are for:
	// a try again, going on after a cut, a shorter prompt. Six outlast the minute of
	// a rate limit.
	maxRequests = 6
	// maxWaiting is how long a reply may wait altogether before its last request.
	maxWaiting = llm.DefaultMaxElapsed
	// sampleEvery is how many deltas come for one whose way is measured.
	sampleEvery = 32
)

// generation asks the model for one reply, in one call or several. It belongs to the
// turn's goroutine.
type generation struct {
	h         *Hub
	t         *turn
	r         *reply.Reply  // of the turn
	first     time.Duration // until the first text; 0: none yet
	budget    *llm.Budget
	had       int  // bytes of the reply's text that another node wrote
	text      int  // bytes of text that the reply has
	size      int  // bytes of all its parts, including held
	estimate  int  // tokens of the prompt, estimated; 0: the model was not asked yet
	calls     int  // calls of the model
	deltas    int  // parts of text that it streamed
	continued int  // calls that continued after a cut
	full      bool // the reply has reached Limits.ReplyBytes
	noEnd     bool // the stream with the last text ended cleanly without a finish_reason

	part    session.Part // the last one of the reply
	thought bool         // this call brought reasoning
	shown   bool         // some of the current reasoning was appended
	held    []byte       // current reasoning that was not appended: nobody could see it
	marked  []byte       // buffer for a mark and the text after it
}

// ask calls the model until the reply is complete, and returns what is to be
// stored of it apart from its text.
func (g *generation) ask(ctx context.Context, history []session.Message) (session.Message, error) {
	h := g.h
	if err := h.awaitUpstream(ctx); err != nil {
		return failedReply(err), err
	}
	defer h.upstream.Release(1)
	g.budget = llm.NewBudget(maxRequests, maxWaiting)
	g.resume()
	ctx = llm.WithBudget(ctx, g.budget)
	p := g.prompt(history, h.cfg.MaxContextTokens)
	for {
		text := session.TextOf(g.r.String(g.r.Appended()))
		left, ok := g.tokensLeft(text)
		if !ok {
			return session.Message{FinishReason: session.FinishLength}, nil
		}
		choice, err := g.call(ctx, p.messages(text), left)
		added, noEnd := g.text > len(text), errors.Is(err, llm.ErrNoEnd)
		whole := g.noEnd && noEnd && !added // this call was to continue after such an end, and added nothing
		if g.text > 0 && (added || noEnd) {
			g.noEnd = noEnd
		}
		switch {
		case g.full:
			h.metrics.Rejected("reply_bytes")
			return session.Message{FinishReason: session.FinishLength}, nil
		case err == nil:
			m := session.Message{FinishReason: finishReason(choice.StopReason)}
			if g.continued == 0 || text == "" { // of a reply in parts only the last part's usage is known
				m.Usage = usage(choice)
			}
			return m, nil
		case (errors.Is(err, io.ErrUnexpectedEOF) || (added || g.thought) && llm.Transient(err)) && !whole && g.mayAsk(ctx):
			g.continued++ // the next call sends the text so far as a prefix; without text it asks anew
		case llms.IsTokenLimitError(err) && g.mayAsk(ctx) && g.shorten(&p, history):
		case g.noEnd:
			// The stream ended cleanly, only without saying why: take the reply as whole.
			return session.Message{FinishReason: session.FinishOther}, err
		default:
			return failedReply(err), err
		}
	}
}

// prompt makes the prompt and notes its estimate, which is stored with the reply: the
// next prompt begins at the same message (llm.Window).
func (g *generation) prompt(history []session.Message, budget int) prompt {
	p := g.h.newPrompt(history, budget)
	g.estimate = p.estimate
	return p
}

// shorten makes a prompt that was refused as too long about half as long, or reports
// that it cannot be: the last message alone is too much.
func (g *generation) shorten(p *prompt, history []session.Message) bool {
	was := p.estimate
	*p = g.prompt(history, p.size-1) // which does not fit, so it is cut to half of that
	return p.estimate < was
}

// mayAsk reports whether another request may be sent. A model that ignores the budget
// counts as one request per call.
func (g *generation) mayAsk(ctx context.Context) bool {
	return g.calls < maxRequests && !g.budget.Spent() && ctx.Err() == nil
}

// tokensLeft returns how many tokens may follow text, the reply so far; 0: any number.
// ok is false if none may. Where tokens cannot be counted they are estimated low, so a
// reply may exceed MAX_TOKENS, but never ends too early.
func (g *generation) tokensLeft(text string) (tokens int, ok bool) {
	most := g.h.cfg.MaxTokens
	if most == 0 {
		return 0, true
	}
	most -= llm.AtLeastTokens(text[:g.had], 0) + llm.AtLeastTokens(text[g.had:], max(g.budget.Tokens(), g.deltas))
	if most <= 0 {
		return 0, false
	}
	if strings.TrimRightFunc(text, unicode.IsSpace) != text {
		most++ // the model generates trailing white space again, since it is not sent
	}
	return most, true
}

// failedReply is the end of a reply whose generation failed.
func failedReply(err error) session.Message {
	e := Classify(err)
	return session.Message{FinishReason: session.FinishError, Failure: e.Code, Retry: Seconds(e.RetryAfter)}
}

// call asks the model once. A stream that ended early without saying so is
// io.ErrUnexpectedEOF: some of langchaingo's models return nil for one.
func (g *generation) call(ctx context.Context, messages []llms.MessageContent, maxTokens int) (*llms.ContentChoice, error) {
	had, first, deltas := g.text, g.first, g.deltas
	g.forget()
	options := []llms.CallOption{
		llms.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
			if g.deltas%sampleEvery == 0 {
				g.r.Sample(chunk)
			}
			g.deltas++
			return g.say(chunk)
		}),
		llms.WithStreamingReasoningFunc(func(_ context.Context, thought, _ []byte) error {
			if len(thought) == 0 { // it is told of text, too
				return nil
			}
			return g.think(thought)
		}),
		llm.WithoutContent(),
		llm.WithCacheKey(g.r.Ref.ID.String()),
	}
	if maxTokens > 0 {
		options = append(options, llms.WithMaxTokens(maxTokens))
	}
	g.calls++
	resp, err := g.h.cfg.Model.GenerateContent(ctx, messages, options...)
	g.h.metrics.answered(g.deltas-deltas, g.first-first)
	if err != nil {
		return nil, err
	}
	if resp == nil || len(resp.Choices) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	choice, streamed := resp.Choices[0], g.text-had
	if choice.StopReason == "" && (streamed == 0 || len(choice.Content) < streamed) {
		return nil, io.ErrUnexpectedEOF
	}
	return choice, nil
}

// report logs and counts the reply; err is the last call's, or the store's.
func (g *generation) report(m session.Message, err error) {
	took := time.Since(g.t.began)
	level, end := slog.LevelInfo, ""
	var why []slog.Attr
	switch e := g.r.End(); {
	case e != nil && (e.Next != nil || errors.Is(e.Err, session.ErrLost)):
		end = endMoved
	case e == nil, errors.Is(e.Err, session.ErrUnavailable), errors.Is(e.Err, session.ErrPanicked):
		if errors.Is(context.Cause(g.t.ctx), errYielding) {
			end = endMoved
			break
		}
		level, end = slog.LevelError, endNotStored
		if err != nil {
			why = []slog.Attr{slog.String("error", err.Error())}
		}
	case errors.Is(e.Err, session.ErrNotFound):
		end = endDeleted
	default:
		if m = *e.Message; m.FinishReason == session.FinishError {
			level = slog.LevelWarn
			why = append([]slog.Attr{slog.String("code", m.Failure)}, logged(err)...)
		} else if m.FinishReason == session.FinishOther && err != nil {
			why = logged(err)
		}
		end = m.FinishReason
	}
	g.h.metrics.ended(end, m, g.r.Appended()-g.r.Read(), g.continued, took)
	attrs := []slog.Attr{
		slog.String("session", ShortID(g.r.Ref.ID)), slog.String("end", end),
		slog.Int("bytes", g.r.Appended()), slog.Float64("took_s", took.Round(time.Millisecond).Seconds()),
		slog.Float64("first_text_s", g.first.Round(time.Millisecond).Seconds()),
	}
	if u := m.Usage; u != nil {
		attrs = append(attrs, slog.Int("prompt_tokens", u.PromptTokens), slog.Int("completion_tokens", u.CompletionTokens))
		if u.CachedTokens > 0 {
			attrs = append(attrs, slog.Int("cached_tokens", u.CachedTokens))
		}
	}
	if g.continued > 0 {
		attrs = append(attrs, slog.Int("continued", g.continued))
	}
	if g.t.from.Request != "" {
		attrs = append(attrs, slog.String("request_id", g.t.from.Request))
	}
	g.h.log.LogAttrs(context.Background(), level, "reply ended", append(attrs, why...)...)
}
