package main

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"lumos/backend/llm/mistralsim"
)

// streamHeader tells an answer which response it is for.
const streamHeader = "X-Chatload-Stream"

// simulator is Mistral's API speaking as the load has it, and noting when it
// said what.
func (r *run) simulator() http.Handler {
	var streams sync.Map // by the value of streamHeader: *stampWriter
	var last atomic.Int64
	sim := mistralsim.New(mistralsim.Config{
		Record: -1, NoPadding: true, MaxContext: 1 << 40,
		Answer: func(req *mistralsim.Request) mistralsim.Answer {
			n, turn, err := readPrompt(req.LastUser())
			if err != nil {
				return mistralsim.Answer{Status: http.StatusBadRequest, Body: `{"detail":"not a prompt of chatload's"}`}
			}
			if w, ok := streams.Load(req.Header.Get(streamHeader)); ok {
				w.(*stampWriter).slot = r.sent.slot(n)
			}
			return mistralsim.Answer{
				Tokens:     r.speech.reply(n, turn, r.Tokens).tokens(),
				Pace:       r.interval(),
				FirstToken: r.FirstToken,
				Flush:      r.Flush,
			}
		},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id := strconv.FormatInt(last.Add(1), 10)
		stamped := &stampWriter{ResponseWriter: w, of: r.sent}
		streams.Store(id, stamped)
		defer streams.Delete(id)
		req.Header.Set(streamHeader, id)
		sim.ServeHTTP(stamped, req)
	})
}
