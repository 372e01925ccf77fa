package llm

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/tmc/langchaingo/llms"
)

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

// noStream is the failure of an answer that is something else: an error that came
// with a status of 200, or nothing that a chat can use.
func (c *call) noStream(ctx context.Context, begun []byte, body io.Reader, kind string) *failure {
	rest, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
	whole := append(bytes.Clone(begun), rest...)
	if f := gaveUp(c.ctx, ctx); f != nil {
		return f
	}
	var d decoder
	if err := d.event(whole); err == nil && d.failed {
		return c.m.explainEvent(parseReason(whole, c.m.model))
	}
	return fail(llms.ErrCodeProviderUnavailable, nil, "the server did not stream its answer but sent %s", clean(kind))
}

// structured says whether an event's data is for a program: an object or an array.
// Some gateways send words in between, to keep a connection open.
func structured(data []byte) bool {
	i := space(data, 0)
	return i < len(data) && (data[i] == '{' || data[i] == '[')
}
