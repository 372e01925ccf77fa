package mistralsim

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// maxBody is the size of a request body that the gateway takes, in bytes.
const maxBody = 16 << 20

// chat handles POST /v1/chat/completions.
func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			refusal := Answer{Status: http.StatusRequestEntityTooLarge, Body: `{"message":"Request size limit exceeded"}`}
			refusal.write(w)
		}
		return // otherwise the client is gone
	}
	req, refusal := s.parse(r.Header, body)
	if refusal != nil {
		refusal.write(w)
		return
	}
	s.record(req)
	s.active.Add(1)
	defer close(req.done)
	defer s.active.Add(-1)

	answer := s.cfg.Answer
	if answer == nil {
		answer = Eliza
	}
	ans := answer(req)
	rnd := newRandom(req.N)
	p := reply{
		ctx: r.Context(), w: w, rc: http.NewResponseController(w),
		req: req, ans: &ans, tokens: newTokens(req, &ans),
		id: rnd.id(), created: time.Now().Unix(),
	}
	p.frames = newFramer(p.id, req.Model, p.created)
	p.frames.ascii, p.frames.split, p.frames.padding, p.frames.rnd = ans.ASCII, ans.Split, !s.cfg.NoPadding, rnd
	w.Header().Set("Mistral-Correlation-Id", correlationID(rnd.id()))
	p.send()
}

// record gives the request its number and remembers it.
func (s *Server) record(r *Request) {
	keep := s.cfg.Record
	if keep == 0 {
		keep = 1024
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	r.N = s.count
	s.prompts.take(r, keep < 0)
	if keep < 0 {
		return
	}
	if len(s.newest) == keep {
		s.newest = append(s.newest[:0], s.newest[1:]...)
	}
	s.newest = append(s.newest, r)
}

// correlationID writes 32 hexadecimal digits as a UUID, the form of the
// service's request ids.
func correlationID(hex string) string {
	return hex[:8] + "-" + hex[8:12] + "-" + hex[12:16] + "-" + hex[16:20] + "-" + hex[20:]
}
