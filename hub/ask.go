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

// asking is a turn's way through the model. It belongs to the turn's goroutine.
type asking struct {
	h         *Hub
	t         *turn
	r         *reply.Reply  // of the turn
	first     time.Duration // until the first text; 0: none yet
	budget    *llm.Budget
	had       int  // bytes of text that another node wrote
	text      int  // bytes of text that there are
	size      int  // bytes of all parts, with what is held
	estimate  int  // of the prompt's tokens; 0: the model was not asked yet
	calls     int  // of the model
	deltas    int  // parts of text that it streamed
	continued int  // how often it went on after a cut
	full      bool // the reply has as many bytes as it may
	noEnd     bool // the stream with the last text ended cleanly without a finish_reason

	part    session.Part // the last one of the reply
	thought bool         // this call brought reasoning
	shown   bool         // of the reasoning that the model is at, some was appended
	held    []byte       // the same, as long as nobody is there to see it
	marked  []byte       // room for what begins a part
}

// ask calls the model until the reply is complete, and returns what is to be
// stored of it apart from its text.
func (a *asking) ask(ctx context.Context, history []session.Message) (session.Message, error) {
	h := a.h
	h.metrics.waiting.Inc()
	done, err := h.awaitUpstream(ctx)
	h.metrics.waiting.Dec()
	if err != nil {
		return failed(err), err
	}
	defer done()
	a.budget = llm.NewBudget(maxRequests, maxWaiting)
	a.resume()
	ctx = llm.WithBudget(ctx, a.budget)
	p := a.prompt(history, h.cfg.MaxContextTokens)
	for {
		text := session.TextOf(a.r.String(a.r.Appended()))
		left, ok := a.left(text)
		if !ok {
			return session.Message{FinishReason: session.FinishLength}, nil
		}
		choice, err := a.call(ctx, p.messages(text), left)
		added, noEnd := a.text > len(text), errors.Is(err, llm.ErrNoEnd)
		whole := a.noEnd && noEnd && !added // it went on after such an end, and there is no more
		if a.text > 0 && (added || noEnd) {
			a.noEnd = noEnd
		}
		switch {
		case a.full:
			h.metrics.Rejected("reply_bytes")
			return session.Message{FinishReason: session.FinishLength}, nil
		case err == nil:
			m := session.Message{FinishReason: finishReason(choice.StopReason)}
			if a.continued == 0 || text == "" { // of a reply in parts only the last part's usage is known
				m.Usage = usage(choice)
			}
			return m, nil
		case (errors.Is(err, io.ErrUnexpectedEOF) || (added || a.thought) && llm.Transient(err)) && !whole && a.mayAsk(ctx):
			a.continued++
		case llms.IsTokenLimitError(err) && a.mayAsk(ctx) && a.shorten(&p, history):
		case a.noEnd:
			// As far as anybody can tell the reply is whole: there is no going on.
			return session.Message{FinishReason: session.FinishOther}, err
		default:
			return failed(err), err
		}
	}
}

// prompt makes the prompt, and notes its size: the next one is to begin where it did,
// however the reply ends.
func (a *asking) prompt(history []session.Message, budget int) prompt {
	p := a.h.newPrompt(history, budget)
	a.estimate = p.estimate
	return p
}

// shorten makes a prompt that was refused as too long about half as long, or reports
// that it cannot be: the last message alone is too much.
func (a *asking) shorten(p *prompt, history []session.Message) bool {
	was := p.estimate
	*p = a.prompt(history, p.size-1) // which does not fit, so it is cut to half of that
	return p.estimate < was
}

// mayAsk says that the reply may cost another request. A model that knows no
// budget counts as one request a call.
func (a *asking) mayAsk(ctx context.Context) bool {
	return a.calls < maxRequests && !a.budget.Spent() && ctx.Err() == nil
}

