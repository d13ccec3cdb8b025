package wsconn_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of a test; nothing takes that long unless it is broken.
const patience = 20 * time.Second

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
	fin            = 0x80
)

const request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// clientFrame is a masked frame of our own making, also of a forbidden kind.
func clientFrame(first byte, payload string) []byte {
	frame := []byte{first}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	frame = append(frame, key[:]...)
	for i := range len(payload) {
		frame = append(frame, payload[i]^key[i%4])
	}
	return frame
}

func closePayload(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// client is a WebSocket client without any rules.
type client struct {
	t testing.TB
	net.Conn
	in         *bufio.Reader
	extensions []string // of the 101
}

// handshake sends a request, with extra in the same write, and reads the 101.
func handshake(t testing.TB, conn net.Conn, request string, extra ...[]byte) *client {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{t: t, Conn: conn, in: bufio.NewReader(conn)}
	sent := make(chan error, 1)
	go func() { // over a net.Pipe the extra bytes are taken after the 101
		_, err := conn.Write(append([]byte(request), slices.Concat(extra...)...))
		sent <- err
	}()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatalf("reading the 101: %v", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %s", response.Status)
	}
	if accept := response.Header.Get("Sec-WebSocket-Accept"); accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("Sec-WebSocket-Accept is %q", accept)
	}
	if err := <-sent; err != nil {
		t.Fatalf("sending the request: %v", err)
	}
	c.extensions = response.Header["Sec-Websocket-Extensions"]
	return c
}

func (c *client) send(frames ...[]byte) {
	c.t.Helper()
	if _, err := c.Write(slices.Concat(frames...)); err != nil {
		c.t.Fatalf("client write: %v", err)
	}
}

func (c *client) readFrame() (first byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, "", err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var ext [2]byte
		if _, err := io.ReadFull(c.in, ext[:]); err != nil {
			return 0, "", err
		}
		n = uint64(binary.BigEndian.Uint16(ext[:]))
	case 127:
		var ext [8]byte
		if _, err := io.ReadFull(c.in, ext[:]); err != nil {
			return 0, "", err
		}
		n = binary.BigEndian.Uint64(ext[:])
	}
	body := make([]byte, n)
	_, err = io.ReadFull(c.in, body)
	return head[0], string(body), err
}

// expect reads one frame and compares it.
func (c *client) expect(first byte, payload string) {
	c.t.Helper()
	gotFirst, got, err := c.readFrame()
	if err != nil {
		c.t.Fatalf("client read: %v; want frame %#x %.40q", err, first, payload)
	}
	if gotFirst != first || got != payload {
		c.t.Fatalf("client got %#x %.40q (%d bytes), want %#x %.40q (%d bytes)", gotFirst, got, len(got), first, payload, len(payload))
	}
}

// expectEOF reads the end of the stream: an orderly one, and nothing before it.
func (c *client) expectEOF() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.t.Fatalf("client got %.60q, %v; want EOF", rest, err)
	}
}

// expectGone reads the end of the stream, orderly or not, and nothing before it.
func (c *client) expectGone() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	var timeout net.Error
	if len(rest) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("client got %.60q, %v; want only the end", rest, err)
	}
}

// drain reads frames until something else than a data frame of the given
// payload, or the end, comes.
func (c *client) drain(payload string) (frames int, first byte, last string, err error) {
	for {
		first, last, err = c.readFrame()
		if err != nil || first&0x0F != opBinary || last != payload {
			return frames, first, last, err
		}
		frames++
	}
}

func repeat(n int) string { return strings.Repeat("x", n) }

// eventually polls for at most ten seconds: for what other goroutines do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
