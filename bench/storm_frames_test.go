//go:build linux && !race

package bench_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// First bytes of frames (RFC 6455 section 5.2).
const (
	fin      = 0x80
	deflated = 0x40 // RSV1
	more     = 0x00 // a continuation, without fin
	text     = fin | 0x1
	binaries = fin | 0x2
	closes   = fin | 0x8
	ping     = fin | 0x9
	pong     = fin | 0xA
)

// guest is one connection of a client, by hand: nothing is between it and the wire.
type guest struct {
	net.Conn // TLS, or the same as tcp
	tcp      *net.TCPConn
	in       *bufio.Reader
	rng      *rand.Rand
	deflate  bool // is negotiated
}

// dial connects from an address of its own, without a request. All ends when ctx does.
func (s *tempest) dial(ctx context.Context, rng *rand.Rand, source string) (*guest, error) {
	dialer := net.Dialer{
		Timeout:   handshakePatience,
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)},
		Control: func(_, _ string, c syscall.RawConn) (err error) { // or ports run out
			_ = c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			})
			return err
		},
	}
	conn, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: conn, tcp: conn.(*net.TCPConn), rng: rng}
	if s.tls {
		g.Conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	g.in = bufio.NewReaderSize(g, 512)
	return g, nil
}

// request is what opens a session; extra are headers.
func request(extra ...string) string {
	return "GET /echo HTTP/1.1\r\nHost: gate.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + strings.Join(extra, "\r\n") + "\r\n"
}

const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"

// shake asks for a session, and sends early in the same packet. The status is 0 if no
// answer came.
func (g *guest) shake(early string, extra ...string) (status int, err error) {
	if _, err := io.WriteString(g, request(extra...)+early); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(g.in, nil)
	if err != nil {
		return 0, err
	}
	g.deflate = strings.HasPrefix(answer.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	return answer.StatusCode, nil
}

// frame is one of a client, with a mask of its own.
func frame[T []byte | string](rng *rand.Rand, first byte, payload T) []byte {
	out := header(first, uint64(len(payload)))
	key := binary.LittleEndian.AppendUint32(nil, rng.Uint32())
	out = append(out, key...)
	for i := range len(payload) {
		out = append(out, payload[i]^key[i%4])
	}
	return out
}

// header is a masked frame's, without the key.
func header(first byte, n uint64) []byte {
	switch {
	case n < 126:
		return []byte{first, 0x80 | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, n)
}

// closing is a close frame's payload.
func closing(code uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), reason...)
}

// longestFrame is more than the program may send.
const longestFrame = 1 << 20

// read has the program's next frame, which it judges.
func (g *guest) read() (first byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(g.in, head[:2]); err != nil {
		return 0, nil, err
	}
	first, n := head[0], uint64(head[1])
	extended := map[uint64]int{126: 2, 127: 8}[n]
	if _, err := io.ReadFull(g.in, head[2:2+extended]); err != nil {
		return 0, nil, err
	}
	if extended > 0 {
		n = 0
		for _, b := range head[2 : 2+extended] {
			n = n<<8 | uint64(b)
		}
	}
	switch first &^ deflated {
	case text, binaries:
	case more, more | fin:
		return first, nil, fmt.Errorf("a fragment % x", head)
	default:
		if n > 125 || first&deflated != 0 {
			return first, nil, fmt.Errorf("a control frame % x", head)
		}
	}
	if head[1]&0x80 != 0 || n > longestFrame || first&deflated != 0 && !g.deflate {
		return first, nil, fmt.Errorf("a frame % x", head)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(g.in, payload); err != nil {
		return first, nil, err
	}
	if first&deflated != 0 {
		payload, err = inflate(payload)
	}
	return first &^ deflated, payload, err
}

// tail ends each compressed message and is left out of it (RFC 7692 section 7.2.1).
const tail = "\x00\x00\xff\xff"

func inflate(payload []byte) ([]byte, error) {
	in := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader(tail+"\x01\x00\x00\xff\xff")))
	return io.ReadAll(io.LimitReader(in, longestFrame))
}

func deflate[T []byte | string](payload T) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestCompression) // fails for a bad level only
	_, _ = w.Write([]byte(payload))
	_ = w.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte(tail))
}

// reset ends the connection without a word but RST.
func (g *guest) reset() {
	_ = g.tcp.SetLinger(0)
	_ = g.tcp.Close()
}

// half ends what goes out, and only that.
func (g *guest) half() {
	if c, ok := g.Conn.(*tls.Conn); ok {
		_ = c.CloseWrite()
	}
	_ = g.tcp.CloseWrite()
}

// vanish cuts the cable for d: nothing that comes reaches the socket, no
// acknowledgement goes out.
func (g *guest) vanish(ctx context.Context, d time.Duration) {
	drop := unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	raw, err := g.tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &drop)
	})
	pause(ctx, d)
}

// pause waits for d, or until ctx ends, and reports whether it has not.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err() == nil
}
