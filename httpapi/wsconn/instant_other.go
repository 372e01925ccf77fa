//go:build !unix

package wsconn

// instant is not used here: there is no write that does not block.
type instant struct{}

func (*Conn) writeNow([]byte) int { return 0 }
