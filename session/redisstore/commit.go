package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"lumos/backend/session"
)

const (
	// leastTTL is the shortest time to live: sessions in use are touched once a second.
	leastTTL = 2 * time.Second
	// usedTTL is the shortest time to live while a reply runs or somebody has or
	// watches the session, however short Config.TTL is: these are touched regularly.
	usedTTL = time.Minute
	// graveTTL is how long a deletion is remembered.
	graveTTL = time.Minute
	// followFor is how long a node stays registered in followers without renewal.
	followFor = 30 * time.Second
)

// life returns the time to live of a conversation with this head.
func (s *Store) life(h *session.Head) time.Duration {
	switch ttl := max(s.cfg.TTL, leastTTL); {
	case h.Running != nil, h.Conn != nil:
		return max(ttl, usedTTL)
	case h.Count == 0:
		return min(ttl, session.EmptyTTL)
	default:
		return ttl
	}
}

// Commit implements session.Backend.
func (s *Store) Commit(ctx context.Context, id uuid.UUID, was *session.Conversation, ch *session.Change) error {
	var before session.Head
	if was != nil {
		before = was.Head
	}
	begins := s.writes(&ch.Head) && (before.Running == nil || before.Running.Fence != ch.Running.Fence)
	if begins && !s.checking.Load() {
		if err := s.awaitSubscription(ctx); err != nil {
			return err
		}
	}
	answer, err := s.run(ctx, commitScript, keysOf(id), s.commitArgs(id, &before, ch))
	if err != nil {
		return err
	}
	made, err := answer.AsInt64()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	case made == 0:
		return session.ErrConflict
	}
	s.trackOwn(id, &ch.Head)
	return nil
}

// writes tells whether this node writes the reply that runs.
func (s *Store) writes(h *session.Head) bool {
	return h.Running != nil && session.FenceNode(h.Running.Fence) == s.node
}

// commitArgs returns the arguments of commit.lua.
func (s *Store) commitArgs(id uuid.UUID, before *session.Head, ch *session.Change) []string {
	deletes := ch.Born == ""
	starts := ch.Running != nil && (before.Running == nil || before.Running.Reply != ch.Running.Reply)
	grows := before.Born == "" || starts // anything else is taken by a full Redis, too
	had, has := ch.Had, -1
	switch {
	case starts:
		has = 0
	case had >= 0:
		has = ch.Has
	}
	ends := had >= 0 && ch.Running == nil && len(ch.Add) == 1
	holder := ""
	if ch.Running != nil {
		holder = fenceValue(ch.Running.Fence, ch.Running.Reply)
	}
	life := millis(s.life(&ch.Head))
	args := make([]string, 0, 32)
	args = append(args, before.Version, ch.Version, flag(grows && !deletes), life, millis(graveTTL), holder,
		strconv.Itoa(had), strconv.Itoa(has), flag(ends))
	if deletes {
		args = append(args, "0")
	} else {
		claim := ""
		if ch.Key != uuid.Nil {
			claim = session.ClaimName(ch.Owner, ch.Key)
		}
		args = append(args, "8", "state", rueidis.BinaryString(mustJSON(ch.Head)), "format", strconv.Itoa(format),
			"life", life, "claim", claim)
	}
	args = append(args, strconv.Itoa(len(ch.Add)))
	for i := range ch.Add {
		m := &ch.Add[i]
		content := m.Content
		if ends {
			content = content[min(had, len(content)):] // the text key has the rest
		}
		args = append(args, record(m, content))
	}
	args = append(args, s.node, "changed "+id.String())
	for _, h := range []*session.Head{before, &ch.Head} {
		if h.Running != nil && h.Running.Fence != "" {
			args = append(args, session.FenceNode(h.Running.Fence))
		}
		if h.Conn != nil {
			args = append(args, h.Conn.Node)
		}
	}
	return args
}

// Claim implements session.Backend. At first a claim lives as long as an empty session; Touch
// slides it with its session, by a command of its own since it is in another slot.
func (s *Store) Claim(ctx context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error) {
	life := s.life(new(session.Head)) + time.Minute
	answer, err := s.run(ctx, claimScript, []string{idemKey(key)}, []string{id.String(), stale.String(), millis(life)})
	if err != nil || id == uuid.Nil {
		return id, err
	}
	found, err := answer.ToString()
	if err == nil {
		id, err = uuid.Parse(found)
	}
	if err != nil {
		return id, fmt.Errorf("%w: an idempotency key is malformed: %w", session.ErrUnavailable, err)
	}
	return id, nil
}

// Touch implements session.Backend.
func (s *Store) Touch(ctx context.Context, used []session.Use) (changed []uuid.UUID, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", session.ErrUnavailable, err)
	}
	commands := make([]rueidis.Completed, len(used))
	for i, u := range used {
		commands[i] = touchScript.command(c, keysOf(u.ID), []string{
			s.node, flag(u.Held), millis(followFor), flag(u.Claimed), millis(usedTTL),
		})
	}
	var claims []rueidis.Completed
	for i, result := range s.pipeline(ctx, c, commands) {
		got, failed := result.AsStrSlice()
		if failed == nil && len(got) != 3 {
			failed = errors.New("the answer is malformed")
		}
		if failed != nil {
			err = fmt.Errorf("%w: failed to slide a session's time to live: %w", session.ErrUnavailable, failed)
			continue
		}
		if got[0] != used[i].Version {
			changed = append(changed, used[i].ID)
		}
		if life, err := strconv.ParseInt(got[2], 10, 64); err == nil && got[1] != "" {
			claims = append(claims, c.B().Pexpire().Key(idemKey(got[1])).Milliseconds(life+time.Minute.Milliseconds()).Build())
		}
	}
	if len(claims) > 0 {
		s.pipeline(ctx, c, claims) // a failed one slides the next time
	}
	if len(changed) > 0 {
		return changed, nil // the next Touch repeats what failed
	}
	return nil, err
}
