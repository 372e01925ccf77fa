package hub

import (
	"cmp"
	"context"
	"errors"

	"lumos/backend/session"

	"lumos/backend/hub/reply"
)

// CloseCode is a WebSocket close code (RFC 6455, section 7.4). What a client does on
// each is in PROTOCOL.md, asyncapi.yaml and static/widget/hub.js.
type CloseCode int

// The close codes. wsconn sends CloseTooLarge, and its library 1002.
const (
	CloseGoingAway    CloseCode = 1001
	CloseUnsupported  CloseCode = 1003
	CloseInvalidUTF8  CloseCode = 1007
	ClosePolicy       CloseCode = 1008
	CloseTooLarge     CloseCode = 1009
	CloseTryLater     CloseCode = 1013
	CloseTakenOver    CloseCode = 4001
	CloseUnauthorized CloseCode = 4401
	CloseNotFound     CloseCode = 4404
)

// closeCodes maps error codes to close codes. Any other error code means CloseTryLater.
var closeCodes = map[string]CloseCode{
	CodeNotFound: CloseNotFound, CodeUnauthorized: CloseUnauthorized, CodeDraining: CloseGoingAway,
}

const takenOver = "another connection has this conversation"

// CloseFor returns the close code and reason for a connection that err ends, and logs
// an unexpected err.
func (h *Hub) CloseFor(ref session.Ref, err error) (CloseCode, string) {
	switch {
	case errors.Is(err, session.ErrTaken):
		return CloseTakenOver, takenOver
	case errors.Is(err, session.ErrGivenUp):
		return CloseTryLater, "no answer came from the client in time"
	case h.draining.Load() && (panicked(err) || errors.Is(err, reply.ErrCut)):
		err = ErrDraining
	case errors.Is(err, context.DeadlineExceeded): // of a step of the store's, not of the model's
		err = session.ErrUnavailable
	}
	e := Classify(err)
	if e.Code == CodeInternal && !panicked(err) {
		h.log.Error("a connection failed", "session", ShortID(ref.ID), "error", err)
	}
	return cmp.Or(closeCodes[e.Code], CloseTryLater), e.Text
}

// Refuse closes a socket that has no Conn, and returns when the socket has ended.
func Refuse(sock Socket, code CloseCode, reason string) {
	defer sock.Kill()
	out := reply.NewOutbox(sock, true, nil)
	sock.Start(out.PostRaw)
	out.Last(sock.CloseFrame(code, reason))
	out.Release()
	for {
		if _, err := sock.Read(); err != nil && !errors.Is(err, ErrBinary) {
			return
		}
	}
}
