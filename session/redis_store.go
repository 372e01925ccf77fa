package session

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// Create implements Store. A key that was used finds its session through
// idem:<owner>:<key>, which has a slot of its own: it is set first, so that of
// two requests one decides on the session's id, and both make that. It can
// outlive its session, whose id somebody else may have by then: that one is not
// this key's, and the key is claimed anew.
func (r *Redis) Create(ctx context.Context, c Creation) (Session, error) {
	made := uuid.New()
	if c.Key == uuid.Nil {
		s, _, err := r.create(ctx, c, made, "")
		return s, err
	}
	key := c.Key.String()
	for stale := ""; ; {
		id, err := r.claimKey(ctx, idemKey(c.Owner, key), c.ID, stale)
		if err != nil {
			return Session{}, fullOr(err)
		}
		c.ID = id
		s, ok, err := r.create(ctx, c, made, key)
		if err != nil || ok {
			return s, err
		}
		stale, c.ID = id.String(), uuid.New()
	}
}

// create makes or finds the session c.ID; ok is false where that is not the
// session that the key made.
func (r *Redis) create(ctx context.Context, c Creation, born uuid.UUID, key string) (s Session, ok bool, err error) {
	status, rest, err := r.step(ctx, createScript, Ref{c.ID, born}, stamp(Now()), c.Owner, key)
	if err != nil {
		return Session{}, false, fullOr(err)
	}
	if status == "other" {
		return Session{}, false, nil
	}
	s, err = readSession(c.ID, rest)
	return s, err == nil, err
}

func fullOr(err error) error {
	if errors.Is(err, errRedisFull) {
		return ErrFull
	}
	return err
}

func idemKey(owner, key string) string { return "idem:" + key + ":" + owner }

// claimKey returns the id that a key stands for: id, unless it has one that is
// not stale.
func (r *Redis) claimKey(ctx context.Context, key string, id uuid.UUID, stale string) (uuid.UUID, error) {
	// Twice a session's life: what is asked again so late has expired anyway.
	life := millis(2 * r.cfg.TTL)
	err := r.try(ctx, func(ctx context.Context, c rueidis.Client) error {
		claim := c.B().Evalsha().Sha1(claimScript.sha).Numkeys(1).Key(key).Arg(id.String(), stale, life).Build()
		old, err := c.Do(ctx, claim).ToString()
		if err != nil {
			return err
		}
		if id, err = uuid.Parse(old); err != nil {
			return permanent{err}
		}
		return nil
	})
	return id, err
}

// Find implements Store.
func (r *Redis) Find(ctx context.Context, id uuid.UUID) (Session, error) {
	return r.Get(ctx, Ref{id, anyBorn}, End)
}

// Get implements Store.
func (r *Redis) Get(ctx context.Context, ref Ref, after Position) (Session, error) {
	status, rest, err := r.step(ctx, getScript, ref, idOrNone(after.ID), strconv.FormatInt(after.Seq, 10))
	switch {
	case err != nil:
		return Session{}, err
	case status == "not found":
		return Session{}, ErrNotFound
	}
	return readSession(ref.ID, rest)
}

// readSession reads what create.lua and get.lua return.
func readSession(id uuid.UUID, rest []rueidis.RedisMessage) (Session, error) {
	a := &answer{rest: rest}
	s := Session{ID: id}
	if f := a.strings(); len(f) == 4 {
		s.CreatedAt, s.UpdatedAt = time.UnixMilli(a.int(f[0])).UTC(), time.UnixMilli(a.int(f[1])).UTC()
		s.Owner, s.Born = f[2], a.id(f[3])
	}
	s.Running = a.running()
	s.After = Position{ID: a.id(a.string()), Seq: a.int(a.string())}
	s.Messages = a.messages()
	return s, a.err
}

