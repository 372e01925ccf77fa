//go:build !unix

package httpapi

// gone is not known without reading.
func (c *conn) gone() bool { return false }
