package wsconn

import (
	"testing"
	"unsafe"
)

// TestConnectionSize: as for gateway.Session.
func TestConnectionSize(t *testing.T) {
	if size := unsafe.Sizeof(loopConn{}); size > 128 {
		t.Errorf("a connection on a loop has %d bytes", size)
	}
}

// TestFrameSize: a message has a Frame, compressed or not.
func TestFrameSize(t *testing.T) {
	if size := unsafe.Sizeof(Frame{}); size > 48 {
		t.Errorf("a Frame has %d bytes", size)
	}
}
