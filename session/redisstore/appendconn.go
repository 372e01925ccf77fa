package redisstore

import (
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// appendConnIdle is how long the connection may be unused before it is dialed again:
// firewalls drop idle connections silently.
const appendConnIdle = 5 * time.Second

// appendConn is Append's own connection, for one goroutine at a time. rueidis writes and
// reads it on the caller's goroutine as long as no context can end; on the shared
// connection, a batch passes through two of the library's goroutines.
type appendConn struct {
	mu    sync.Mutex // held while the connection is used
	tasks *sync.WaitGroup
	c     rueidis.DedicatedClient // nil: not connected
	used  time.Time
}

// open returns the connection, dialed if needed. An error shows when it is used; then
// the caller closes it.
func (l *appendConn) open(c rueidis.Client) rueidis.DedicatedClient {
	now := time.Now()
	if now.Sub(l.used) > appendConnIdle {
		l.close()
	}
	if l.c == nil {
		l.c, _ = c.Dedicate() // Close gives it back
	}
	l.used = now
	return l.c
}

// close closes the connection in the background, since rueidis waits up to a second
// for a silent peer.
func (l *appendConn) close() {
	if l.c != nil {
		l.tasks.Go(l.c.Close)
		l.c = nil
	}
}
