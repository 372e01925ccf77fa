package llm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// provider is the Provider of every *llms.Error made here, but for an Ollama's.
const provider = "mistral"

// maxErrorBody is how much of an error's body is read.
const maxErrorBody = 64 << 10

// ErrNoEnd is the cause of an answer whose stream ended properly, after a whole event, but
// without a finish_reason or [DONE]: it may be whole, if the service sends neither.
// errors.Is(ErrNoEnd, io.ErrUnexpectedEOF) is true.
var ErrNoEnd = fmt.Errorf("%w: the stream ended without a finish_reason", io.ErrUnexpectedEOF)

// failure is why one attempt failed, and what that means for another one.
type failure struct {
	*llms.Error
	transient bool          // another attempt may succeed
	refusal   bool          // the service refused, so it needs some time
	after     time.Duration // what Retry-After asked for, 0 if nothing
	minute    time.Duration // until the next rate window, 0 if it is not that
}

func fail(code llms.ErrorCode, cause error, format string, args ...any) *failure {
	text := fmt.Sprintf(format, args...)
	err := llms.NewError(code, provider, text)
	return &failure{Error: err.WithCause(cause).WithDetail(detailLog, beforeQuote(text))}
}

// detailTransient is the detail of an error whose call may be gone on with.
const detailTransient = "transient"

// Transient reports whether, after an error that followed some text, a call that continues
// from that text may succeed: the stream broke, fell silent, or ended in an error that passes.
func Transient(err error) bool {
	var e *llms.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &e) && e.Details[detailTransient] == true
}

// canceled is the failure of a call whose context ended.
func canceled(ctx context.Context) *failure {
	cause := context.Cause(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fail(llms.ErrCodeTimeout, cause, "the time for this request is over")
	}
	return fail(llms.ErrCodeCanceled, cause, "the request was canceled")
}

// unreached is the failure of a request that got no answer. ctx is the caller's
// context, attempt the one of the request.
func unreached(ctx, attempt context.Context, err error) *failure {
	if f := gaveUp(ctx, attempt); f != nil {
		return f
	}
	code := llms.ErrCodeProviderUnavailable
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		code = llms.ErrCodeTimeout
	}
	// Nothing was said yet, so this is no cut answer, however the connection ended.
	f := fail(code, opaque(err), "the model's service could not be reached (%v)", inner(err))
	var certificate *tls.CertificateVerificationError
	f.transient = !errors.As(err, &certificate)
	return f
}

// cut is the failure of an answer that broke off before its finish_reason.
func cut(ctx, attempt context.Context, err error) *failure {
	if f := gaveUp(ctx, attempt); f != nil {
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fail(llms.ErrCodeTimeout, opaque(err), "the model's service took longer than the HTTP client's Timeout")
	}
	cause := error(io.ErrUnexpectedEOF)
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		cause = fmt.Errorf("%w: %v", io.ErrUnexpectedEOF, err)
	}
	f := fail(llms.ErrCodeProviderUnavailable, cause, "the answer of the model's service broke off (%v)", inner(err))
	f.transient = true
	return f
}

// gaveUp is the failure of a request that this side ended, nil if it did not.
func gaveUp(ctx, attempt context.Context) *failure {
	switch {
	case ctx.Err() != nil:
		return canceled(ctx)
	case context.Cause(attempt) == errSilent:
		return fail(llms.ErrCodeTimeout, errSilent, "the model's service was silent for too long")
	}
	return nil
}

// opaque keeps an error's text but not its identity.
func opaque(err error) error { return errors.New(err.Error()) }

// inner drops what net/http puts before an error: method and URL.
func inner(err error) error {
	for {
		var outer interface {
			Timeout() bool
			Unwrap() error
		}
		if !errors.As(err, &outer) || outer.Unwrap() == nil {
			return err
		}
		err = outer.Unwrap()
	}
}

// refused is the failure that an answer other than 200 means.
func (m *Mistral) refused(resp *http.Response) *failure {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	f := m.explain(resp.StatusCode, parseReason(body, m.cfg.Model))
	f.WithDetail("status", resp.StatusCode)
	if id := requestID(resp.Header); id != "" {
		f.WithDetail("request_id", id)
	}
	if f.after = retryAfter(resp.Header, time.Now()); f.after > 0 {
		f.WithDetail("retry_after", f.after)
	}
	if resp.StatusCode == http.StatusTooManyRequests && f.Code == llms.ErrCodeRateLimit {
		if resp.Header.Get("x-ratelimit-limit-req-minute") == "0" {
			f.Code, f.transient = llms.ErrCodeQuotaExceeded, false
			const sentence = "this key is granted no requests for the model, waiting does not help: "
			f.Message = sentence + f.Message
			f.WithDetail(detailLog, sentence+f.Details[detailLog].(string))
		} else if f.after == 0 {
			f.minute = untilMinute(resp.Header, time.Now())
			f.WithDetail("retry_after", f.minute)
		}
	}
	return f
}

