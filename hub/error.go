package hub

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/hub/reply"
	"lumos/backend/llm"
	"lumos/backend/session"
)

// The error codes of the contract (httpapi/PROTOCOL.md) that a conversation
// can answer with. Which HTTP status goes with which is httpapi's to say.
const (
	CodeInvalid          = "invalid_request"
	CodeUnauthorized     = "unauthorized"
	CodeNotFound         = "session_not_found"
	CodeBusy             = "conversation_busy"
	CodeReused           = "id_reused"
	CodeLong             = "conversation_full"
	CodeChanged          = "conversation_changed"
	CodeTooLarge         = "message_too_large"
	CodeWatching         = "watching"
	CodeRateLimited      = "rate_limited"
	CodeInternal         = "internal"
	CodeUpstream         = "upstream_error"
	CodeUpstreamAuth     = "upstream_auth"
	CodeUpstreamBusy     = "upstream_busy"
	CodeUpstreamTimeout  = "upstream_timeout"
	CodeDraining         = "draining"
	CodeStoreUnavailable = "store_unavailable"
)

// ErrDraining: the hub is going away and takes nothing new.
var ErrDraining = errors.New("hub: draining")

// Error is a failure as a client is told of it.
type Error struct {
	Code       string
	Text       string        // a sentence for a person
	RetryAfter time.Duration // 0: not known
}

func (e *Error) Error() string { return e.Code + ": " + e.Text }

// Invalid refuses what does not have the contract's form; text says what is wrong.
func Invalid(text string) *Error { return &Error{Code: CodeInvalid, Text: text} }

// sentences has what a person is told for each code.
var sentences = map[string]string{
	CodeNotFound:         "This conversation does not exist, has expired or was deleted. Begin a new one.",
	CodeBusy:             "A reply is still being written in this conversation. Wait for its end or stop it.",
	CodeReused:           "This message id was used before with another text. Use a new id for a new message.",
	CodeLong:             "This conversation is as long as it may be. Begin a new one.",
	CodeChanged:          "This page shows another conversation than the one that is stored here. Load it again.",
	CodeInternal:         "Something went wrong on the server. Try again.",
	CodeUpstream:         "The model's service failed. Try again.",
	CodeUpstreamAuth:     "The model's service did not accept the server's key. Tell whoever runs this server.",
	CodeUpstreamBusy:     "The model's service is busy. Try again in a moment.",
	CodeUpstreamTimeout:  "The model's service took too long to answer. Try again.",
	CodeDraining:         "This server is about to stop. Try again in a moment.",
	CodeStoreUnavailable: "The conversation store cannot be reached. Try again in a moment.",
}

// ErrorOf returns what a client is told of code.
func ErrorOf(code string) *Error {
	e := &Error{Code: code, Text: sentences[code]}
	if code == CodeUpstreamBusy {
		e.RetryAfter = time.Minute // its rate limits are by the minute
	}
	return e
}

// Failure returns what clients are told of a reply that ended as session.FinishError.
func Failure(m *session.Message) *Error {
	e := ErrorOf(m.Failure)
	if m.Retry > 0 {
		e.RetryAfter = time.Duration(m.Retry) * time.Second
	}
	return e
}

// Classify returns what a client is told of err, which may be one of session's
// errors, of the hub's, or a *llms.Error.
func Classify(err error) *Error {
	var told *Error
	var model *llms.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, session.ErrNotFound):
		return ErrorOf(CodeNotFound)
	case errors.Is(err, session.ErrBusy):
		return ErrorOf(CodeBusy)
	case errors.Is(err, session.ErrReused):
		return ErrorOf(CodeReused)
	case errors.Is(err, session.ErrLong):
		return ErrorOf(CodeLong)
	case errors.Is(err, session.ErrChanged):
		return ErrorOf(CodeChanged)
	case errors.Is(err, session.ErrNothing):
		return Invalid("There is no such reply at the end of this conversation that could be written anew.")
	case errors.Is(err, session.ErrFull):
		return &Error{Code: CodeStoreUnavailable, Text: "The server holds as many conversations as it may. Try again later.", RetryAfter: time.Minute}
	case errors.Is(err, session.ErrUnavailable), errors.Is(err, session.ErrLost), errors.Is(err, reply.ErrCut):
		return ErrorOf(CodeStoreUnavailable)
	case errors.Is(err, ErrDraining), errors.Is(err, errStopped): // a request that came in the last moment
		return ErrorOf(CodeDraining)
	case errors.As(err, &model):
		return classifyModel(model)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ErrorOf(CodeUpstream)
	case errors.Is(err, context.DeadlineExceeded):
		return ErrorOf(CodeUpstreamTimeout)
	}
	return ErrorOf(CodeInternal)
}

// logged returns what the log may have of the error with which a reply failed: nothing
// that may quote the conversation.
func logged(err error) []slog.Attr {
	var told *Error
	switch {
	case err == nil: // another node's
		return nil
	case errors.As(err, &told): // in words of the hub's own
		return []slog.Attr{slog.String("error", told.Text)}
	case panicked(err): // the log has the stack
		return []slog.Attr{slog.String("error", "the model's client panicked")}
	case err == io.ErrUnexpectedEOF:
		return []slog.Attr{slog.String("error", "the model's stream was cut")}
	}
	return llm.LogAttrs(err)
}

func classifyModel(err *llms.Error) *Error {
	e := ErrorOf(CodeUpstream)
	switch err.Code {
	case llms.ErrCodeAuthentication:
		e = ErrorOf(CodeUpstreamAuth)
	case llms.ErrCodeRateLimit, llms.ErrCodeQuotaExceeded:
		e = ErrorOf(CodeUpstreamBusy)
		if after, ok := err.Details["retry_after"].(time.Duration); ok && after > 0 {
			e.RetryAfter = after
		}
	case llms.ErrCodeTimeout:
		e = ErrorOf(CodeUpstreamTimeout)
	case llms.ErrCodeTokenLimit:
		e.Text = "The message is too long for the model. Shorten it and try again."
	}
	return e
}
