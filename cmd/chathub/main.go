// Command chathub serves chat: WebSocket, server-sent events and REST in front
// of Mistral. See the README, or chathub --help.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is the program, and returns its exit status: 2 for a configuration that
// is wrong, 1 for what failed while it ran.
func run(args, environ []string, stdout, stderr io.Writer) int {
	cfg, err := parse(args, environ, ".env", stdout)
	switch {
	case errors.Is(err, errHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "chathub:", err)
		return 2
	case cfg.Healthcheck:
		if err := healthcheck(cfg); err != nil {
			fmt.Fprintln(stderr, "chathub:", err)
			return 1
		}
		return 0
	}
	log := newLogger(cfg, stderr)
	if len(cfg.unknown) > 0 {
		log.Warn(".env sets what is no setting of the hub; chathub --help lists them", "ignored", cfg.unknown)
	}
	// The first signal drains, the second ends at once.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	if err := serve(signals, cfg, log); err != nil {
		fmt.Fprintln(stderr, "chathub:", err)
		return 1
	}
	log.Info("chathub has ended")
	return 0
}
