package session

import (
	"context"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// Yield implements Log.
func (r *Redis) Yield(ctx context.Context, ref Ref, reply uuid.UUID) error {
	r.mu.Lock()
	w := r.writers[reply]
	r.mu.Unlock()
	if w == nil {
		return nil
	}
	defer r.forgetWriter(ref, reply)
	select {
	case <-r.appends.shut(w):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.appendRest(ctx, w); err != nil {
		return err
	}
	lease, _ := r.writing(reply)
	_, _, err := r.step(ctx, yieldScript, ref, reply.String(), lease)
	return err
}

// appendRest appends what the source still has, as far as the right to write
// goes. No other append is under way; Finish may be.
func (r *Redis) appendRest(ctx context.Context, w *writer) error {
	for {
		a, ok := r.pending(w)
		if !ok {
			return nil
		}
		var size int64
		err := r.try(ctx, func(ctx context.Context, c rueidis.Client) error {
			sizes, err := c.Do(ctx, r.appendCommand(c, []appending{a})).AsIntSlice()
			if err == nil && len(sizes) == 0 {
				err = permanent{errNoStatus}
			}
			if err == nil {
				size = sizes[0]
			}
			return err
		})
		if err != nil {
			return err
		}
		v := more
		if size == appendLapsed {
			v = r.retake(ctx, []*writer{w})[0]
		} else {
			v = r.appended(w, size, false)
		}
		if v != more {
			return nil
		}
	}
}
