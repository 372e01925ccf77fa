package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"lumos/backend/session"
)

// maxPiece bounds the records in one answer, in bytes. Redis serves nobody else while
// it makes one.
const maxPiece = 1 << 20

// errAltered is returned when the conversation changes between two pieces.
var errAltered = errors.New("the conversation has changed")

// loading is a conversation of which some pieces have arrived.
type loading struct {
	version string // of the conversation; "": no piece has arrived
	head    session.Head
	keep    int // how many of the known messages are still the log's beginning
	log     []session.Message
	part    []byte // the beginning of a record that the next piece continues
}

// Load implements session.Backend.
func (s *Store) Load(ctx context.Context, id uuid.UUID, have *session.Conversation) (*session.Conversation, error) {
	for {
		c, err := s.loadOnce(ctx, id, have)
		switch {
		case err == nil:
			s.trackOwn(id, &c.Head)
		case errors.Is(err, session.ErrNotFound):
			s.trackOwn(id, nil)
		}
		if !errors.Is(err, errAltered) {
			return c, err
		}
	}
}

func (s *Store) loadOnce(ctx context.Context, id uuid.UUID, have *session.Conversation) (*session.Conversation, error) {
	known, n, last := have.Known()
	l := loading{keep: n}
	keys := keysOf(id)[:logKey+1]
	for at, off := n, 0; ; {
		args := []string{known, strconv.Itoa(n), last, strconv.Itoa(at), strconv.Itoa(off), strconv.Itoa(maxPiece)}
		answer, err := s.run(ctx, loadScript, keys, args)
		if err != nil {
			return nil, err
		}
		got, err := answer.ToArray()
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", session.ErrUnavailable, err)
		case len(got) == 0:
			return nil, session.ErrNotFound
		case len(got) == 1 && l.version == "":
			version, _ := got[0].ToString()
			if known == version && have.Born != "" {
				return have, nil
			}
			return session.Grave(version), session.ErrNotFound
		case len(got) == 1:
			return nil, errAltered
		}
		whole, err := l.add(got, &at, &off)
		if err != nil {
			return nil, err
		}
		if whole {
			c, err := have.With(l.head, l.keep, l.log)
			if err != nil {
				return nil, fmt.Errorf("session %s… is damaged: %w", id.String()[:8], err)
			}
			return c, nil
		}
		known, n = "", 0 // later pieces do not compare with what is known
	}
}

// add takes one piece, as load.lua returns it, and tells whether it was the last.
// If not, at and off are where the next one begins.
func (l *loading) add(got []rueidis.RedisMessage, at, off *int) (whole bool, err error) {
	a := answer{got: got}
	version, written, state := a.string(), a.int(), a.string()
	count, first := a.int(), a.int()
	*at, *off = a.int(), a.int()
	records := a.strings()
	switch {
	case a.err != nil:
		return false, fmt.Errorf("%w: a conversation's answer is malformed: %w", session.ErrUnavailable, a.err)
	case written > format:
		return false, fmt.Errorf("%w: a session was stored by a newer hub, in format %d; this one knows %d",
			session.ErrUnavailable, written, format)
	case l.version == "":
		l.version, l.keep = version, first
		if err := json.Unmarshal([]byte(state), &l.head); err != nil {
			return false, fmt.Errorf("a session's state is malformed: %w", err)
		}
	case l.version != version:
		return false, errAltered
	}
	for i, r := range records {
		if len(l.part) > 0 || i == len(records)-1 && *off > 0 {
			l.part = append(l.part, r...)
			if i == len(records)-1 && *off > 0 {
				break
			}
			r, l.part = string(l.part), l.part[:0]
		}
		m, err := parseRecord(r)
		if err != nil {
			return false, err
		}
		l.log = append(l.log, m)
	}
	return *at >= count, nil
}

// answer reads a script's answer element by element, and keeps the first error.
type answer struct {
	got []rueidis.RedisMessage
	err error
}

func (a *answer) next() (m rueidis.RedisMessage) {
	if a.err == nil && len(a.got) == 0 {
		a.err = errors.New("it is too short")
	}
	if a.err == nil {
		m, a.got = a.got[0], a.got[1:]
	}
	return m
}

func (a *answer) fail(err error) {
	if a.err == nil && err != nil && !rueidis.IsRedisNil(err) {
		a.err = err
	}
}

// string returns the next element; nil is "".
func (a *answer) string() string {
	m := a.next()
	if a.err != nil {
		return ""
	}
	s, err := m.ToString()
	a.fail(err)
	return s
}

// int returns the next element, a number or a string that is one.
func (a *answer) int() int {
	m := a.next()
	if a.err != nil {
		return 0
	}
	n, err := m.AsInt64()
	a.fail(err)
	return int(n)
}

func (a *answer) strings() []string {
	m := a.next()
	if a.err != nil {
		return nil
	}
	s, err := m.AsStrSlice()
	a.fail(err)
	return s
}
