//go:build !race

package httpapi_test

// raceEnabled: the race detector watches, and everything takes its time.
const raceEnabled = false
