package httpapi_test

import (
	"context"
	"sync"

	"github.com/google/uuid"

	"lumos/backend/session"
)

// faultyStore is a store that can be away.
type faultyStore struct {
	session.Store

	mu  sync.Mutex
	err error // of every step from now on; nil: it works
}

// fail has every step from now on return err.
func (f *faultyStore) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *faultyStore) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *faultyStore) Create(ctx context.Context, c session.Creation) (session.Session, error) {
	if err := f.failure(); err != nil {
		return session.Session{}, err
	}
	return f.Store.Create(ctx, c)
}

func (f *faultyStore) Find(ctx context.Context, id uuid.UUID) (session.Session, error) {
	if err := f.failure(); err != nil {
		return session.Session{}, err
	}
	return f.Store.Find(ctx, id)
}

func (f *faultyStore) Get(ctx context.Context, ref session.Ref, after session.Position) (session.Session, error) {
	if err := f.failure(); err != nil {
		return session.Session{}, err
	}
	return f.Store.Get(ctx, ref, after)
}

func (f *faultyStore) Say(ctx context.Context, ref session.Ref, t session.Turn) (session.Said, error) {
	if err := f.failure(); err != nil {
		return session.Said{}, err
	}
	return f.Store.Say(ctx, ref, t)
}

func (f *faultyStore) Finish(ctx context.Context, ref session.Ref, m session.Message) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Finish(ctx, ref, m)
}

func (f *faultyStore) Delete(ctx context.Context, ref session.Ref) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Delete(ctx, ref)
}

func (f *faultyStore) Hold(ctx context.Context, ref session.Ref) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Hold(ctx, ref)
}

func (f *faultyStore) Ready(ctx context.Context) error {
	if err := f.failure(); err != nil {
		return err
	}
	return f.Store.Ready(ctx)
}
