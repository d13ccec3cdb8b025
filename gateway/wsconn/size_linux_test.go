package wsconn

import (
	"testing"
	"unsafe"
)

// TestConnectionSize: as for gateway.Session.
func TestConnectionSize(t *testing.T) {
	if size := unsafe.Sizeof(loopConn{}); size > 144 {
		t.Errorf("a connection on a loop has %d bytes", size)
	}
}
