package hub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/llm"
	"lumos/backend/session"
)

// maxContinuations is how often a reply is gone on with after the model's
// stream was cut.
const maxContinuations = 3

// errSealed ends a call to the model whose reply was stopped.
var errSealed = errors.New("hub: the reply was ended")

// asking is a turn's way through the model. It belongs to the turn's goroutine.
type asking struct {
	h         *Hub
	r         *Reply
	began     time.Time
	first     time.Duration // until the first text; 0: none yet
	continued int
	history   []session.Message
	full      bool // the reply has as many bytes as it may
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
	a.history = history
	p := h.newPrompt(history, h.cfg.MaxContextTokens)
	trimmed := false
	for {
		left := h.cfg.MaxTokens
		if left > 0 {
			if left -= roughTokens(a.r); left <= 0 {
				return session.Message{FinishReason: session.FinishLength, Estimate: p.estimate}, nil
			}
		}
		choice, err := a.call(ctx, p.messages(a.r.content()), left)
		switch {
		case a.full:
			h.metrics.Rejected("reply_bytes")
			return session.Message{FinishReason: session.FinishLength, Estimate: p.estimate}, nil
		case err == nil:
			m := session.Message{FinishReason: finishReason(choice.StopReason)}
			if a.continued == 0 { // of a reply in parts only the last part's usage is known
				m.Usage, m.Estimate = usage(choice), p.estimate
			}
			return m, nil
		case errors.Is(err, io.ErrUnexpectedEOF) && a.continued < maxContinuations && ctx.Err() == nil:
			a.continued++
		case llms.IsTokenLimitError(err) && !trimmed:
			trimmed = true
			p = h.newPrompt(history, h.cfg.MaxContextTokens/2)
		default:
			return failed(err), err
		}
	}
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
	}, a.h.cfg.CallOptions...)
	if maxTokens > 0 {
		options = append(options, llms.WithMaxTokens(maxTokens))
	}
	resp, err := a.h.cfg.Model.GenerateContent(ctx, messages, options...)
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
	switch {
	case errors.Is(e.Err, session.ErrNotFound):
		end, name = endDeleted, "deleted"
	case e.Err == errMoved, errors.Is(e.Err, ErrDraining): // wrapped, it tells of what could not be stored
		end, name, err = endMoved, "left to another node", nil
	case e.Err != nil:
		level, end, name, err = slog.LevelError, endNotStored, "not stored", e.Err
	case end == session.FinishError:
		level = slog.LevelWarn
	default:
		err = nil // of a call that was ended from here
	}
	a.h.metrics.ended(end, e.Message, a.r.unread, a.continued, took)
	attrs := []slog.Attr{
		slog.String("session", ShortID(a.r.Conversation.ID)), slog.String("end", name),
		slog.Int("bytes", len(e.Message.Content)), slog.Duration("took", took.Round(time.Millisecond)),
		slog.Duration("first_text", a.first.Round(time.Millisecond)),
	}
	if u := e.Message.Usage; u != nil {
		attrs = append(attrs, slog.Int("prompt_tokens", u.PromptTokens), slog.Int("completion_tokens", u.CompletionTokens))
	}
	if a.continued > 0 {
		attrs = append(attrs, slog.Int("continued", a.continued))
	}
	if a.r.from.Request != "" {
		attrs = append(attrs, slog.String("request_id", a.r.from.Request))
	}
	if err != nil {
		said := []string{a.r.content()}
		for _, m := range a.history {
			said = append(said, m.Content)
		}
		attrs = append(attrs, slog.String("error", unquoted(err.Error(), said)))
	}
	a.h.log.LogAttrs(context.Background(), level, "reply ended", attrs...)
}
