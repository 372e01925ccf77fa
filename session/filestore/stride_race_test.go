//go:build race

package filestore

// stride is how many calls lie between those that are tried: the race detector
// makes each many times slower.
const stride = 7
