package session

import (
	"context"
	"slices"
	"time"
)

// unusedFor is how long a session must be unused before evict may delete it.
const unusedFor = time.Hour

// ttl is how long a conversation lives after it was used.
func (m *Manager) ttl(c *Conversation) time.Duration {
	if c.empty() {
		return min(m.cfg.TTL, EmptyTTL)
	}
	return m.cfg.TTL
}

// use notes a use, which slides the time to live. The cell is locked.
func (e *cell) use() { e.used = time.Now() }

// expire deletes a session whose time to live is over, if Kind.Alone. The cell is locked.
func (m *Manager) expire(e *cell) {
	if !m.kind.Alone || !e.there() || e.c.Running != nil || e.holds > 0 || !time.Now().After(e.used.Add(m.ttl(e.c))) {
		return
	}
	m.drop(e)
}

// drop deletes a session that has expired or must make room. If the store fails, the
// next access tries again.
func (m *Manager) drop(e *cell) {
	m.rescue("forgetting a session", e.id, func() {
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		defer cancel()
		_ = m.commit(ctx, e, e.c.deletion())
	})
}

// weigh notes how much memory the cell takes.
func (m *Manager) weigh(e *cell) {
	const perSession, perMessage = 1 << 10, 300
	size := int64(0)
	if e.there() {
		size = perSession + e.c.Bytes + perMessage*int64(len(e.c.messages))
	}
	m.bytes.Add(size - e.size)
	e.size = size
}

// Len returns the number of sessions, Bytes about how much memory they take, if Kind.Alone.
func (m *Manager) Len() int     { return int(m.count.Load()) }
func (m *Manager) Bytes() int64 { return m.bytes.Load() }

// makeRoom counts one session more, and evicts others if it must. mine, its cell, is
// locked. Errors: ErrFull.
func (m *Manager) makeRoom(mine *cell) error {
	if m.count.Add(1); !m.tooMuch() {
		return nil
	}
	m.evict(mine)
	if m.tooMuch() {
		m.count.Add(-1)
		return ErrFull
	}
	return nil
}

// roomToSay makes room for something that is said in mine, which is locked, if the
// sessions take too much memory. Errors: ErrFull.
func (m *Manager) roomToSay(mine *cell) error {
	if !m.kind.Alone || !m.tooLarge() {
		return nil
	}
	if m.evict(mine); m.tooLarge() {
		return ErrFull
	}
	return nil
}

func (m *Manager) tooMuch() bool {
	return m.cfg.Sessions > 0 && m.count.Load() > int64(m.cfg.Sessions) || m.tooLarge()
}

func (m *Manager) tooLarge() bool { return m.cfg.Bytes > 0 && m.bytes.Load() > m.cfg.Bytes }

// evict deletes sessions until there is room and some to spare, so that not every creation
// scans all cells: first empty ones, then those that are unused for unusedFor, the longest
// unused first. After a scan in vain it does nothing for a second.
func (m *Manager) evict(mine *cell) {
	now := time.Now()
	m.mu.Lock()
	vain := now.Before(m.full)
	m.mu.Unlock()
	if vain {
		return
	}
	type candidate struct {
		e     *cell
		empty bool
		used  time.Time
	}
	var all []candidate
	m.cells.Range(func(_, v any) bool {
		e := v.(*cell)
		if e == mine {
			return true
		}
		if !e.lock.TryLock() {
			return true // it is in use
		}
		if e.there() && !e.gone && e.holds == 0 && e.c.Running == nil {
			c := candidate{e, e.c.empty(), e.used}
			if c.empty || now.Sub(c.used) >= unusedFor {
				all = append(all, c)
			}
		}
		e.lock.Unlock()
		return true
	})
	slices.SortFunc(all, func(a, b candidate) int {
		if a.empty != b.empty {
			if a.empty {
				return -1
			}
			return 1
		}
		return a.used.Compare(b.used)
	})
	spare := 1 + m.cfg.Sessions/1000
	for _, c := range all {
		if !m.tooMuch() {
			if spare--; spare <= 0 || !c.empty {
				break
			}
		}
		if !c.e.lock.TryLock() {
			continue
		}
		if c.e.there() && !c.e.gone && c.e.holds == 0 && c.e.c.Running == nil && c.e.c.empty() == c.empty {
			m.drop(c.e)
		}
		m.release(c.e)
	}
	if m.tooMuch() {
		m.mu.Lock()
		m.full = now.Add(time.Second)
		m.mu.Unlock()
	}
}
