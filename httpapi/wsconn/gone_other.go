//go:build !unix

package wsconn

// gone is not known without reading.
func (c *Conn) Gone() bool { return false }