// idOrNone returns id for a script; the nil one is "".
func idOrNone(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

var turnKinds = map[TurnKind]string{Submit: "submit", Edit: "edit", Regenerate: "regenerate", Again: "again"}

// Say implements Store.
func (r *Redis) Say(ctx context.Context, ref Ref, t Turn) (Said, error) {
	w := r.expect(ref, t.Reply)
	defer r.forgetExpected(w) // unless it was begun
	status, rest, err := r.step(ctx, sayScript, ref, stamp(Now()), turnKinds[t.Kind],
		idOrNone(t.User.ID), headerOf(Message{ID: t.User.ID, Timestamp: t.User.Timestamp}), t.User.Content,
		idOrNone(t.Of), t.Reply.String(), t.Model, w.lease, millis(leaseTTL), strconv.Itoa(r.cfg.History), strconv.Itoa(t.Most))
	switch {
	case err != nil:
		return Said{}, err
	case status == "not found":
		return Said{}, ErrNotFound
	case status == "busy":
		return Said{}, ErrBusy
	case status == "reused":
		return Said{}, ErrReused
	case status == "long":
		return Said{}, ErrLong
	case status == "nothing":
		return Said{}, ErrNothing
	case status == "done":
		return Said{Done: true}, nil
	}
	a := &answer{rest: rest}
	said := readSaid(a, status == "ended")
	lease := a.string()
	if a.err != nil {
		return Said{}, a.err
	}
	if status == "started" {
		said.Started = true
		r.begin(w, lease)
	} else {
		said.History = nil
		if status == "ended" {
			said.Running = nil
		}
	}
	return said, nil
}

// readSaid reads the user message, the one before, the running reply, the
// ended one, and the history, newest first.
func readSaid(a *answer, ended bool) Said {
	said := Said{User: a.message(a.string()), Before: a.id(a.string()), Running: a.running()}
	record := a.string()
	if ended {
		m := a.message(record)
		said.Ended = &m
	}
	said.History = a.newestLast()
	return said
}

// Finish implements Store.
func (r *Redis) Finish(ctx context.Context, ref Ref, m Message) error {
	m.Role = Assistant
	r.ending(m.ID, true) // an append that comes too late is no loss
	defer r.ending(m.ID, false)
	lease, at := r.writing(m.ID)
	for {
		at = min(at, len(m.Content))
		status, rest, err := r.step(ctx, finishScript, ref, stamp(Now()), m.ID.String(), lease,
			kindOf(m), headerOf(m), strconv.Itoa(at), m.Content[at:], strconv.Itoa(len(m.Content)))
		if err != nil {
			return err
		}
		if status == "behind" {
			a := &answer{rest: rest}
			if at = int(a.int(a.string())); a.err != nil {
				return a.err
			}
			continue
		}
		w := r.forgetWriter(ref, m.ID)
		switch status {
		case "not found":
			return ErrNotFound
		case "lost":
			if w != nil {
				r.warnLost(w)
			}
			return ErrLost
		}
		return nil
	}
}

// Stop implements Log.
func (r *Redis) Stop(ctx context.Context, ref Ref, m Message) (Message, error) {
	status, rest, err := r.step(ctx, stopScript, ref, stamp(Now()), m.ID.String(), headerOf(m))
	switch {
	case err != nil:
		return Message{}, err
	case status == "not found":
		return Message{}, ErrNotFound
	case status == "lost":
		return Message{}, ErrLost
	}
	a := &answer{rest: rest}
	stored := a.message(a.string())
	r.ended(m.ID)
	return stored, a.err
}

// Delete implements Store.
func (r *Redis) Delete(ctx context.Context, ref Ref) error {
	status, rest, err := r.step(ctx, deleteScript, ref, randomName())
	switch {
	case err != nil:
		return err
	case status == "not found":
		return ErrNotFound
	}
	a := &answer{rest: rest}
	owner, key := a.string(), a.string()
	r.endAll(ref)
	if key != "" {
		// The session is deleted whatever becomes of this: a key that stays
		// makes the session anew under its old id.
		_ = r.try(ctx, func(ctx context.Context, c rueidis.Client) error {
			return c.Do(ctx, c.B().Del().Key(idemKey(owner, key)).Build()).Error()
		})
	}
	return a.err
}
