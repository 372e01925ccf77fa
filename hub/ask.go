package hub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tmc/langchaingo/llms"

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
)

// errSealed ends a call to the model whose reply was stopped.
var errSealed = errors.New("hub: the reply was ended")

// asking is a turn's way through the model. It belongs to the turn's goroutine.
type asking struct {
	h         *Hub
	r         *Reply
	began     time.Time
	first     time.Duration // until the first text; 0: none yet
	budget    *llm.Budget
	had       int  // bytes of text that another node wrote
	calls     int  // of the model
	deltas    int  // parts of text that it streamed
	continued int  // how often it went on after a cut
	full      bool // the reply has as many bytes as it may
	noEnd     bool // the stream with the last text ended properly, but without saying why
}

// ask calls the model until the reply is complete, and returns what is to be
// stored of it apart from its text.
func (a *asking) ask(ctx context.Context, history []session.Message) (session.Message, error) {
	h := a.h
	h.metrics.queued(1)
	done, err := h.awaitUpstream(ctx)
	h.metrics.queued(-1)
	if err != nil {
		return failed(err), err
	}
	defer done()
	a.budget, a.had = llm.NewBudget(maxRequests, maxWaiting), a.r.Len()
	ctx = llm.WithBudget(ctx, a.budget)
	p := a.prompt(history, h.cfg.MaxContextTokens)
	for {
		text := a.r.content()
		left, ok := a.left(text)
		if !ok {
			return session.Message{FinishReason: session.FinishLength}, nil
		}
		choice, err := a.call(ctx, p.messages(text), left)
		added, noEnd := a.r.Len() > len(text), errors.Is(err, llm.ErrNoEnd)
		whole := a.noEnd && noEnd && !added // it went on after such an end, and there is no more
		if a.r.Len() > 0 && (added || noEnd) {
			a.noEnd = noEnd
		}
		switch {
		case a.full:
			h.metrics.Rejected("reply_bytes")
			return session.Message{FinishReason: session.FinishLength}, nil
		case err == nil:
			m := session.Message{FinishReason: finishReason(choice.StopReason)}
			if a.continued == 0 { // of a reply in parts only the last part's usage is known
				m.Usage = usage(choice)
			}
			return m, nil
		case (errors.Is(err, io.ErrUnexpectedEOF) || added && llm.Transient(err)) && !whole && a.mayAsk(ctx):
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
	a.r.estimate.Store(int64(p.estimate))
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
	return session.Message{FinishReason: session.FinishError, Failure: Classify(err).Code}
}

// call asks the model once. A stream that ended early without saying so is
// io.ErrUnexpectedEOF: some of langchaingo's models return nil for one.
func (a *asking) call(ctx context.Context, messages []llms.MessageContent, maxTokens int) (*llms.ContentChoice, error) {
	streamed, deltas := 0, 0
	had, first := a.r.Len(), a.first
	most := a.h.cfg.Limits.ReplyBytes
	options := append([]llms.CallOption{
		llms.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
			if most > 0 && had+streamed+len(chunk) > most {
				a.full = true
				chunk = firstWhole(chunk, most-had-streamed)
			}
			streamed += len(chunk)
			if deltas%sampleEvery == 0 {
				a.r.sample.set(had + streamed)
			}
			deltas++
			if a.first == 0 {
				a.first = time.Since(a.began)
			}
			if !a.r.append(chunk) {
				return errSealed
			}
			if a.full {
				return errReplyFull
			}
			return nil
		}),
		llm.WithoutContent(),
		llm.WithCacheKey(a.r.Conversation.ID.String()),
	}, a.h.cfg.CallOptions...)
	if maxTokens > 0 {
		options = append(options, llms.WithMaxTokens(maxTokens))
	}
	a.calls++
	var resp *llms.ContentResponse
	err := a.h.rescue("the model", a.r.Conversation, func() (err error) {
		resp, err = a.h.cfg.Model.GenerateContent(ctx, messages, options...)
		return err
	})
	a.deltas += deltas
	a.h.metrics.answered(deltas, a.first-first)
	if err != nil {
		return nil, err
	}
	if resp == nil || len(resp.Choices) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	choice := resp.Choices[0]
	if choice.StopReason == "" && (streamed == 0 || len(choice.Content) < streamed) {
		return nil, io.ErrUnexpectedEOF
	}
	return choice, nil
}

// firstWhole returns as much of p as fits into limit bytes and ends no
// character early.
func firstWhole(p []byte, limit int) []byte {
	n := max(0, min(limit, len(p)))
	for n > 0 && n < len(p) && !utf8.RuneStart(p[n]) {
		n--
	}
	return p[:n]
}

// report logs and counts the reply, which ended as e says; err is the last
// call's.
func (a *asking) report(e End, err error) {
	took := time.Since(a.began)
	level, end, name := slog.LevelInfo, e.Message.FinishReason, e.Message.FinishReason
	var why []slog.Attr
	switch {
	case errors.Is(e.Err, session.ErrNotFound):
		end, name = endDeleted, "deleted"
	case e.Err == errMoved, errors.Is(e.Err, ErrDraining): // wrapped, it tells of what could not be stored
		end, name = endMoved, "left to another node"
	case e.Err != nil:
		level, end, name = slog.LevelError, endNotStored, "not stored"
		why = []slog.Attr{slog.String("error", e.Err.Error())}
	case end == session.FinishError:
		level = slog.LevelWarn
		why = append([]slog.Attr{slog.String("code", e.Message.Failure)}, logged(err)...)
	case end == session.FinishOther && err != nil: // other errors are of calls that the hub itself ended
		why = logged(err)
	}
	a.h.metrics.ended(end, e.Message, a.r.unread, a.continued, took)
	attrs := []slog.Attr{
		slog.String("session", ShortID(a.r.Conversation.ID)), slog.String("end", name),
		slog.Int("bytes", len(e.Message.Content)), slog.Duration("took", took.Round(time.Millisecond)),
		slog.Duration("first_text", a.first.Round(time.Millisecond)),
	}
	if u := e.Message.Usage; u != nil {
		attrs = append(attrs, slog.Int("prompt_tokens", u.PromptTokens), slog.Int("completion_tokens", u.CompletionTokens))
		if u.CachedTokens > 0 {
			attrs = append(attrs, slog.Int("cached_tokens", u.CachedTokens))
		}
	}
	if a.continued > 0 {
		attrs = append(attrs, slog.Int("continued", a.continued))
	}
	if a.r.from.Request != "" {
		attrs = append(attrs, slog.String("request_id", a.r.from.Request))
	}
	a.h.log.LogAttrs(context.Background(), level, "reply ended", append(attrs, why...)...)
}
