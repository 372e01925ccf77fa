//go:build !race

package filestore

// stride is how many calls lie between those that are tried: none.
const stride = 1
