package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tmc/langchaingo/llms"
)

// TestLoggedRequestID: the id of the service's request is logged where it can be one.
func TestLoggedRequestID(t *testing.T) {
	for id, logged := range map[string]bool{
		"0195b2c4-7d7c-7c1e-9f0a-2b6c1f3d5e7a": true,
		"a1b2c3d4e5f60718293a4b5c6d7e8f90":     true,
		"req_01.2":                             true,
		"":                                     false,
		"what somebody said":                   false,
		"gesagt: größer":                       false,
		strings.Repeat("a", 65):                false,
	} {
		err := fail(llms.ErrCodeProviderUnavailable, nil, "Mistral failed").WithDetail("request_id", id)
		if got := strings.Contains(fmt.Sprint(LogAttrs(err)), "upstream_request_id"); got != logged {
			t.Errorf("%q is logged: %v", id, got)
		}
	}
}

// TestLoggedWait: a wait is told in seconds, under a name that says so: a duration would
// be a number of nanoseconds in JSON.
func TestLoggedWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &script{t: t, answers: []http.HandlerFunc{status(503, "Retry-After", "3"), streams(hello)}}
		m, stop := inMemory(t, s.ServeHTTP, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
		defer stop()
		if _, err := m.GenerateContent(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
		var line struct {
			Wait float64 `json:"wait_s"`
		}
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Wait < 3 || line.Wait > 10 {
			t.Errorf("%s, %v", log.String(), err)
		}
	})
}
