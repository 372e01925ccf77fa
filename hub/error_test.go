package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

func TestClassify(t *testing.T) {
	model := func(code llms.ErrorCode) *llms.Error {
		return llms.NewError(code, "mistral", "a secret of the model's")
	}
	for _, tt := range []struct {
		err   error
		code  string
		after time.Duration
	}{
		{session.ErrNotFound, CodeNotFound, 0},
		{session.ErrBusy, CodeBusy, 0},
		{session.ErrReused, CodeReused, 0},
		{session.ErrNothing, CodeInvalid, 0},
		{session.ErrFull, CodeStoreUnavailable, time.Minute},
		{session.ErrUnavailable, CodeStoreUnavailable, 0},
		{session.ErrLost, CodeStoreUnavailable, 0},
		{ErrCut, CodeStoreUnavailable, 0},
		{ErrDraining, CodeDraining, 0},
		{errStopped, CodeDraining, 0},
		{&Error{Code: CodeTooLarge, Text: "Too large."}, CodeTooLarge, 0},
		{model(llms.ErrCodeAuthentication), CodeUpstreamAuth, 0},
		{model(llms.ErrCodeRateLimit), CodeUpstreamBusy, busyAgain},
		{model(llms.ErrCodeRateLimit).WithDetail("retry_after", 7*time.Second), CodeUpstreamBusy, 7 * time.Second},
		{model(llms.ErrCodeRateLimit).WithDetail("retry_after", time.Duration(0)), CodeUpstreamBusy, busyAgain},
		{model(llms.ErrCodeQuotaExceeded), CodeUpstreamBusy, busyAgain},
		{model(llms.ErrCodeTimeout), CodeUpstreamTimeout, 0},
		{model(llms.ErrCodeTokenLimit), CodeUpstream, 0},
		{model(llms.ErrCodeInvalidRequest), CodeUpstream, 0},
		{model(llms.ErrCodeResourceNotFound), CodeUpstream, 0},
		{model(llms.ErrCodeProviderUnavailable), CodeUpstream, 0},
		{model(llms.ErrCodeProviderUnavailable).WithCause(io.ErrUnexpectedEOF), CodeUpstream, 0},
		{io.ErrUnexpectedEOF, CodeUpstream, 0},
		{context.DeadlineExceeded, CodeUpstreamTimeout, 0},
		{errors.New("a secret of the server's"), CodeInternal, 0},
	} {
		for _, err := range []error{tt.err, fmt.Errorf("on the way: %w", tt.err)} {
			e := Classify(err)
			if e.Code != tt.code || e.RetryAfter != tt.after {
				t.Errorf("%v: %s after %v, want %s after %v", err, e.Code, e.RetryAfter, tt.code, tt.after)
			}
			if e.Text == "" || strings.Contains(e.Text, "secret") {
				t.Errorf("%v is told as %q", err, e.Text)
			}
		}
	}
}

// TestErrorOf: every code that is stored with a failed reply has its sentence.
func TestErrorOf(t *testing.T) {
	for _, code := range []string{CodeUpstream, CodeUpstreamAuth, CodeUpstreamBusy, CodeUpstreamTimeout, CodeInternal, CodeStoreUnavailable, CodeDraining} {
		if e := ErrorOf(code); e.Code != code || !strings.HasSuffix(e.Text, ".") {
			t.Errorf("%s: %+v", code, e)
		}
	}
}

// TestLogged: of an error that may quote the conversation the log has the type alone.
func TestLogged(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, "[]"},
		{ErrorOf(CodeUpstreamBusy), "[error=The model's service is busy. Try again in a moment.]"},
		{fmt.Errorf("a secret: %w", ErrorOf(CodeUpstreamBusy)), "[error=The model's service is busy. Try again in a moment.]"},
		{io.ErrUnexpectedEOF, "[error=the model's stream was cut]"},
		{fmt.Errorf("a secret: %w", io.ErrUnexpectedEOF), "[error=the model failed with a *fmt.wrapError]"},
		{session.ErrPanicked, "[error=the model's client panicked]"},
		{&url.Error{Op: "Post", URL: "http://a.secret", Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}, "[error=dial tcp: connection refused]"},
		{errors.New("no answer to: a secret"), "[error=the model failed with a *errors.errorString]"},
		{llms.NewError(llms.ErrCodeRateLimit, "mistral", "no answer to: a secret"), "[error=the model failed with a *llms.Error, rate_limit]"},
	} {
		if got := fmt.Sprint(logged(tt.err)); got != tt.want {
			t.Errorf("of %v: %s, want %s", tt.err, got, tt.want)
		}
	}
}