// left returns how many tokens may follow text, all that the reply has; 0: any
// number. ok is false if none may. What was generated is counted, and counted low
// where it cannot be known: a reply may get more tokens than MAX_TOKENS that way if
// a service puts many into one delta, but none ends while there are some left.
func (a *asking) left(text string) (tokens int, ok bool) {
	most := a.h.cfg.MaxTokens
	if most == 0 {
		return 0, true
	}
	most -= llm.AtLeastTokens(text[:a.had], 0) + llm.AtLeastTokens(text[a.had:], max(a.budget.Tokens(), a.deltas))
	if most <= 0 {
		return 0, false
	}
	if strings.TrimRightFunc(text, unicode.IsSpace) != text {
		most++ // that is generated again: the model is not sent white space at the end
	}
	return most, true
}

func failed(err error) session.Message {
	e := Classify(err)
	return session.Message{FinishReason: session.FinishError, Failure: e.Code, Retry: Seconds(e.RetryAfter)}
}

// call asks the model once. A stream that ended early without saying so is
// io.ErrUnexpectedEOF: some of langchaingo's models return nil for one.
func (a *asking) call(ctx context.Context, messages []llms.MessageContent, maxTokens int) (*llms.ContentChoice, error) {
	had, first, deltas := a.text, a.first, a.deltas
	a.forget()
	options := []llms.CallOption{
		llms.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
			if a.deltas%sampleEvery == 0 {
				a.r.Sample(chunk)
			}
			a.deltas++
			return a.say(chunk)
		}),
		llms.WithStreamingReasoningFunc(func(_ context.Context, thought, _ []byte) error {
			if len(thought) == 0 { // it is told of text, too
				return nil
			}
			return a.think(thought)
		}),
		llm.WithoutContent(),
		llm.WithCacheKey(a.r.Ref.ID.String()),
	}
	if maxTokens > 0 {
		options = append(options, llms.WithMaxTokens(maxTokens))
	}
	a.calls++
	resp, err := a.h.cfg.Model.GenerateContent(ctx, messages, options...)
	a.h.metrics.answered(a.deltas-deltas, a.first-first)
	if err != nil {
		return nil, err
	}
	if resp == nil || len(resp.Choices) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	choice, streamed := resp.Choices[0], a.text-had
	if choice.StopReason == "" && (streamed == 0 || len(choice.Content) < streamed) {
		return nil, io.ErrUnexpectedEOF
	}
	return choice, nil
}

// report logs and counts the reply; err is the last call's, or the store's.
func (a *asking) report(m session.Message, err error) {
	took := time.Since(a.t.began)
	level, end := slog.LevelInfo, ""
	var why []slog.Attr
	switch e := a.r.End(); {
	case e != nil && (e.Next != nil || errors.Is(e.Err, session.ErrLost)):
		end = endMoved
	case e == nil, errors.Is(e.Err, session.ErrUnavailable), errors.Is(e.Err, session.ErrPanicked):
		if errors.Is(context.Cause(a.t.ctx), errYielding) {
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
	a.h.metrics.ended(end, m, a.r.Appended()-a.r.Read(), a.continued, took)
	attrs := []slog.Attr{
		slog.String("session", ShortID(a.r.Ref.ID)), slog.String("end", end),
		slog.Int("bytes", a.r.Appended()), slog.Float64("took_s", took.Round(time.Millisecond).Seconds()),
		slog.Float64("first_text_s", a.first.Round(time.Millisecond).Seconds()),
	}
	if u := m.Usage; u != nil {
		attrs = append(attrs, slog.Int("prompt_tokens", u.PromptTokens), slog.Int("completion_tokens", u.CompletionTokens))
		if u.CachedTokens > 0 {
			attrs = append(attrs, slog.Int("cached_tokens", u.CachedTokens))
		}
	}
	if a.continued > 0 {
		attrs = append(attrs, slog.Int("continued", a.continued))
	}
	if a.t.from.Request != "" {
		attrs = append(attrs, slog.String("request_id", a.t.from.Request))
	}
	a.h.log.LogAttrs(context.Background(), level, "reply ended", append(attrs, why...)...)
}
