package hub

// Sink takes a reply as a stream of chunks (httpapi/PROTOCOL.md, "A reply as a
// stream"). Its methods are called by one goroutine; what they return ends the
// stream. A delta is valid during the call only as far as the sink is
// concerned, and ends at offset bytes of the reply's text.
type Sink interface {
	Start(r *Reply, offset int) error
	Delta(r *Reply, delta []byte, offset int) error
	End(r *Reply, e *End) error
	// Wait sends what was held back and returns when wake was poked.
	Wait(wake <-chan struct{}) error
}

// Stream sends the reply to s from offset on, and its end when that has come.
// An offset that the reply cannot have (it has less text, or a character spans
// it) begins at 0. It returns ErrCut when the store did not take the end.
func (r *Reply) Stream(s Sink, offset int) error {
	return r.stream(s, make(chan struct{}, 1), offset)
}

func (r *Reply) stream(s Sink, wake chan struct{}, offset int) error {
	f := r.follow(wake, offset)
	defer f.close()
	if err := s.Start(r, f.off); err != nil {
		return err
	}
	for {
		delta, end := f.next()
		var err error
		switch {
		case delta != nil:
			err = s.Delta(r, delta, f.off)
		case end != nil:
			return s.End(r, end)
		default:
			err = s.Wait(wake)
		}
		if err != nil {
			return err
		}
	}
}
