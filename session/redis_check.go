package session

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// Check plays a turn in a session of its own, and returns what only whoever
// runs the hub can mend: a wrong password, a certificate that nobody vouches
// for, a right that a turn would miss. Adopting and hearing other nodes are not
// tried. A Redis that is away is no error: it is waited for.
func (r *Redis) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	c, err := r.connect(ctx)
	if err == nil {
		err = r.load(ctx, c)
	}
	if err == nil {
		err = r.setReady(ctx, c)
	}
	if err == nil {
		err = r.rehearse(ctx, c)
	}
	return explain(err, r.option)
}

// rehearse is a turn from its session's beginning to its end: what a user may
// do inside a script shows only when the script does it.
func (r *Redis) rehearse(ctx context.Context, c rueidis.Client) error {
	_, taking := r.Counter().Take(ctx, r.node, 60)
	_, entering := r.Counter().Enter(ctx, r.node, uuid.New(), 1)
	// A script tells only other nodes, hence by hand; an empty hint is none.
	telling := c.Do(ctx, c.B().Publish().Channel("chathub:"+r.node).Message("").Build()).Error()
	s, err := r.Create(ctx, Creation{ID: uuid.New(), Key: uuid.New()})
	if err := errors.Join(err, taking, entering, telling); err != nil {
		return err // a session in which nothing was said runs out soon
	}
	t := Turn{Kind: Submit, User: Message{ID: uuid.New(), Content: "?"}, Reply: uuid.New()}
	var writing, stopping error
	_, err = r.Say(ctx, s.Ref(), t)
	if w := r.forgetWriter(s.Ref(), t.Reply); w != nil { // nobody is to renew its lease
		some := []appending{{w: w, lease: w.lease, at: "0", text: []byte("!"), epoch: "0"}}
		_, writing = c.Do(ctx, r.appendCommand(c, some)).AsIntSlice()
		_, stopping = r.Stop(ctx, s.Ref(), Message{ID: t.Reply, FinishReason: FinishStopped})
	}
	return errors.Join(err, writing, stopping, r.Delete(ctx, s.Ref()))
}

// explain says what an operator can do about an error of connecting; nil, when
// that is to wait.
func explain(err error, o rueidis.ClientOption) error {
	if answer, ok := errors.AsType[*rueidis.RedisError](err); ok {
		switch {
		case isPrefixed(answer, "WRONGPASS"):
			return fmt.Errorf("Redis does not take this user and password: %w", answer)
		case isPrefixed(answer, "NOAUTH"):
			return errors.New("Redis wants a password: redis://user:password@host:port, without a user redis://:password@host:port")
		case isPrefixed(answer, "NOPERM"),
			strings.Contains(answer.Error(), "ACL failure in script"), // from Redis 7.2 on
			strings.Contains(answer.Error(), "The user executing the script can't "):
			return fmt.Errorf("Redis does not let this user do what the hub needs; give it more by ACL SETUSER: %w", answer)
		case strings.Contains(answer.Error(), "DB index is out of range"):
			return fmt.Errorf("Redis has no database %d: %w", o.SelectDB, answer)
		}
		return nil
	}
	var unknown x509.UnknownAuthorityError
	var invalid *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("nobody known here vouches for the certificate of Redis: name who signed it by ?ca=file in the URL: %w", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("the certificate of Redis does not hold: %w", err)
	case err == nil || len(o.InitAddress) == 0:
		return nil
	case o.TLSConfig != nil && answersPlain(o.InitAddress[0]):
		return fmt.Errorf("Redis does not speak TLS at %s: name its TLS port, or say redis:// in place of rediss://", o.InitAddress[0])
	case o.TLSConfig != nil:
		if alert := alertFrom(o.InitAddress[0], o.TLSConfig); alert != nil {
			return fmt.Errorf("Redis refuses the client certificate, or wants one: name it by ?cert=file&key=file in the URL: %w", alert)
		}
	case o.DialCtxFn == nil && answersTLS(o.InitAddress[0]):
		return fmt.Errorf("Redis speaks TLS at %s: say rediss:// in place of redis://", o.InitAddress[0])
	}
	return nil
}

// answersPlain says whether somebody at an address speaks Redis' protocol as
// it is. Redis waits for more of what it cannot read, so that the handshake's
// failure does not tell.
func answersPlain(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return false
	}
	first, err := bufio.NewReader(conn).ReadByte()
	return err == nil && (first == '+' || first == '-')
}

// answersTLS says whether somebody at an address speaks TLS, whoever it is.
func answersTLS(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake() == nil // nothing is said to it
}

// alertFrom returns the alert by which TLS is refused behind the handshake, as
// version 1.3 does it for a client's certificate; nil, when there is none.
// Whoever has sent something by then may see the connection reset instead.
func alertFrom(addr string, config *tls.Config) error {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Second}, Config: config}
	conn, err := dialer.Dial("tcp", addr)
	if err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, err = conn.Read(make([]byte, 1))
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return err
	}
	return nil
}
