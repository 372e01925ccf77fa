package session

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Backend keeps conversations and the texts of their running replies, and
// understands nothing of them. All methods may be called concurrently; those
// that change something, again and late. Errors, besides those that are named:
// ErrUnavailable, after which nothing is known of the call.
//
// The table in package storetest holds every implementation to this.
type Backend interface {
	// Load returns the conversation as it stands, of which have is known here (nil:
	// nothing). It does not slide the time to live.
	// Errors: ErrNotFound, where a conversation that is returned all the same is
	// the grave that a deletion left: a creation is a change of it.
	Load(ctx context.Context, id uuid.UUID, have *Conversation) (*Conversation, error)

	// Commit makes a change of was (nil: there was nothing, nor a grave), if that
	// is what stands, and Change.Had what it says. A nil change deletes. One that
	// was made already, by name, succeeds. What frees memory comes first, so that a
	// full store still takes the end of a reply. The nodes that have to do with the
	// conversation are told.
	// Errors: ErrConflict, ErrFull.
	Commit(ctx context.Context, id uuid.UUID, was *Conversation, ch *Change) error

	// Claim returns the session that an idempotency key stands for: id, unless it
	// has another one than stale. With the nil id it stands for none any more if it
	// stood for stale. It lives as long as its session.
	// Errors: ErrFull.
	Claim(ctx context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error)

	// Touch slides the time to live of conversations that are in use here, and
	// notes whether this node is told of what happens in them (Use.Held). It returns
	// those that are not as the Manager has them, or gone.
	Touch(ctx context.Context, used []Use) (changed []uuid.UUID, err error)

	// Append stores what the texts have that the store lacks (Text.Unsaved), each
	// if its fence stands, and says for each Saved or Moved; neither: it failed.
	Append(ctx context.Context, texts []*Text)

	// Read brings the texts what the store has of them, each if its fence stands,
	// and says for each Stored or Moved; neither: it failed. This node is told of
	// their growth for a while.
	Read(ctx context.Context, texts []*Text)

	// Alive tells whether a node may still write. It changes only where the node
	// is known to be dead.
	Alive(node string) bool

	// Ready tells whether the store can be reached, and written to, now.
	Ready(ctx context.Context) error

	// Run does the store's work in the background until ctx ends. It calls heard
	// with what other nodes did; that only saves time.
	Run(ctx context.Context, heard func(Hint)) error
}

// Use is a conversation that is in use here.
type Use struct {
	ID      uuid.UUID
	Version string    // of it as the Manager has it
	Held    bool      // it is held, or its reply is followed, here: this node is told of changes
	Claimed bool      // its connection is here
	At      time.Time // when it was last used, in a store that nobody shares
}

// Hint is what another node did.
type Hint struct {
	ID    uuid.UUID // of the conversation; nil: any may have changed
	Fence string    // of a text that grew, or of this node's that another follows; "": the conversation changed
	At    int       // where
	Text  []byte    // by this
}
