package redisstore

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"

	"lumos/backend/session"
)

const (
	// maxAppend and maxRead bound the text of one append and of one read, in bytes.
	maxAppend = 64 << 10
	maxRead   = 256 << 10
	// maxTogether is how many texts one script appends to, at most.
	maxTogether = 64
	// askEvery is how often an append asks whether the conversation has changed. A
	// hint tells sooner, but may be lost.
	askEvery = time.Second
)

// ownText is what the store remembers of a reply that this node writes.
type ownText struct {
	fence   string
	version string    // of the conversation, as this node last committed or loaded it
	asked   time.Time // when an append last compared the version
	keys    []string  // see keysOf
}

// trackOwn notes the conversation's version, if this node writes its reply.
func (s *Store) trackOwn(id uuid.UUID, h *session.Head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch w := s.ownTexts[id]; {
	case h == nil || !s.writes(h):
		delete(s.ownTexts, id)
	case w == nil || w.fence != h.Running.Fence:
		s.ownTexts[id] = &ownText{fence: h.Running.Fence, version: h.Version, asked: time.Now(), keys: keysOf(id)}
	default:
		w.version = h.Version
	}
}

// ownTextOf returns the keys of a text's conversation, and, once in askEvery, the version
// that the append is to compare; "": none.
func (s *Store) ownTextOf(t *session.Text, now time.Time) (keys []string, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.ownTexts[t.Ref.ID]
	if w == nil || w.fence != t.Fence {
		return keysOf(t.Ref.ID), ""
	}
	if now.Sub(w.asked) >= askEvery {
		w.asked, version = now, w.version
	}
	return w.keys, version
}

// Append implements session.Backend.
func (s *Store) Append(ctx context.Context, texts []*session.Text) {
	shared, err := s.connect(ctx)
	if err != nil {
		s.warn(err)
		return // neither Saved nor Moved is called, which means that it failed
	}
	together, cluster := maxTogether, shared.Mode() == rueidis.ClientModeCluster
	if cluster {
		together = 1 // each conversation has its slot
	}
	groups := slices.Collect(slices.Chunk(texts, together))
	c := rueidis.CoreClient(shared)
	if ctx.Done() == nil && !cluster && s.appendConn.mu.TryLock() {
		defer s.appendConn.mu.Unlock()
		c = s.appendConn.open(shared)
	} else {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, s.limit)
		defer cancel()
	}
	commands := make([]rueidis.Completed, len(groups))
	stored := make([][]int, len(groups))
	for i, group := range groups {
		commands[i], stored[i] = s.appendCommand(c, group)
	}
	failed := false
	push := len(groups) == 1 // followers of so few are served before the next batch
	for i, result := range s.pipeline(ctx, c, commands) {
		sizes, err := result.AsIntSlice()
		if err != nil || len(sizes) != len(groups[i]) {
			failed = true
			continue
		}
		for j, t := range groups[i] {
			s.appended(t, stored[i][j], int(sizes[j]), push)
		}
	}
	if failed && c != rueidis.CoreClient(shared) {
		s.appendConn.close() // the Redis that it leads to may have become a replica
	}
}

// appended passes append.lua's answer for a text on to it. Redis had the text's first
// stored bytes before.
func (s *Store) appended(t *session.Text, stored, size int, push bool) {
	if size == -1 {
		t.Moved()
		return
	}
	if size < -1 {
		t.Changed()
		size = -2 - size
	}
	if size < stored {
		s.lostText.Do(func() {
			s.cfg.Logger.Warn("Redis lost text of a running reply; it is appended again",
				slog.String("session", t.Ref.ID.String()[:8]), slog.Int("bytes", stored-size))
		})
	}
	t.Saved(size, push)
}

// appendCommand returns the call of append.lua for some texts, and how many bytes
// of each Redis had before.
func (s *Store) appendCommand(c rueidis.CoreClient, texts []*session.Text) (_ rueidis.Completed, stored []int) {
	n, now := len(texts), time.Now()
	stored = make([]int, n)
	keys := make([]string, 2*n, 4*n)
	args := make([]string, 4, 4+6*n)
	var buf []byte
	var followed, followers, heads, versions []string
	for i, t := range texts {
		own, version := s.ownTextOf(t, now)
		keys[i], keys[n+i] = own[fenceKey], own[textKey]
		if t.IsFollowedElsewhere() {
			followed, followers = append(followed, strconv.Itoa(i+1)), append(followers, own[followersKey])
		}
		from := len(buf)
		stored[i], buf = t.Unsaved(buf, maxAppend)
		args = append(args, t.Fence, strconv.Itoa(stored[i]), rueidis.BinaryString(buf[from:]))
		if version != "" {
			heads = append(heads, own[headKey])
			versions = append(versions, strconv.Itoa(i+1), version)
		}
	}
	args[0], args[1], args[2], args[3] = s.node, millis(max(s.cfg.TTL, usedTTL)), strconv.Itoa(n), strconv.Itoa(len(followed))
	keys, args = append(append(keys, followers...), heads...), append(append(args, followed...), versions...)
	return appendScript.command(c, keys, args), stored
}

// Read implements session.Backend.
func (s *Store) Read(ctx context.Context, texts []*session.Text) {
	c, err := s.connect(ctx)
	if err != nil {
		s.warn(err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	commands := make([]rueidis.Completed, len(texts))
	from := make([]int, len(texts))
	for i, t := range texts {
		from[i] = t.Appended()
		commands[i] = s.readCommand(c, t, from[i])
	}
	for i, result := range s.pipeline(ctx, c, commands) {
		got, err := result.ToArray()
		switch {
		case err != nil:
		case len(got) == 0:
			texts[i].Moved()
		case len(got) == 2:
			size, err := got[0].AsInt64()
			if text, failed := got[1].ToString(); err == nil && failed == nil {
				texts[i].Stored(from[i], []byte(text), int(size))
			}
		}
	}
}

// readCommand returns the call of read.lua for a text that has from bytes here.
func (s *Store) readCommand(c rueidis.CoreClient, t *session.Text, from int) rueidis.Completed {
	node := session.FenceNode(t.Fence)
	if node == s.node {
		node = ""
	}
	return readScript.command(c, keysOf(t.Ref.ID)[fenceKey:], []string{
		s.node, millis(followFor), fenceValue(t.Fence, t.Reply), strconv.Itoa(from), strconv.Itoa(maxRead),
		node, "follows " + t.Ref.ID.String() + " " + t.Fence,
	})
}
