package main

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"lumos/backend/cmd/needs"
)

// TestMain lets the test binary stand in for chatload itself: for the floor
// that a run starts as a child, and for tests of the exit status.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		main()
		return
	}
	// rueidis lets one sleep for a second where it could not begin.
	goleak.VerifyTestMain(needs.M{M: m}, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// small is a load that takes no time.
func small() load {
	return load{
		Conversations: 8, Turns: 2, Tokens: 60, TokenBytes: 26, Flush: 1, Seed: 7,
		Patience: testPatience,
	}
}
