package llm

import (
	"fmt"
	"strings"
	"testing"

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
