//go:build !unix

package wsconn

// canTryWrite: without a write that does not wait, everything goes through the flusher.
const canTryWrite = false

func (c *goroutineConn) tryOnce(uintptr) bool { return true }
