package probe_test

import (
	"net"
	"testing"

	"github.com/wheelgate/wheelgate/loadtest/probe"
)

// TestKernelSeesSockets opens connections, of which both ends are here.
func TestKernelSeesSockets(t *testing.T) {
	needsProc(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const connections = 100
	before := probe.OfKernel()
	for range connections {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
	}
	after := probe.OfKernel()
	if came := after.Sockets - before.Sockets; came < connections { // others come and go
		t.Errorf("%d sockets came with %d connections", came, connections)
	}
	if after.Slab < 1<<20 || after.SocketMemory < 0 {
		t.Errorf("%+v", after)
	}
}
