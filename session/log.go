package session

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Log is the Store of several processes, its nodes. It holds the text of
// running replies as well, and says which node may write each: the one whose
// Say started it, or that adopted it. Text may be shown once the Log has it.
//
// A reply that runs elsewhere is followed: the Log feeds a Copy of it. Hints
// between nodes only save time; behind them everything is looked at again
// every second.
//
// Any method with a context may return ErrUnavailable, within two seconds,
// and then nothing is known of the step; it may be repeated.
type Log interface {
	Store

	// Watch says who is told what other nodes did. It is called once, before Run.
	Watch(Events)

	// Write gives the Log the text of a reply that Say started here or Adopt
	// took over. It pulls what lies behind what it has whenever wake is called,
	// and on its own after trouble. From then on either Finish, Yield or s.Lost
	// ends the writing. ok is false when the right to write was lost meanwhile.
	Write(reply uuid.UUID, s Source) (wake func(), ok bool)

	// Yield appends what is still to be appended and gives the right to write
	// up, so that another node goes on at once. Afterwards nothing can be
	// written here, whatever error it returns.
	Yield(ctx context.Context, ref Ref, reply uuid.UUID) error

	// Stop ends the running reply m.ID as m says, whoever writes it, with the
	// text that the Log has; m's Content, Role and Seq are ignored. It returns
	// the reply as stored, by this call or before. Its writer gets Lost.
	// Errors: ErrNotFound, ErrLost (it is neither running nor stored).
	Stop(ctx context.Context, ref Ref, m Message) (Message, error)

	// Follow feeds c with the reply until it ends, is adopted here, or
	// Unfollow. c has its first `have` bytes, as they were in the given epoch.
	Follow(ref Ref, reply uuid.UUID, have int, epoch int64, c Copy)
	Unfollow(reply uuid.UUID)

	// Unfollowed returns for how long no node has followed, by Follow, a reply
	// that is written here, give or take two seconds: no other node, nor this one
	// before it adopted it. A node that died counts as one that left.
	// Errors: ErrNotFound, ErrLost (it does not run any more).
	Unfollowed(ctx context.Context, ref Ref, reply uuid.UUID) (time.Duration, error)

	// Adopt takes over a reply that nobody writes. A Copy that followed it here
	// has exactly Adoption.Text when it returns, and is fed no more.
	// Errors: ErrNotFound; ErrBusy: somebody writes it; ErrLost: it has ended,
	// maybe just now, as failed, for too many of its writers have died.
	Adopt(ctx context.Context, ref Ref, reply uuid.UUID) (Adoption, error)

	// Connect records that the conversation's one connection is here, until
	// Disconnect. It waits for a moment until the one that had it, on another
	// node, was disconnected there. Errors: ErrNotFound, ErrTaken, ErrGivenUp.
	Connect(ctx context.Context, ref Ref, c Claim) error
	// Disconnect says that the connection has closed, taken over or not.
	Disconnect(ref Ref, connection uuid.UUID)
}

// Events hears what other nodes did. Its methods are called by the Log's
// goroutines, maybe more often than needed, and must not block or call the Log.
// That a session is gone is told by Run.
type Events interface {
	// Changed: the conversation is to be looked at again.
	Changed(ref Ref)
	// Taken: another connection has the conversation now; this one is to close.
	Taken(ref Ref, connection uuid.UUID)
}

// Source is a reply that is written here. Its methods are called by the Log's
// goroutines and must not block or call the Log.
type Source interface {
	// From returns what follows the first off bytes: at most limit bytes, whole
	// characters, which never change; nothing only where nothing follows.
	From(off, limit int) []byte
	// Stored: the Log has the first n bytes, which may be shown. n only grows.
	// Push: the caller has the time for a write to a socket that does not wait.
	Stored(n int, push bool)
	// Away: for AwayAfter the Log could not be reached. Who follows is better
	// sent away to come back later. What comes then is stored as before.
	Away()
	// Lost: the reply is another's to write, or has ended. Nothing follows.
	Lost()
}

// Copy is a reply that another node writes. Its methods are called by the
// Log's goroutines, one at a time, and must not block or call the Log.
type Copy interface {
	// Append adds whole characters. b is not to be kept.
	Append(b []byte)
	// Rewritten: another writer went on from the first n bytes, maybe all. What
	// c has behind them was lost with the last one and is not part of the reply.
	// What is appended from now on was written in the last of epochs.
	Rewritten(n int, epochs []Epoch)
	// Away: as for a Source.
	Away()
	// Orphaned: nobody writes it, and whoever cares adopts it. May come again.
	Orphaned()
	// Ended: Get tells how. Nothing follows.
	Ended()
}

// Adoption is a reply that was taken over.
type Adoption struct {
	Said Said   // as for the turn that started it
	Text string // what is written of it
}

// Claim is a connection that wants the conversation.
type Claim struct {
	Connection uuid.UUID
	Client     uuid.UUID // nil: not told
	Mode       ClaimMode
	// Alive returns when the connection's peer has shown that it is there since
	// the call, or an error. It is asked before a Client takes over from itself,
	// maybe more than once. Nil: the peer is there.
	Alive func(context.Context) error
}

// ClaimMode says from whom a Claim takes the conversation.
type ClaimMode string

const (
	FromAnybody ClaimMode = ""      // the newest wins
	FromItself  ClaimMode = "again" // only from the same Client
	FromNobody  ClaimMode = "free"  // only where there is none
)

// Epoch begins when a writer takes a reply over from another.
type Epoch struct {
	N  int64 // names it; grows
	At int   // where it began, in bytes of the reply
}

// Epoch names the latest epoch of the reply; 0: its first writer's.
func (r *Running) Epoch() int64 {
	if n := len(r.Epochs); n > 0 {
		return r.Epochs[n-1].N
	}
	return 0
}

// Honour returns how much of the first offset bytes, as they were in an epoch,
// is still part of the reply.
func (r *Running) Honour(epoch int64, offset int) int { return honour(r.Epochs, epoch, offset) }

func honour(epochs []Epoch, epoch int64, offset int) int {
	known := epoch == 0
	for _, e := range epochs {
		if known {
			offset = min(offset, e.At)
		}
		known = known || e.N == epoch
	}
	if !known {
		return 0 // a failover has lost it
	}
	return offset
}

// AwayAfter is how long a Log may be away before followers are sent away.
const AwayAfter = 30 * time.Second
