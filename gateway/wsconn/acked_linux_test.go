package wsconn_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"golang.org/x/sys/unix"
)

// TestWriteTimeoutIsThePeers: what the kernel takes of a backlog, as its buffer grows, is no
// sign of the peer.
func TestWriteTimeoutIsThePeers(t *testing.T) {
	cfg := testConfig
	cfg.WriteTimeout = 200 * time.Millisecond
	for _, l := range []link{links[0], links[1]} {
		for name, tr := range map[string]transport{"goroutine": wsconn.NewGoroutine(cfg), "loop": newLoop(t)(cfg)} {
			t.Run(name+" "+l.name, func(t *testing.T) { testGrowingBuffer(t, tr, l) })
		}
	}
}

func testGrowingBuffer(t *testing.T, tr transport, l link) {
	var sockets []*os.File
	_, s := newServer(t, spy{tr, &sockets}, l, nil).connect()
	socket := sockets[0]
	defer func() { _ = socket.Close() }()
	fill(t, s, chunk)
	size := getOption(t, socket, unix.SOL_SOCKET, unix.SO_SNDBUF)
	for range 200 { // 20 write timeouts
		select {
		case e := <-s.events:
			if e.kind != "closed" || !errors.Is(e.end.Err, wsconn.ErrWriteTimeout) {
				t.Errorf("ended by %+v", e)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
		size += 16 << 10
		raw, err := socket.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size/2)
		})
	}
	t.Error("still open, though the peer has taken nothing")
}
