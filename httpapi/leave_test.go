package httpapi_test

import (
	"testing"

	"github.com/google/uuid"
)

// TestSaidAndLeft: what a script says that leaves at once, without a look at
// what comes back, is said.
func TestSaidAndLeft(t *testing.T) {
	const many = 20
	r := newRig(t)
	for name, tt := range map[string]struct {
		look  bool // it waits for ready
		leave func(s *refSocket) error
	}{
		"closes":              {true, func(s *refSocket) error { return s.conn.Close() }},
		"half-closes":         {true, func(s *refSocket) error { return s.conn.CloseWrite() }},
		"half-closes at once": {false, func(s *refSocket) error { return s.conn.CloseWrite() }},
		"says that it leaves": {false, func(s *refSocket) error { return s.writeFrame(refClose, nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			var sessions []string
			for range many {
				id := r.newSession()
				s, err := dialRefSocket(r.addr(), "/ws/"+id, refDial{})
				if err != nil {
					t.Fatal(err)
				}
				defer s.close()
				if tt.look {
					_, err = s.read()
				}
				if err == nil {
					err = s.say(uuid.NewString(), "hi")
				}
				if err == nil {
					err = tt.leave(s)
				}
				if err != nil {
					t.Fatal(err)
				}
				sessions = append(sessions, id)
			}
			for _, id := range sessions {
				eventually(t, "it is said and answered", func() bool { return len(r.session(id).Messages) == 2 })
			}
		})
	}
}
