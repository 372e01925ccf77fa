package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"

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
	keep    int // how many known messages the log still begins with
	log     []session.Message
	part    []byte // the beginning of a record that the next piece continues
	at, off int    // where the next piece begins: index of the record, and byte in it
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
	l := loading{keep: n, at: n}
	keys := keysOf(id)[:logKey+1]
	for {
		args := []string{known, strconv.Itoa(n), last, strconv.Itoa(l.at), strconv.Itoa(l.off), strconv.Itoa(maxPiece)}
		answer, err := s.run(ctx, loadScript, keys, args)
		if err != nil {
			return nil, err
		}
		got, err := answer.AsStrSlice()
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", session.ErrUnavailable, err)
		case len(got) == 0:
			return nil, session.ErrNotFound
		case len(got) == 1 && l.version == "":
			if known == got[0] && have.Born != "" {
				return have, nil
			}
			return session.Grave(got[0]), session.ErrNotFound
		case len(got) == 1:
			return nil, errAltered
		}
		whole, err := l.add(got)
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
func (l *loading) add(got []string) (whole bool, err error) {
	const numbers = 5
	if len(got) < 2+numbers {
		return false, fmt.Errorf("%w: a conversation's answer is too short", session.ErrUnavailable)
	}
	version, state, records := got[0], got[1], got[2+numbers:]
	var written, count, first int
	for i, n := range [numbers]*int{&written, &count, &first, &l.at, &l.off} {
		if *n, err = strconv.Atoi(got[2+i]); err != nil {
			return false, fmt.Errorf("%w: a conversation's answer is malformed: %w", session.ErrUnavailable, err)
		}
	}
	switch {
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
		if len(l.part) > 0 || i == len(records)-1 && l.off > 0 {
			l.part = append(l.part, r...)
			if i == len(records)-1 && l.off > 0 {
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
	return l.at >= count, nil
}
