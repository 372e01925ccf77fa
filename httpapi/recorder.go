package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// writeChunk is how much is written under one deadline, in bytes.
const writeChunk = 32 << 10

// recorder notes status and size of a response, and sets the write deadline anew for every
// chunk: a limit of the server's would end streams. Beside ResponseWriter's methods it has
// only Unwrap, so that http.ResponseController finds the server's writer.
type recorder struct {
	http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	route   string // the pattern that matched; "": none
	status  int
	bytes   int
	late    bool // the client took nothing for the timeout
	body    *requestBody
	most    int  // how many bytes of an unread body discardBody reads
	early   bool // the response does not wait for the rest of body
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.answerEarly(status)
	r.extend()
	r.ResponseWriter.WriteHeader(status)
}

// extend begins the write timeout anew. A writer without deadlines (in a test)
// has none to extend.
func (r *recorder) extend() { _ = r.rc.SetWriteDeadline(time.Now().Add(r.timeout)) }

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	written := 0
	for {
		r.extend()
		n, err := r.ResponseWriter.Write(p[written:min(len(p), written+writeChunk)])
		written += n
		r.bytes += n
		if err != nil || written == len(p) {
			r.late = r.late || errors.Is(err, os.ErrDeadlineExceeded)
			return written, err
		}
	}
}

// requestBody is a request's body.
type requestBody struct {
	io.ReadCloser
	request *http.Request
	ended   bool // it was read to its end
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

// watchBody sets a deadline for the request's body, and returns a request whose body notes
// its end.
func (r *recorder) watchBody(req *http.Request) *http.Request {
	if req.ContentLength == 0 {
		return req
	}
	// Not every ResponseWriter has deadlines; the server's has.
	_ = r.rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	r.body = &requestBody{ReadCloser: req.Body, request: req}
	watched := req.WithContext(req.Context()) // net/http looks at its own
	watched.Body = r.body
	return watched
}

// answerEarly has the response sent before the rest of the request's body was received, for
// which net/http would wait. Not for a stream: while it runs, nobody could read the rest.
func (r *recorder) answerEarly(status int) {
	switch {
	case r.body == nil, r.body.ended, status < 200, r.Header().Get("Content-Type") == "text/event-stream":
		return
	case r.body.request.Header.Get("Expect") != "": // the client waits for 100 Continue, and may never send the body
		return
	}
	if r.body.request.ContentLength > int64(r.most) {
		r.Header().Set("Connection", "close")
	}
	r.early = r.rc.EnableFullDuplex() == nil
}

// discardBody reads the rest of the request's body, so that the client gets to read the
// response and can use the connection again. If the rest is too large, or does not come in
// time, the connection is closed.
func (r *recorder) discardBody() {
	if !r.early {
		return
	}
	_ = r.rc.Flush()
	_, _ = io.CopyN(io.Discard, r.body, int64(r.most)+1)
	if !r.body.ended {
		if conn, _, err := r.rc.Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}
