package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far a run is, on standard error when that is a terminal,
// until the function it returns is called.
func progress(r *run) (stop func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return func() {}
	}
	total := r.Conversations * r.Turns
	if r.Duration > 0 {
		total = int(r.Duration / time.Second)
	}
	bar := progressbar.NewOptions(total,
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false))
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second / 2)
		defer tick.Stop()
		begin, text := time.Now(), 0
		for {
			select {
			case <-done:
				bar.Finish()
				return
			case <-tick.C:
			}
			c := r.tally.counts()
			bar.Describe(fmt.Sprintf("%s: %d replies, %d tokens/s", r.peer.name(), c.Replies, 2*(c.Bytes-text)/r.TokenBytes))
			text = c.Bytes
			if r.Duration > 0 {
				bar.Set(min(total, int(time.Since(begin)/time.Second)))
			} else {
				bar.Set(min(total, c.Replies))
			}
		}
	}()
	return func() { close(done); <-ended }
}
