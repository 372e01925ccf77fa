package session

import (
	"time"

	"github.com/redis/rueidis"
)

// lineIdle is how long a line may be unused and still be taken for one that
// works: what cuts idle connections often tells nobody.
const lineIdle = 5 * time.Second

// line is a connection for one goroutine, in which rueidis writes and reads as
// long as nothing can cancel: over the connection that all share, a batch goes
// through two goroutines of the library on its way out and back.
type line struct {
	r    *Redis
	c    rueidis.DedicatedClient // nil: not connected
	used time.Time
}

// serves tells whether there is a line, and one is enough: not to a cluster,
// nor while there is no Redis.
func (l *line) serves(c rueidis.Client) bool { return l != nil && c != nil && !isCluster(c) }

func isCluster(c rueidis.Client) bool { return c.Mode() == rueidis.ClientModeCluster }

// open returns the connection, made if it must be. One that fails says so when
// it is used, and is then to be closed.
func (l *line) open(c rueidis.Client) rueidis.DedicatedClient {
	now := time.Now()
	if now.Sub(l.used) > lineIdle {
		l.close()
	}
	if l.c == nil {
		l.c, _ = c.Dedicate() // Close gives it back
	}
	l.used = now
	return l.c
}

// close lets the connection go. rueidis gives a peer that is silent a second to
// say goodbye, for which nobody here waits.
func (l *line) close() {
	if l.c != nil {
		l.r.tasks.Go(l.c.Close)
		l.c = nil
	}
}
