//go:build !unix

package httpapi

// instant is of no use here: whatever is written may wait.
type instant struct{}

func (*conn) writeNow([]byte) int { return 0 }
