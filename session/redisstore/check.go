package redisstore

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"lumos/backend/session"
)

// Check plays a turn in a session of its own, and returns errors that only the operator can
// mend: a wrong password, an untrusted certificate, a missing ACL right, an older hub on the
// same Redis. A Redis that is away is no error, since it may come back.
func (s *Store) Check(ctx context.Context) error {
	s.checking.Store(true)
	err := s.check(ctx)
	s.checking.Store(false)
	if err == nil || errors.Is(err, errOld) {
		return err
	}
	if told := explain(err, s.option); told != nil {
		return told
	}
	s.warn(err)
	return nil
}

func (s *Store) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(s.load(ctx, c), s.setReady(ctx, c)); err != nil {
		return err
	}
	if err := s.refuseOld(ctx, c); err != nil {
		return err
	}
	return s.rehearse(ctx, c)
}

// rehearse does everything that a turn does. Whether a user may run a command inside
// a script shows only when the script runs it.
func (s *Store) rehearse(ctx context.Context, c rueidis.Client) error {
	_, taking := s.Take(ctx, s.node, 60)
	_, entering := s.Enter(ctx, s.node, uuid.New(), 1)
	_, listening := listeners(ctx, c, []string{s.node})
	beating := beatScript.Exec(ctx, c, []string{beatKey(s.node)}, []string{millis(beatTTL)}).Error()
	// Scripts publish to other nodes only. An empty message is ignored.
	telling := c.Do(ctx, c.B().Publish().Channel(channelOf(s.node)).Message("").Build()).Error()
	if err := errors.Join(taking, entering, listening, beating, telling, s.tryChannel(ctx, c)); err != nil {
		return err
	}
	played := s.play(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(played, s.refused) // a Manager does not see the errors of appends and reads
}

// tryChannel subscribes to this node's channel and leaves it again.
func (s *Store) tryChannel(ctx context.Context, c rueidis.Client) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	heard := errors.New("it is heard")
	confirmed := rueidis.WithOnSubscriptionHook(ctx, func(rueidis.PubSubSubscription) { cancel(heard) })
	err := c.Dedicated(func(c rueidis.DedicatedClient) error {
		return c.Receive(confirmed, c.B().Subscribe().Channel(channelOf(s.node)).Build(), func(rueidis.PubSubMessage) {})
	})
	if context.Cause(ctx) == heard {
		return nil
	}
	return err
}

// play creates a session, says something, yields the reply, takes it, ends it, and
// deletes the session.
func (s *Store) play(ctx context.Context) error {
	m := session.NewManager(s, s.Kind(), session.Config{TTL: s.cfg.TTL, Logger: slog.New(slog.DiscardHandler)})
	made, err := m.Create(ctx, session.Creation{ID: uuid.New(), Key: uuid.New()})
	if err != nil {
		return err
	}
	ref := made.Ref()
	said, err := m.Say(ctx, ref, session.Turn{User: session.Message{ID: uuid.New(), Content: "?"}, Reply: uuid.New()})
	if err == nil {
		said.Text.Append([]byte("!"))
		err = m.Yield(ctx, said.Text)
	}
	if err == nil {
		said, _, err = m.Take(ctx, ref, said.Text.Reply)
	}
	if err == nil {
		err = m.Finish(ctx, said.Text, session.Message{FinishReason: session.FinishStop})
	}
	_, touching := s.Touch(ctx, []session.Use{{ID: ref.ID, Held: true}})
	return errors.Join(err, touching, m.Delete(ctx, ref))
}

// explain returns what an operator can do about an error of connecting, or nil if it
// may pass by itself.
func explain(err error, o rueidis.ClientOption) error {
	if answer, ok := errors.AsType[*rueidis.RedisError](err); ok {
		switch {
		case isPrefixed(answer, "WRONGPASS"):
			return fmt.Errorf("the Redis server does not take this user and password: %w", answer)
		case isPrefixed(answer, "NOAUTH"):
			return errors.New("the Redis server wants a password: redis://user:password@host:port, without a user redis://:password@host:port")
		case isPrefixed(answer, "NOPERM"),
			strings.Contains(answer.Error(), "ACL failure in script"), // from Redis 7.2 on
			strings.Contains(answer.Error(), "The user executing the script can't "):
			return fmt.Errorf("the Redis server does not let this user do what the hub needs; give it more by ACL SETUSER: %w", answer)
		case strings.Contains(answer.Error(), "DB index is out of range"):
			return fmt.Errorf("the Redis server has no database %d: %w", o.SelectDB, answer)
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
		return fmt.Errorf("the Redis server does not speak TLS at %s: name its TLS port, or say redis:// in place of rediss://", o.InitAddress[0])
	case o.TLSConfig != nil:
		if alert := alertFrom(o.InitAddress[0], o.TLSConfig); alert != nil {
			return fmt.Errorf("the Redis server refuses the client certificate, or wants one: name it by ?cert=file&key=file in the URL: %w", alert)
		}
	case o.DialCtxFn == nil && answersTLS(o.InitAddress[0]):
		return fmt.Errorf("the Redis server speaks TLS at %s: say rediss:// in place of redis://", o.InitAddress[0])
	}
	return nil
}

// answersPlain tells whether a server speaks Redis' protocol without TLS. Redis waits
// for the rest of what it cannot parse, so the failed handshake does not tell.
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

// answersTLS tells whether a server speaks TLS, with whatever certificate.
func answersTLS(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake() == nil // nothing is said to it
}

// alertFrom returns the alert with which a server refuses TLS after the handshake, as
// version 1.3 does for a client's certificate; nil: there is none. It sends nothing,
// since a client that has may see a reset instead.
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
