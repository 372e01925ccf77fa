package hub

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// TestAbandonAfterElsewhere: who follows at another node counts, until the last
// one there has left.
func TestAbandonAfterElsewhere(t *testing.T) {
	t.Parallel()
	const patience = 500 * time.Millisecond
	addr := miniredis.RunT(t).Addr()
	a, b := hubOnRedis(t, addr, patience), hubOnRedis(t, addr, patience)
	begin := func() (session.Ref, *Reply) {
		s, err := a.sessions.New(t.Context(), "", uuid.Nil)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := a.Say(t.Context(), Caller{}, s.Ref(), session.Turn{User: session.Message{Content: "go on"}})
		if err != nil {
			t.Fatal(err)
		}
		return s.Ref(), r
	}
	end := func(r *Reply) *End {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.end
	}
	_, alone := begin()
	conversation, followed := begin()
	_, found := begin()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	left := make(chan error, 1)
	go func() {
		copied, err := b.Running(ctx, conversation)
		if err == nil {
			_, err = b.Wait(ctx, copied)
		}
		left <- err
	}()
	if _, err := b.Running(t.Context(), found.Conversation); err != nil { // and it is not followed
		t.Fatal(err)
	}
	for what, r := range map[string]*Reply{"nobody follows": alone, "somebody asked for, no more": found} {
		eventually(t, "a reply ends that "+what, func() bool { return end(r) != nil })
	}
	long := int((patience + 2*followSlack) / (20 * time.Millisecond)) // in words
	eventually(t, "one that is followed goes on", func() bool {
		return end(followed) != nil || followed.Len() > long*len("word ")
	})
	if e := end(followed); e != nil {
		t.Fatalf("it has ended: %v, %v", e.Message.FinishReason, e.Err)
	}
	leave()
	if err := <-left; err != context.Canceled {
		t.Errorf("who followed: %v", err)
	}
	eventually(t, "it ends when the last one has left", func() bool { return end(followed) != nil })
	if e := end(followed); e.Message.FinishReason != session.FinishStopped || !strings.HasPrefix(e.Message.Content, "word word ") {
		t.Errorf("it ended as %+v", e.Message.FinishReason)
	}
}
