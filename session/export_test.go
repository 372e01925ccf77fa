package session

// For the tests outside of the package.

// NoEvents hears nothing.
type NoEvents = noEvents

// Stored counts what the store holds without touching it.
func (m *Manager) Stored() (n int) {
	m.cells.Range(func(any, any) bool { n++; return true })
	return n
}

// Keys counts the claims of a store in memory.
func (m *Manager) Keys() (n int) {
	m.b.(*memory).claims.Range(func(any, any) bool { n++; return true })
	return n
}
