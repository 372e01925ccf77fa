package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestPanicNamesItsRequest: the line that has a panic's stack names the request, as the
// line of the request does, and is the only one of it.
func TestPanicNamesItsRequest(t *testing.T) {
	f := &fuse{method: "Load", left: 1}
	r := newRig(t, withStore(store(shared).behind(&f.Faults)))
	f.arm(someID)
	r.do("GET", "/sessions/"+newID(), "", header("X-Request-Id", "the-one")).wantError(http.StatusInternalServerError, "internal")
	r.stop()
	wantStacks(t, r, 1)
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, "stack=") && !strings.Contains(line, "request_id=the-one") {
			t.Errorf("the panic's line does not name the request: %.300s", line)
		}
	}
}
