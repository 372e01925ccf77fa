package session

import (
	"context"

	"github.com/google/uuid"
)

// Store keeps sessions. Every step is atomic and may be repeated with the same
// arguments; what was done by an earlier call is found done. Any method may
// also return ErrUnavailable. All methods may be called concurrently.
//
// The table in this package's tests holds every implementation to this.
type Store interface {
	// Create makes the session c.ID; one that is there already, or that c.Key
	// made before, is returned instead, and its time to live slides. One found
	// by its ID may be another owner's. Errors: ErrFull.
	Create(ctx context.Context, c Creation) (Session, error)

	// Get returns the session with the messages behind after, and slides its
	// time to live. Behind the running reply there are none. A message that is
	// not there, or whose Seq is another since it was edited, counts as the
	// newest one up to after.Seq; with Seq 0 that is the zero Position. An
	// edited message of which only the id is given counts as the one before
	// it: it is sent again, for the client may have what it was before.
	// Errors: ErrNotFound.
	Get(ctx context.Context, id uuid.UUID, after Position) (Session, error)

	// Say stores a user message, the name of its reply, and that this reply is
	// running, in one step. A turn whose Reply was started before is that same
	// turn asked once more, and gets the same answer (Ended, once it did).
	// Errors: ErrNotFound, ErrBusy, ErrReused, ErrNothing.
	Say(ctx context.Context, id uuid.UUID, t Turn) (Said, error)

	// Finish stores the reply m, which ends being the running one; role and
	// Seq are the store's to set. It succeeds when m is stored already.
	// Errors: ErrNotFound, ErrLost.
	Finish(ctx context.Context, id uuid.UUID, m Message) error

	// Delete forgets the session. Errors: ErrNotFound.
	Delete(ctx context.Context, id uuid.UUID) error

	// Hold keeps the session from expiring until as many calls of Release have
	// followed as there were of Hold. Errors: ErrNotFound.
	Hold(ctx context.Context, id uuid.UUID) error
	Release(id uuid.UUID)

	// Ready tells whether the store can be reached now.
	Ready(ctx context.Context) error

	// Run does the store's work in the background until ctx ends. It calls
	// gone, on its own goroutine and without a lock, for every session that
	// expired.
	Run(ctx context.Context, gone func(id uuid.UUID)) error
}

// Creation says what session to make.
type Creation struct {
	ID    uuid.UUID
	Owner string
	// Key, when it is not nil, names the request: a second Create with the
	// same Key and Owner finds the session of the first.
	Key uuid.UUID
}

// TurnKind says how a turn changes the conversation before it is answered.
type TurnKind int

const (
	// Submit appends the user message; an id that is known is not asked again
	// unless its reply failed and is the last message.
	Submit TurnKind = iota
	// Edit forgets the user message of the same id and all behind it, then appends.
	Edit
	// Regenerate forgets the last reply (Turn.Of, when set, must be it) and
	// answers its message anew.
	Regenerate
	// Again forgets all behind the user message Turn.Of and answers it anew.
	Again
)

// Turn is one step of a conversation: something said, and the reply to come.
type Turn struct {
	Kind  TurnKind
	User  Message   // for Submit and Edit: id (not nil), content and time
	Of    uuid.UUID // for Regenerate: the reply; for Again: the user message
	Reply uuid.UUID // the id that the reply gets, if one is started
	Model string
}

// Said is what became of a Turn.
type Said struct {
	User    Message   // as it is stored
	Before  uuid.UUID // the message before User; nil: User is the first
	Started bool      // the reply Turn.Reply is running now, and is the caller's to write
	// Done tells that a Regenerate named a reply that is gone: it has been done.
	Done    bool
	Running *Running  // the reply to User that is running, Started or not
	Ended   *Message  // the reply to User, if it ended
	History []Message // with Started: the conversation up to and including User
}
