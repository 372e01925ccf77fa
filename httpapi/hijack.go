package httpapi

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"time"

	"lumos/backend/hub"
)

// hijacker is a ResponseWriter whose Hijack gives out a conn with small
// buffers, which is kept in conn.
type hijacker struct {
	http.ResponseWriter
	timeout time.Duration
	metrics *hub.Metrics
	log     *slog.Logger
	hub     *hub.Hub // knows of pauses of the process; nil: none are known
	most    int      // of a message, in bytes
	conn    *conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	inner, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := &conn{Conn: inner, timeout: h.timeout, metrics: h.metrics, log: h.log, most: h.most, hub: h.hub}
	if c.hub != nil {
		c.late = c.hub.Lateness()
	}
	c.active.Store(time.Now().UnixNano())
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Reader.Peek(n) // cannot fail: they are buffered
		c.pre = append([]byte(nil), early...)
	}
	// The server may have set deadlines for the request. A client that is gone
	// by now is told of by the first read.
	_ = inner.SetDeadline(time.Time{})
	c.in = bufio.NewReaderSize(c, wsBuffer)
	h.conn = c
	return c, bufio.NewReadWriter(c.in, bufio.NewWriterSize(c, wsBuffer)), nil
}
