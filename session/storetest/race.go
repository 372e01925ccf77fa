package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// raceCases do things at once; the race detector looks on.
var raceCases = []storeCase{
	{"the same message twenty times at once starts one reply", func(c *Talk) {
		turn := Submit("hi")
		var started atomic.Int32
		replies := make([]uuid.UUID, 20)
		AtOnce(len(replies), func(i int) {
			said, err := c.Say(c.ctx, c.Ref, fresh(turn))
			if err != nil {
				c.Error(err)
				return
			}
			replies[i] = said.Running.Reply
			if said.Started {
				started.Add(1)
			}
		})
		c.equal("started", started.Load(), int32(1))
		for _, r := range replies {
			c.equal("reply", r, replies[0])
		}
	}},
	{"twenty messages at once start one reply", func(c *Talk) {
		var started, busy atomic.Int32
		AtOnce(20, func(i int) {
			_, err := c.Say(c.ctx, c.Ref, Submit(fmt.Sprint(i)))
			switch {
			case err == nil:
				started.Add(1)
			case errors.Is(err, session.ErrBusy):
				busy.Add(1)
			default:
				c.Error(err)
			}
		})
		c.equal("started, busy", []int32{started.Load(), busy.Load()}, []int32{1, 19})
	}},
	{"a key ten times at once makes one session", func(c *Talk) {
		key := uuid.New()
		ids := make([]uuid.UUID, 10)
		AtOnce(len(ids), func(i int) {
			s, err := c.Create(c.ctx, session.Creation{ID: uuid.New(), Owner: "ann", Key: key})
			if err != nil {
				c.Error(err)
			}
			ids[i] = s.ID
		})
		for _, id := range ids {
			c.equal("id", id, ids[0])
		}
	}},
	{"a reply is finished once", func(c *Talk) {
		turn := Submit("hi")
		c.Start(turn)
		c.texts[turn.Reply].Append([]byte("same"))
		AtOnce(10, func(i int) {
			if err := c.end(turn.Reply, "same", session.FinishStop); err != nil {
				c.Error(err)
			}
		})
		c.WantTexts(session.Position{}, "hi", "same")
	}},
	{"anything at once leaves whole rounds", func(c *Talk) {
		AtOnce(6, func(i int) {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for n := range 12 {
				s, err := c.Sessions.Get(c.ctx, c.Ref, session.Position{Seq: rng.Int64N(40)})
				if err != nil {
					c.Error(err)
					return
				}
				some := Submit("some").User
				if len(s.Messages) > 0 {
					some = s.Messages[rng.IntN(len(s.Messages))]
				}
				turn := []session.Turn{Submit(fmt.Sprint(i, n)), regenerate(uuid.Nil), again(some), edit(some.ID, "e")}[rng.IntN(4)]
				said, err := c.Say(c.ctx, c.Ref, turn)
				if err != nil || !said.Started {
					continue
				}
				last := said.History[len(said.History)-1]
				if err := c.end(turn.Reply, "re: "+last.Content, session.FinishStop); err != nil {
					c.Error(err)
				}
			}
		})
		all := c.View(session.Position{}).Messages
		if len(all) == 0 || len(all)%2 != 0 {
			c.Fatalf("%d messages", len(all))
		}
		seq := int64(0)
		for i, m := range all {
			if m.Seq <= seq {
				c.Errorf("message %d has seq %d behind %d", i, m.Seq, seq)
			}
			seq = m.Seq
			if i%2 == 1 && m.Content != "re: "+all[i-1].Content {
				c.Errorf("%q answers %q", m.Content, all[i-1].Content)
			}
		}
	}},
}

// AtOnce runs f for 0 to n-1 at the same time and waits for all.
func AtOnce(n int, f func(i int)) {
	var group sync.WaitGroup
	gate := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-gate
			f(i)
		})
	}
	close(gate)
	group.Wait()
}
