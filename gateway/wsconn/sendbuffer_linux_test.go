package wsconn_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"golang.org/x/sys/unix"
)

// sparing is a Config under which the kernel takes little.
func sparing() wsconn.Config {
	cfg := testConfig
	cfg.SendBuffer = 16 << 10
	return cfg
}

// TestSendBuffer: all connections have it, those of Listen from the listening socket.
func TestSendBuffer(t *testing.T) {
	cfg := sparing()
	for name, listen := range map[string]func(context.Context, string, string) (net.Listener, error){
		"a listener of Listen":      listenSparing,
		"another transport's":       listenOwn,
		"a listener of package net": new(net.ListenConfig).Listen,
	} {
		for kind, tr := range map[string]transport{"goroutine": wsconn.NewGoroutine(cfg), "loop": newLoop(t)(cfg)} {
			t.Run(kind+" on "+name, func(t *testing.T) {
				var sockets []*os.File
				newServer(t, spy{tr, &sockets}, wide(listen), nil).connect()
				defer func() { _ = sockets[0].Close() }()
				if got := getOption(t, sockets[0], unix.SOL_SOCKET, unix.SO_SNDBUF); got != 2*cfg.SendBuffer {
					t.Errorf("SO_SNDBUF is %d, want twice %d", got, cfg.SendBuffer)
				}
			})
		}
	}
}

func listenSparing(ctx context.Context, network, address string) (net.Listener, error) {
	cfg := sparing()
	return wsconn.Listen(ctx, network, address, &cfg)
}

// wide is a link of TCP whose send buffers are as the listener has them.
func wide(listen func(context.Context, string, string) (net.Listener, error)) link {
	return link{"tcp", true, func(t testing.TB) (net.Listener, func() net.Conn) {
		l, dial := listenWith(t, listen)
		return l.(narrow).Listener, dial
	}}
}

// TestKernelHidesNoReader: who does not read what he asks for is found by the write timeout
// though it is less than the kernel would take by itself.
func TestKernelHidesNoReader(t *testing.T) {
	cfg := sparing()
	cfg.WriteTimeout = 100 * time.Millisecond
	for kind, tr := range map[string]transport{"goroutine": wsconn.NewGoroutine(cfg), "loop": newLoop(t)(cfg)} {
		t.Run(kind, func(t *testing.T) {
			c, s := newServer(t, tr, wide(listenSparing), func(s *session) {
				s.react = func(e event) {
					if e.kind == "ping" {
						_ = s.send(wsconn.Pong, e.payload)
					}
				}
			}).connect()
			pings := bytes.Repeat(clientFrame(fin|opPing, repeat(120)), 10)
			for range 500 { // 600 KB, and most of the pongs are dropped when nothing is taken
				if _, err := c.Write(pings); err != nil || s.closed.Load() {
					break
				}
				<-time.After(cfg.WriteTimeout / 50)
			}
			for e := s.expectAny(); ; e = s.expectAny() {
				if e.kind == "closed" {
					if !errors.Is(e.end.Err, wsconn.ErrWriteTimeout) {
						t.Errorf("ended by %v", e.end.Err)
					}
					return
				}
			}
		})
	}
}
