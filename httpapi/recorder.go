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

// recorder notes what was answered, and gives the client the write timeout for
// every part of it: the server has no limit of its own, which would end
// streams. It has Unwrap and nothing else beside, so that
// http.ResponseController finds what the server's writer can do.
type recorder struct {
	http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	route   string // the pattern that matched; "": none
	status  int
	bytes   int
	late    bool // the client took nothing for the timeout
	body    *requestBody
	most    int  // bytes of a body that is left over that are read away
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

// watchBody gives the request's body its time, which ends with it, and returns
// the request to go on with.
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

// answerEarly has the response leave before what is left of the request's body
// has come. net/http would wait for that. A stream waits: while it runs, nobody
// could read the rest.
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

// discardBody reads away what a handler has left of the request's body, so that
// the client gets to read the response, and can use the connection again. A
// connection on which the rest is too large, or does not come in time, is closed.
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
