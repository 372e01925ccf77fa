package hub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/llm"
	"lumos/backend/session"
)

// maxContinuations is how often a reply is gone on with after the model's
// stream was cut.
const maxContinuations = 3

// errSealed ends a call to the model whose reply was stopped.
var errSealed = errors.New("hub: the reply was ended")

// turn has the model answer and ends the reply. It is r's one writer.
func (h *Hub) turn(r *Reply, said session.Said) {
	defer h.drop(r)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !r.begin(cancel, h.cfg.AbandonAfter, func() { h.giveUp(r) }) {
		h.settle(r)
		return
	}
	if h.shared != nil && !h.publish(r) {
		r.seal()
		r.finish(End{Err: errMoved})
		return
	}
	began := time.Now()
	m, continued, err := h.ask(ctx, r, said.History)
	if r.seal() {
		h.end(r, m, failureOf(m, err))
	}
	end := h.settle(r)
	h.logTurn(r, end, err, time.Since(began), continued)
}

// failureOf is what is told of err, with which the reply m failed; nil: it did not.
func failureOf(m session.Message, err error) *Error {
	if m.FinishReason != session.FinishError {
		return nil
	}
	return Classify(err)
}

// ask calls the model until the reply is complete, and returns what is to be
// stored of it apart from its text.
func (h *Hub) ask(ctx context.Context, r *Reply, history []session.Message) (session.Message, int, error) {
	p := h.newPrompt(history, h.cfg.MaxContextTokens)
	trimmed := false
	for continued := 0; ; {
		left := h.cfg.MaxTokens
		if left > 0 {
			if left -= roughTokens(r); left <= 0 {
				return session.Message{FinishReason: session.FinishLength, Estimate: p.estimate}, continued, nil
			}
		}
		choice, err := h.call(ctx, p.messages(r.content()), left, r)
		switch {
		case err == nil:
			m := session.Message{FinishReason: finishReason(choice.StopReason)}
			if continued == 0 { // of a reply in parts only the last part's usage is known
				m.Usage, m.Estimate = usage(choice), p.estimate
			}
			return m, continued, nil
		case errors.Is(err, io.ErrUnexpectedEOF) && continued < maxContinuations && ctx.Err() == nil:
			continued++
		case llms.IsTokenLimitError(err) && !trimmed:
			trimmed = true
			p = h.newPrompt(history, h.cfg.MaxContextTokens/2)
		default:
			return session.Message{FinishReason: session.FinishError, Failure: Classify(err).Code}, continued, err
		}
	}
}

// call asks the model once. A stream that ended early without saying so is
// io.ErrUnexpectedEOF: some of langchaingo's models return nil for one.
func (h *Hub) call(ctx context.Context, messages []llms.MessageContent, maxTokens int, r *Reply) (*llms.ContentChoice, error) {
	streamed := 0
	options := append([]llms.CallOption{
		llms.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
			streamed += len(chunk)
			if !r.append(chunk) {
				return errSealed
			}
			return nil
		}),
		llm.WithoutContent(),
	}, h.cfg.CallOptions...)
	if maxTokens > 0 {
		options = append(options, llms.WithMaxTokens(maxTokens))
	}
	resp, err := h.cfg.Model.GenerateContent(ctx, messages, options...)
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

// end stores the reply, whose text cannot change any more, and tells the
// followers. The caller has sealed it.
func (h *Hub) end(r *Reply, m session.Message, failure *Error) {
	m.ID, m.Role, m.Model = r.ID, session.Assistant, r.Model
	m.Content, m.Timestamp, m.Epochs = r.content(), session.Now(), r.writers()
	err := h.store(r, m)
	if h.shared != nil && errors.Is(err, session.ErrLost) {
		err = errMoved
	}
	r.finish(End{Message: m, Err: err, failure: failure})
}

// store stores an ended reply. A store that is away is asked again for as long as
// followers wait for it.
func (h *Hub) store(r *Reply, m session.Message) error {
	const again = 250 * time.Millisecond
	for began := time.Now(); ; {
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		err := h.sessions.Finish(ctx, r.Conversation, m)
		cancel()
		if !errors.Is(err, session.ErrUnavailable) {
			return err
		}
		pause := time.NewTimer(again)
		select {
		case <-pause.C:
		case <-h.closing:
			pause.Stop()
			return err
		}
		if time.Since(began) > session.AwayAfter {
			if h.shared != nil {
				h.abandon(r)
			}
			return err
		}
	}
}

// publish gives the reply's text to the Log, or reports that it is another's
// to write.
func (h *Hub) publish(r *Reply) bool {
	wake, ok := h.shared.Write(r.ID, writing{h, r})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.store = wake
	return ok
}

// abandon lets go of a reply that cannot be stored: another node may go on
// with it when the store is back.
func (h *Hub) abandon(r *Reply) {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	_ = h.shared.Yield(ctx, r.Conversation, r.ID)
}

func (r *Reply) writers() []session.Epoch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epochs
}

// storeTimeout bounds one step of the store.
const storeTimeout = 5 * time.Second

// settle waits until whoever sealed the reply has ended it.
func (h *Hub) settle(r *Reply) End {
	e, _ := r.wait(context.Background())
	return e
}

// giveUp stops a reply that nobody follows.
func (h *Hub) giveUp(r *Reply) {
	if r.seal() {
		h.end(r, session.Message{FinishReason: session.FinishStopped}, nil)
	}
}

func (h *Hub) logTurn(r *Reply, e End, err error, took time.Duration, continued int) {
	level, reason := slog.LevelInfo, e.Message.FinishReason
	switch {
	case errors.Is(e.Err, session.ErrNotFound):
		reason = "deleted"
	case errors.Is(e.Err, errMoved), errors.Is(e.Err, ErrDraining):
		reason, err = "left to another node", nil
	case e.Err != nil:
		level, reason, err = slog.LevelError, "not stored", e.Err
	case reason == session.FinishError:
		level = slog.LevelWarn
	default:
		err = nil // of a call that was ended from here
	}
	attrs := []slog.Attr{
		slog.String("session", ShortID(r.Conversation)), slog.String("end", reason),
		slog.Int("bytes", len(e.Message.Content)), slog.Duration("took", took.Round(time.Millisecond)),
	}
	if u := e.Message.Usage; u != nil {
		attrs = append(attrs, slog.Int("prompt_tokens", u.PromptTokens), slog.Int("completion_tokens", u.CompletionTokens))
	}
	if continued > 0 {
		attrs = append(attrs, slog.Int("continued", continued))
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	h.log.LogAttrs(context.Background(), level, "reply ended", attrs...)
}
