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
	// Load returns the stored conversation. have is what the caller has of it (nil:
	// nothing). It does not slide the time to live.
	// Errors: ErrNotFound. A conversation that is returned with it is the grave of
	// a deletion; a creation is a change of that.
	Load(ctx context.Context, id uuid.UUID, have *Conversation) (*Conversation, error)

	// Commit makes ch if the stored version is still was's (nil: nothing is stored,
	// not even a grave) and the running text is Change.Had long. Without Born it deletes.
	// Repeating a change that was made succeeds. Memory is freed first, so that a
	// full store still takes the end of a reply. The nodes concerned are told.
	// Errors: ErrConflict, ErrFull.
	Commit(ctx context.Context, id uuid.UUID, was *Conversation, ch *Change) error

	// Claim maps key to id and returns id, unless the key already maps to a session
	// other than stale: then it returns that one. With the nil id it removes the
	// mapping if it is to stale. A mapping lives as long as its session.
	// Errors: ErrFull.
	Claim(ctx context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error)

	// Touch slides the time to live of conversations that are in use here, and
	// notes whether this node is told of what happens in them (Use.Held). It returns
	// those that are not as the Manager has them, or gone.
	Touch(ctx context.Context, used []Use) (changed []uuid.UUID, err error)

	// Append stores each text's unsaved tail (Text.Unsaved) if its fence stands, and
	// calls Saved or Moved on it. A text on which neither is called has failed.
	Append(ctx context.Context, texts []*Text)

	// Read brings each text what the store has of it if its fence stands, and calls
	// Stored or Moved on it. A text on which neither is called has failed. This node
	// is told of their growth for a while.
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
