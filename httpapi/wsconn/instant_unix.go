//go:build unix

package wsconn

import "syscall"

// instant writes to a connection what its peer has room for, without waiting.
// It is kept, since making one for every token would cost more than it saves.
type instant struct {
	raw   syscall.RawConn
	write func(fd uintptr) bool
	p     []byte
	n     int
}

// writeNow writes what the peer takes at once and returns how many bytes that was. An error
// shows at the next Write. The caller holds the right to send.
func (c *Conn) writeNow(p []byte) int {
	if c.instant == nil {
		sc, ok := c.nc.(syscall.Conn)
		if !ok {
			return 0
		}
		raw, err := sc.SyscallConn()
		if err != nil {
			return 0
		}
		i := &instant{raw: raw}
		i.write = func(fd uintptr) bool {
			for {
				n, err := syscall.Write(int(fd), i.p)
				if err != syscall.EINTR {
					i.n = max(0, n)
					return true // also when there is no room: nobody waits here
				}
			}
		}
		c.instant = i
	}
	c.instant.p, c.instant.n = p, 0
	_ = c.instant.raw.Write(c.instant.write)
	c.instant.p = nil
	return c.instant.n
}
