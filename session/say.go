package session

import "github.com/google/uuid"

// say does one turn. See Store.Say.
func (e *entry) say(t Turn) (Said, error) {
	if said, ok := e.repeated(t.Reply); ok {
		return said, nil
	}
	switch t.Kind {
	case Edit:
		return e.edit(t)
	case Regenerate:
		return e.regenerate(t)
	case Again:
		return e.again(t)
	}
	if i, ok := e.byID[t.User.ID]; ok {
		return e.submitAgain(i, t)
	}
	if e.running != nil {
		return Said{}, ErrBusy
	}
	return e.ask(t)
}

// repeated answers the very same turn, asked once more.
func (e *entry) repeated(reply uuid.UUID) (Said, bool) {
	if r := e.running; r != nil && r.Reply == reply {
		return e.started(e.byID[r.User.ID]), true
	}
	if i, ok := e.byID[reply]; ok && e.messages[i].Role == Assistant {
		ended := e.messages[i]
		return Said{User: e.messages[i-1], Before: e.before(i - 1), Ended: &ended}, true
	}
	return Said{}, false
}

// submitAgain answers a Submit whose id is known, at index i.
func (e *entry) submitAgain(i int, t Turn) (Said, error) {
	m := e.messages[i]
	if m.Role != User || m.Content != t.User.Content {
		return Said{}, ErrReused
	}
	said := Said{User: m, Before: e.before(i)}
	if e.running != nil && e.running.User.ID == m.ID {
		said.Running = e.running
		return said, nil
	}
	// Behind a message stands its reply: it is stored as soon as it ends, and
	// until then nothing else is said.
	reply := e.messages[i+1]
	if reply.FinishReason != FinishError || i+2 < len(e.messages) || e.running != nil {
		said.Ended = &reply
		return said, nil
	}
	e.cut(i + 1)
	return e.start(i, t), nil
}

func (e *entry) edit(t Turn) (Said, error) {
	if e.running != nil {
		return Said{}, ErrBusy
	}
	if i, ok := e.byID[t.User.ID]; ok {
		if e.messages[i].Role != User {
			return Said{}, ErrReused
		}
		if t.tooMany(i) {
			return Said{}, ErrLong
		}
		e.cut(i)
	}
	said, err := e.ask(t)
	if err == nil {
		e.setEdited(t.User.ID) // also if it was cut meanwhile: somebody may know its old place
	}
	return said, err
}

func (e *entry) regenerate(t Turn) (Said, error) {
	if t.Of != uuid.Nil {
		if _, ok := e.byID[t.Of]; !ok && (e.running == nil || e.running.Reply != t.Of) {
			return Said{Done: true}, nil
		}
	}
	if e.running != nil {
		return Said{}, ErrBusy
	}
	last := len(e.messages) - 1
	if last < 0 || t.Of != uuid.Nil && e.messages[last].ID != t.Of {
		return Said{}, ErrNothing
	}
	e.cut(last)
	return e.start(last-1, t), nil
}

func (e *entry) again(t Turn) (Said, error) {
	if e.running != nil {
		return Said{}, ErrBusy
	}
	i, ok := e.byID[t.Of]
	if !ok || e.messages[i].Role != User {
		return Said{}, ErrNothing
	}
	e.cut(i + 1)
	return e.start(i, t), nil
}

// tooMany tells whether a message and its reply are too many behind had others.
func (t *Turn) tooMany(had int) bool { return t.Most > 0 && had+2 > t.Most }

// ask appends t.User and starts its reply.
func (e *entry) ask(t Turn) (Said, error) {
	if t.tooMany(len(e.messages)) {
		return Said{}, ErrLong
	}
	t.User.Role = User
	t.User.Seq = e.nextSeq()
	e.append(t.User)
	return e.start(len(e.messages)-1, t), nil
}

// start makes t.Reply the running reply to the message at index i, the last.
func (e *entry) start(i int, t Turn) Said {
	e.running = &Running{Reply: t.Reply, User: e.messages[i].Position(), Seq: e.nextSeq(), Model: t.Model}
	e.updated = Now()
	return e.started(i)
}

// started tells that the reply to the message at index i is running.
func (e *entry) started(i int) Said {
	return Said{
		User: e.messages[i], Before: e.before(i), Started: true, Running: e.running,
		History: e.messages[: i+1 : i+1],
	}
}

func (e *entry) before(i int) uuid.UUID {
	if i == 0 {
		return uuid.Nil
	}
	return e.messages[i-1].ID
}

// finish makes the running reply the message m. See Store.Finish.
func (e *entry) finish(m Message) error {
	if e.running == nil || e.running.Reply != m.ID {
		if _, stored := e.byID[m.ID]; stored {
			return nil
		}
		return ErrLost
	}
	m.Role, m.Seq = Assistant, e.running.Seq
	e.running = nil
	e.append(m)
	return nil
}