// explain is the failure for a status and a reason; an error event comes with the
// status that it stands for, or 200.
func (m *Mistral) explain(status int, why reason) *failure {
	code, sentence := classify(status, why.code)
	f := fail(code, nil, "%s", m.redact(sentence+why.suffix(status, why.message)))
	f.WithDetail(detailLog, m.redact(sentence+why.suffix(status, why.words)))
	f.transient, f.refusal = transient(status, why.code), true
	if why.kind != "" {
		f.WithDetail("type", why.kind)
	}
	if why.code != "" {
		f.WithDetail("code", why.code)
	}
	return f
}

// explainEvent is the failure that an error inside a stream means.
func (m *Mistral) explainEvent(why reason) *failure {
	f := m.explain(why.asStatus(), why)
	if f.Code == llms.ErrCodeRateLimit {
		f.minute = untilMinute(nil, time.Now())
	}
	return f
}

// Codes of Mistral's that say more than the status they come with
// (MISTRAL.md section 3).
const (
	codeUnreachable   = "1100"
	codeRateLimited   = "1300"
	codePromptTooLong = "3059"
	codeCapacity      = "3505"
)

// classify turns a status, and a few codes, into langchaingo's code and a
// sentence. Texts are never looked at.
func classify(status int, code string) (llms.ErrorCode, string) {
	switch code {
	case codePromptTooLong:
		return llms.ErrCodeTokenLimit, "the conversation is too long for the model"
	case codeRateLimited:
		return llms.ErrCodeRateLimit, "the rate limit of the model's service is reached"
	case codeCapacity:
		return llms.ErrCodeRateLimit, "the service has no capacity for this model at the moment"
	}
	switch {
	case status == http.StatusUnauthorized:
		return llms.ErrCodeAuthentication, "the model's service refused the API key"
	case status == http.StatusForbidden:
		return llms.ErrCodeAuthentication, "the model's service forbids this request: the key's plan lacks the model, or a guardrail blocked the prompt"
	case status == http.StatusPaymentRequired:
		return llms.ErrCodeQuotaExceeded, "the model's service wants a payment for this key"
	case status == http.StatusNotFound:
		return llms.ErrCodeResourceNotFound, "nothing answers at this path or by this model's name: check the base URL and the model"
	case status == http.StatusRequestTimeout:
		return llms.ErrCodeTimeout, "the model's service waited too long for the request"
	case status == http.StatusTooManyRequests:
		return llms.ErrCodeRateLimit, "the rate limit of the model's service is reached"
	case status == http.StatusConflict, status == http.StatusTooEarly:
		return llms.ErrCodeProviderUnavailable, "the model's service cannot answer now"
	case status >= 300 && status < 400:
		return llms.ErrCodeInvalidRequest, "the server redirects elsewhere, which is not followed: check the base URL"
	case status >= 400 && status < 500:
		return llms.ErrCodeInvalidRequest, "the model's service does not accept the request"
	}
	return llms.ErrCodeProviderUnavailable, "the model's service failed"
}

// transient says which refusals are worth another attempt; 520 to 529 are
// Cloudflare's and overload.
func transient(status int, code string) bool {
	switch code {
	case codeUnreachable, codeRateLimited, codeCapacity:
		return true
	}
	switch status {
	case 408, 409, 425, 429, 500, 502, 503, 504:
		return true
	}
	return 520 <= status && status <= 529
}

func requestID(h http.Header) string {
	if id := h.Get("mistral-correlation-id"); id != "" {
		return id
	}
	return h.Get("x-kong-request-id")
}

// retryAfter reads Retry-After (RFC 9110 section 10.2.3): seconds or a date. Seconds that no
// int holds are still a time not to come back in; a fraction is rounded up.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	whole, fraction, _ := strings.Cut(value, ".")
	if n, err := strconv.Atoi(whole); err == nil || errors.Is(err, strconv.ErrRange) {
		n = min(max(n, 0), math.MaxInt32-1)
		if strings.Trim(fraction, "0") != "" {
			n++
		}
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), math.MaxInt32*time.Second)
	}
	return 0
}

// untilMinute is the time until the rate window's end, a minute of the server's
// clock, which Date shows to the second.
func untilMinute(h http.Header, now time.Time) time.Duration {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}
