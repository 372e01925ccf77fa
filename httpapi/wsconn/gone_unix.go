//go:build unix

package wsconn

import "syscall"

// Gone tells whether the peer has closed the connection or lost it, as far as
// the kernel knows by now. It reads nothing.
func (c *Conn) Gone() bool {
	raw, ok := c.nc.(syscall.Conn)
	if !ok {
		return false
	}
	fd, err := raw.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = fd.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err == syscall.ECONNRESET
	})
	return gone || err != nil
}
