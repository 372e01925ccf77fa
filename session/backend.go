package session

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Backend stores conversations and the texts of their running replies, and does not
// interpret them. All methods may be called concurrently; calls that change something may
// be repeated, and may arrive late. Errors, besides those that are named: ErrUnavailable,
// after which nothing is known of the call.
//
// The table in package storetest holds every implementation to this.
type Backend interface {
	// Load returns the stored conversation. have is what the caller has of it (nil:
	// nothing). It does not slide the time to live. Errors: ErrNotFound; the grave of a
	// deletion, if there is one, is returned with it, and a creation is a change of that.
	Load(ctx context.Context, id uuid.UUID, have *Conversation) (*Conversation, error)

	// Commit makes ch if the stored version is still was's (nil: nothing is stored,
	// not even a grave) and the running text is Change.Had long. Without Born it deletes.
	// Repeating a change that was made succeeds. Memory is freed first, so that a
	// full store still takes the end of a reply. The nodes concerned are told.
	// Errors: ErrConflict, ErrFull.
	Commit(ctx context.Context, id uuid.UUID, was *Conversation, ch *Change) error

	// Claim maps an idempotency key (ClaimName) to the session id and returns id, unless
	// the key maps to a session other than stale: then it returns that one. With the nil
	// id it removes a mapping to stale. A mapping lives as long as its session. It has
	// nothing to do with Manager.Connect's Claim.
	// Errors: ErrFull.
	Claim(ctx context.Context, key string, id, stale uuid.UUID) (uuid.UUID, error)

	// Touch slides the time to live of conversations that are in use here, and registers
	// this node for hints of them or not (Use.Held). It returns those that have another
	// version than Use.Version, or are gone.
	Touch(ctx context.Context, used []Use) (changed []uuid.UUID, err error)

	// Append stores each text's unsaved tail (Text.Unsaved) if its fence stands, and
	// calls Saved or Moved on it. If it calls neither, it has failed for that text.
	Append(ctx context.Context, texts []*Text)

	// Read gives each text what the store has of it if its fence stands, and calls
	// Stored or Moved on it. If it calls neither, it has failed for that text. This node
	// gets hints of their growth for a while.
	Read(ctx context.Context, texts []*Text)

	// Alive reports whether another node may still write: false only if it is known to be
	// dead.
	Alive(node string) bool

	// Ready tells whether the store can be reached, and written to, now.
	Ready(ctx context.Context) error

	// Run does the store's background work until ctx ends. It calls heard with hints of
	// what other nodes did. Hints may be lost: they only save time.
	Run(ctx context.Context, heard func(Hint)) error
}

// Use is a conversation that is in use here.
type Use struct {
	ID      uuid.UUID
	Version string    // of it as the Manager has it
	Held    bool      // it is held, or its reply is followed, here: this node wants hints
	Claimed bool      // the connection that has it (Head.Conn) is here
	At      time.Time // when it was last used, if Kind.Alone
}

// Hint is what another node did.
type Hint struct {
	ID    uuid.UUID // of the conversation; nil: any may have changed
	Fence string    // of a text that grew, or that this node writes and another follows; "": the conversation changed
	At    int       // offset at which the text grew, in bytes
	Text  []byte    // the bytes by which it grew
}
