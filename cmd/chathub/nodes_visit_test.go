package main

import (
	"errors"
	"fmt"
	"time"
)

// bySocket asks over a WebSocket.
func (v *visitor) bySocket(t turn) error {
	if err := v.open(t); err != nil {
		return err
	}
	stopped := false
	return v.onSocket(t, func() (bool, error) {
		at := v.page.find(t.id)
		if at < 0 {
			return false, v.page.write(frame{Type: "message", ID: t.id, Content: t.said})
		}
		if at+1 == len(v.page.messages) {
			return false, nil
		}
		m := v.page.messages[at+1]
		if err := v.shown(t, m.ID, m.Content); err != nil {
			return false, err
		}
		if m.partial {
			if t.stop >= 0 && len(m.Content) > t.stop && !stopped {
				stopped = true
				return false, v.page.write(frame{Type: "stop", ID: t.id})
			}
			return false, nil
		}
		if m.FinishReason == "error" {
			v.sum.Anew++
			return false, v.page.write(frame{Type: "message", ID: t.id, Content: t.said})
		}
		return true, nil
	})
}

// regenerate has the reply to a turn written anew.
func (v *visitor) regenerate(t turn, had int) error {
	of := v.page.last().ID
	t.deadline = time.Now().Add(turnPatience)
	v.sum.Regenerated++
	sent := (*wire)(nil)
	return v.onSocket(t, func() (bool, error) {
		m := v.page.last()
		if m.ID == of && v.page.wire != sent {
			sent = v.page.wire
			return false, v.page.write(frame{Type: "regenerate", Of: of})
		}
		if m.ID == of || m.Role != "assistant" {
			return false, nil
		}
		if err := v.shown(t, m.ID, m.Content); err != nil {
			return false, err
		}
		if m.partial {
			return false, nil
		}
		if m.FinishReason == "error" {
			v.sum.Anew++
			return false, v.page.write(frame{Type: "message", ID: t.id, Content: t.said})
		}
		return true, v.ended(t, m, had)
	})
}

// onSocket has the page connected, wherever, and calls act once it is and
// behind every frame, until that is done. What comes twice is said twice: the
// ids make it once.
func (v *visitor) onSocket(t turn, act func() (bool, error)) error {
	p := &v.page
	for {
		err := v.connect()
		done := false
		for err == nil && !done {
			if p.welcome {
				v.strayed = false
				if done, err = act(); done || err != nil {
					break
				}
			}
			if v.rng.IntN(150) == 0 {
				err = broken{errDropped}
				break
			}
			var f frame
			if f, err = p.read(time.Duration(500+v.rng.IntN(6000)) * time.Millisecond); err == nil {
				err = v.refused(f)
			}
		}
		if done {
			return err
		}
		// A frame that could not be sent is a broken connection, too.
		var wrong violation
		if errors.As(err, &wrong) {
			return err
		}
		switch code := closeCode(err); {
		case code == 4001 && !v.strayed:
			// An attempt that the page had given up got through late, at a node
			// that was paused or waited for Redis. The page takes over from itself.
			v.strayed = true
			v.sum.Strayed++
		case code == 4001 || code == 4404 || code >= 1002 && code <= 1009:
			return fmt.Errorf("closed with %d: %w", code, err)
		}
		p.hang()
		if err := v.again(t, err); err != nil {
			return err
		}
	}
}

// connect connects the page if it is away, or, now and then, anew.
func (v *visitor) connect() error {
	p := &v.page
	if p.wire != nil && v.rng.IntN(4) > 0 {
		return nil
	}
	drop := 0
	if v.rng.IntN(3) == 0 {
		drop = 200 + v.rng.IntN(8000)
	}
	if len(p.messages) > 0 {
		v.sum.Resumed++
	}
	q := p.query()
	if v.strayed {
		q.Set("again", "1")
	}
	return p.dialQuery(v.anywhere(), q.Encode(), drop)
}

// refused judges an error frame that touches no reply.
func (v *visitor) refused(f frame) error {
	if f.Type != "error" || f.ID != "" {
		return nil
	}
	switch f.Code {
	case "store_unavailable", "draining":
		return broken{errors.New(f.Code)} // say it again, elsewhere
	}
	return violation{fmt.Errorf("refused: %s %s", f.Code, f.ErrorText)}
}

// reached holds that a turn is stored as it was shown, and brings the page to
// where the conversation is.
func (v *visitor) reached(t turn, had int) error {
	v.sum.Replies++
	a, err := v.ask(t, "GET", "/sessions/"+v.page.session, nil, nil)
	if err != nil {
		return err
	}
	stored, err := a.messages()
	if err != nil {
		return err
	}
	if len(stored) != had+2 || stored[had].ID != t.id || stored[had].Content != t.said {
		return fmt.Errorf("%d messages are stored, want %d", len(stored), had+2)
	}
	held := v.page.messages
	if n := len(held); n > had && held[n-1].partial {
		held = held[:had] // it was not the page that saw the end
	}
	if d := differs(held, stored[:len(held)]); d != "" {
		return errors.New(d)
	}
	if len(held) < len(stored) && v.page.wire != nil {
		v.page.hang() // it would be told, too; but when is not known
	}
	v.page.messages = stored
	return v.ended(t, stored[had+1], had)
}

// ended holds that a reply has its whole text, or, if it was stopped, at least
// what was shown of it.
func (v *visitor) ended(t turn, m *message, had int) error {
	switch {
	case m.FinishReason == "stop" && m.Content == t.text:
	case m.FinishReason == "stopped" && t.stop >= 0:
	default:
		return fmt.Errorf("message %d ended as %s: %s", had+1, m.FinishReason, textDiff(m.Content, t.text))
	}
	if err := v.shown(t, m.ID, m.Content); err != nil {
		return err
	}
	if shown := v.seen[m.ID]; len(shown) > len(m.Content) {
		return fmt.Errorf("%d bytes were shown, %d are stored", len(shown), len(m.Content))
	}
	return nil
}
