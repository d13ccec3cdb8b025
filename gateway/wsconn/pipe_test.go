package wsconn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

var _ net.Conn = (*wsconn.PipeEnd)(nil)

func TestPipeIsBounded(t *testing.T) {
	a, b := wsconn.Pipe(4)
	if n, errno := a.TryWrite([]byte("abcdef")); n != 4 || errno != 0 {
		t.Fatalf("wrote %d, %v", n, errno)
	}
	if n, errno := a.TryWrite([]byte("ef")); n != 0 || errno != syscall.EAGAIN {
		t.Fatalf("wrote %d, %v to a full pipe", n, errno)
	}
	buf := make([]byte, 3)
	if n, errno := b.TryRead(buf); string(buf[:n]) != "abc" || errno != 0 {
		t.Fatalf("read %q, %v", buf[:n], errno)
	}
	if n, errno := a.TryWrite([]byte("efgh")); n != 3 || errno != 0 {
		t.Fatalf("wrote %d, %v after a read of 3", n, errno)
	}
}

// TestPipeWaits drives the calls that wait, with time that is not real.
func TestPipeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := wsconn.Pipe(16)
		text := strings.Repeat("more than the buffer holds ", 10)
		go func() {
			_, _ = io.WriteString(a, text)
			_ = a.CloseWrite()
		}()
		time.Sleep(time.Second)
		if got, err := io.ReadAll(b); string(got) != text || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		start := time.Now()
		_ = a.SetReadDeadline(start.Add(time.Minute))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Fatalf("a read without input ended with %v after %v", err, time.Since(start))
		}
		_ = a.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Minute)
			_ = a.SetReadDeadline(time.Unix(1, 0)) // as net/http interrupts a read
		}()
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("an interrupted read ended with %v", err)
		}
	})
}

func TestPipeEnds(t *testing.T) {
	for _, c := range []struct {
		name      string
		end       func(a, b *wsconn.PipeEnd)
		read      error // b's, after what a wrote
		write     error // b's
		writeSelf error // a's
	}{
		{"close", func(a, _ *wsconn.PipeEnd) { _ = a.Close() }, io.EOF, syscall.EPIPE, net.ErrClosed},
		{"half-close", func(a, _ *wsconn.PipeEnd) { _ = a.CloseWrite() }, io.EOF, nil, syscall.EPIPE},
		{"reset", func(a, _ *wsconn.PipeEnd) { _ = a.SetLinger(0); _ = a.Close() }, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed},
		{"close with input unread", func(a, b *wsconn.PipeEnd) { _, _ = b.Write([]byte("x")); _ = a.Close() }, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := wsconn.Pipe(16)
			_, _ = io.WriteString(a, "last")
			c.end(a, b)
			got := make([]byte, 4)
			if _, err := io.ReadFull(b, got); string(got) != "last" || err != nil {
				t.Errorf("read %q, %v of what was written before", got, err)
			}
			if _, err := b.Read(got); !errors.Is(err, c.read) {
				t.Errorf("then the peer read %v, not %v", err, c.read)
			}
			if _, err := b.Write([]byte("x")); !errors.Is(err, c.write) {
				t.Errorf("the peer wrote %v, not %v", err, c.write)
			}
			if _, err := a.Write([]byte("x")); !errors.Is(err, c.writeSelf) {
				t.Errorf("the end wrote %v, not %v", err, c.writeSelf)
			}
		})
	}
}
