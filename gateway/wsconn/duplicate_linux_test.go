package wsconn

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestManyHandshakesFewThreads: handshakes that wait for a descriptor hold no thread
// each, which the process would keep. It looks at a process of its own, since threads
// of other tests would serve these, too.
func TestManyHandshakesFewThreads(t *testing.T) {
	const inChild, handshakes, each = "WSCONN_FEW_THREADS", 64, 50
	if os.Getenv(inChild) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inChild+"=1", "GOMAXPROCS=8")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	tcp := dialSelf(t)
	transport, before := new(Loop), threads(t)
	var all sync.WaitGroup
	for range handshakes {
		all.Go(func() {
			for range each {
				fd, err := transport.duplicate(tcp)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = unix.Close(fd) })
			}
		})
	}
	all.Wait()
	if after := threads(t); after > before+handshakes/4 {
		t.Errorf("%d threads after %d handshakes at a time, %d before", after, handshakes, before)
	}
}

// dialSelf returns a TCP connection.
func dialSelf(t *testing.T) *net.TCPConn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

func threads(t *testing.T) int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
