package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// handshakeError is an answer to the upgrade other than 101.
type handshakeError struct{ status string }

func (e *handshakeError) Error() string { return "upgrade answered " + e.status }

// dialWS opens a WebSocket at u (ws or wss), from the local address when one
// is given, and asks for the subprotocols named.
func dialWS(ctx context.Context, d *net.Dialer, u *url.URL, protocols string) (*wsConn, error) {
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"ws": "80", "wss": "443"}[u.Scheme])
	}
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "wss" {
		conn = tls.Client(conn, &tls.Config{ServerName: u.Hostname()})
	}
	c := &wsConn{Conn: conn, buf: make([]byte, minBuffer), budget: -1}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if err := c.handshake(u, protocols); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return c, nil
}

// handshake upgrades the connection, RFC 6455 section 4.1.
func (c *wsConn) handshake(u *url.URL, protocols string) error {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	c.out = fmt.Appendf(c.out[:0], "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", u.RequestURI(), u.Host, key)
	if protocols != "" {
		c.out = fmt.Appendf(c.out, "Sec-WebSocket-Protocol: %s\r\n", protocols)
	}
	if _, err := c.Write(append(c.out, "\r\n"...)); err != nil {
		return err
	}
	end := -1
	for end < 0 {
		if err := c.fill(); err != nil {
			return err
		}
		end = bytes.Index(c.buf[:c.w], []byte("\r\n\r\n"))
	}
	c.r = end + 4
	resp, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(c.buf[:c.r]), c.r), nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return &handshakeError{resp.Status}
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if got := resp.Header.Get("Sec-WebSocket-Accept"); got != base64.StdEncoding.EncodeToString(sum[:]) {
		return fmt.Errorf("upgrade answered the wrong Sec-WebSocket-Accept %q", got)
	}
	return nil
}
