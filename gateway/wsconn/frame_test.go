package wsconn

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNewFrame(t *testing.T) {
	f := func(op Opcode, payload, header string) {
		t.Helper()
		frame, err := NewFrame(op, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(frame.wire); got != header+payload || frame.Len() != len(got) || frame.Opcode() != op {
			t.Errorf("%d bytes, opcode %d, header %x; want header %x", frame.Len(), frame.Opcode(), got[:min(len(got), 10)], header)
		}
	}
	f(Text, "", "\x81\x00")
	f(Text, "grüß", "\x81\x06")
	f(Binary, "\xff\xfe", "\x82\x02")
	f(Binary, long(125), "\x82\x7d")
	f(Binary, long(126), "\x82\x7e\x00\x7e")
	f(Binary, long(65535), "\x82\x7e\xff\xff")
	f(Text, long(65536), "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00")
	f(Binary, long(17<<20), "\x82\x7f\x00\x00\x00\x00\x01\x10\x00\x00") // over gws's own default bound
	f(Ping, long(125), "\x89\x7d")
	f(Pong, "", "\x8a\x00")
}

func TestNewFrameErrors(t *testing.T) {
	f := func(op Opcode, payload string, want error) {
		t.Helper()
		if frame, err := NewFrame(op, []byte(payload)); frame != nil || !errors.Is(err, want) {
			t.Errorf("NewFrame(%d, %q) = %v, %v; want %v", op, payload, frame, err, want)
		}
	}
	f(Text, "\xff", ErrInvalidUTF8)
	f(Ping, long(126), ErrControlTooLong)
	f(Pong, long(126), ErrControlTooLong)
	for _, op := range []Opcode{0, 3, opClose, 0xB} {
		if _, err := NewFrame(op, nil); err == nil {
			t.Errorf("opcode %d is accepted", op)
		}
	}
}

func TestNewFrameCopies(t *testing.T) {
	payload := []byte("before")
	frame, err := NewFrame(Text, payload)
	if err != nil {
		t.Fatal(err)
	}
	copy(payload, "after!")
	if _, err := NewFrame(Text, payload); err != nil { // reuses gws's buffers
		t.Fatal(err)
	}
	if !bytes.HasSuffix(frame.wire, []byte("before")) {
		t.Errorf("the frame changed: %q", frame.wire)
	}
}

func TestCloseFrame(t *testing.T) {
	f := func(code uint16, reason, want string) {
		t.Helper()
		if got := string(closeFrame(code, reason).wire); got != want {
			t.Errorf("closeFrame(%d, %q) = %q, want %q", code, reason, got, want)
		}
	}
	f(1000, "", "\x88\x02\x03\xe8")
	f(4101, "drain", "\x88\x07\x10\x05drain")
	f(NoStatus, "unused", "\x88\x00")
	f(1001, long(200), "\x88\x7d\x03\xe9"+long(123))
	f(1001, long(122)+"ü", "\x88\x7c\x03\xe9"+long(122))
	f(1001, "a\xffb", "\x88\x07\x03\xe9a\uFFFDb")
	for n := range 130 {
		if cut := cutReason(long(n) + strings.Repeat("€", 50)); !utf8.ValidString(cut) || len(cut) > maxReason || len(cut) <= maxReason-3 {
			t.Errorf("a cut after %d bytes gives %d bytes", n, len(cut))
		}
	}
}
