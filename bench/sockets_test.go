//go:build !race

package bench_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ending is what one client saw.
type ending struct {
	asked, ended time.Time // before its request; when its close frame came
	code         uint16
	text         string
	err          error
}

// stay connects, answers pings and close frames, and returns when it was closed.
// It is done by hand to cost little and to let nothing between it and the wire.
func stay(addr string, connected func()) (e ending) {
	e.asked = time.Now()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		connected()
		e.err = err
		return e
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 512)
	e.err = shake(conn, in)
	connected()
	for e.err == nil {
		var op byte
		var payload []byte
		if op, payload, e.err = readFrame(in); e.err != nil {
			return e
		}
		switch op {
		case 0x9:
			_, e.err = conn.Write(append([]byte{0x8a, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
		case 0x8:
			e.ended = time.Now()
			e.code, e.text = binary.BigEndian.Uint16(payload), string(payload[2:])
			_, _ = conn.Write(append([]byte{0x88, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
			return e
		}
	}
	return e
}

func shake(conn net.Conn, in *bufio.Reader) error { return shakeAt(conn, in, "/ws") }

func shakeAt(conn net.Conn, in *bufio.Reader, path string) error {
	_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: gate.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(answer.Status)
	}
	return nil
}

// readFrame reads a short unmasked frame.
func readFrame(in *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	if head[1] > 125 {
		return 0, nil, fmt.Errorf("frame of length code %d", head[1])
	}
	payload = make([]byte, head[1])
	_, err = io.ReadFull(in, payload)
	return head[0] & 0xf, payload, err
}

// crowd connects n clients, 64 at a time, and returns when all are connected.
// Wait returns how each ended.
func crowd(t *testing.T, addr string, n int) (wait func() []ending) {
	t.Helper()
	endings := make([]ending, n)
	var all, connected sync.WaitGroup
	gate := make(chan struct{}, 64)
	began := time.Now()
	for i := range n {
		gate <- struct{}{}
		connected.Add(1)
		all.Go(func() {
			endings[i] = stay(addr, func() { <-gate; connected.Done() })
		})
	}
	connected.Wait()
	t.Logf("%d connected within %v", n, time.Since(began).Round(time.Millisecond))
	return func() []ending { all.Wait(); return endings }
}

func (p *program) stats(t *testing.T) (s struct{ Sessions, Goroutines int }) {
	t.Helper()
	if err := json.Unmarshal([]byte(p.get(t, "/v1/stats")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// lateness is the server's own histogram: sessions in all, and within the bound.
func (p *program) lateness(t *testing.T, bound string) (all, within int) {
	t.Helper()
	for line := range strings.Lines(p.metrics(t)) {
		_, _ = fmt.Sscanf(line, "wheelgate_expiry_lateness_seconds_count %d", &all)
		_, _ = fmt.Sscanf(line, "wheelgate_expiry_lateness_seconds_bucket{le=\""+bound+"\"} %d", &within)
	}
	return all, within
}

// TestNineThousandSocketsExpire holds 9,000 real sockets on one process. None may
// be early, and all within two ticks by the server's clock: 2.56 s, a bucket's
// bound. What the clients see is printed; it has slack for a busy machine.
func TestNineThousandSocketsExpire(t *testing.T) {
	const n, timeout, tick, slack = 9000, 20 * time.Second, 1280 * time.Millisecond, time.Second
	p := run(t, "--session-timeout="+timeout.String(), "--tick="+tick.String(), "--max-sessions=9000")
	before := p.stats(t)
	wait := crowd(t, p.addr, n)
	if s := p.stats(t); s.Sessions != n {
		t.Fatalf("%d sessions; want %d", s.Sessions, n)
	}
	endings := wait()
	histogram := make([]int, 9) // quarters of a tick, and beyond
	for _, e := range endings {
		if e.err != nil || e.code != 4202 || e.text != "idle_timeout;idle=20" {
			t.Fatalf("ended with %d %q, %v", e.code, e.text, e.err)
		}
		late := e.ended.Sub(e.asked) - timeout
		if late < 0 || late > 2*tick+slack {
			t.Errorf("closed %v after the deadline", late)
		}
		histogram[min(max(0, int(late/(tick/4))), 8)]++
	}
	for i, count := range histogram[:8] {
		t.Logf("late by %.2f to %.2f ticks: %5d %s", float64(i)/4, float64(i+1)/4, count, strings.Repeat("#", count/100))
	}
	t.Logf("later than 2 ticks:      %5d (as the clients see it: connecting and delivery included)", histogram[8])
	if all, within := p.lateness(t, "2.56"); all != n || within != n {
		t.Errorf("by the server's clock %d expired, %d within two ticks; want %d", all, within, n)
	}
	var after struct{ Sessions, Goroutines int }
	for range 100 {
		// The admin connection itself comes and goes with a goroutine or two.
		if after = p.stats(t); after.Sessions == 0 && after.Goroutines <= before.Goroutines+2 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d sessions and %d goroutines left; %d goroutines before", after.Sessions, after.Goroutines, before.Goroutines)
}

// TestDrainOfTwoThousand sends SIGTERM to a process with 2,000 sessions.
func TestDrainOfTwoThousand(t *testing.T) {
	const n, window = 2000, 10 * time.Second
	p := run(t, "--drain-window="+window.String())
	wait := crowd(t, p.addr, n)
	began := time.Now()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	perSecond := make([]int, 12)
	for _, e := range wait() {
		if e.err != nil || e.code != 4101 || !strings.HasPrefix(e.text, "drain;delay=") {
			t.Fatalf("ended with %d %q, %v", e.code, e.text, e.err)
		}
		perSecond[min(int(e.ended.Sub(began)/time.Second), 11)]++
	}
	t.Logf("closes per second: %v", perSecond)
	if mean := n / 10; slices.Max(perSecond) > 2*mean || slices.Min(perSecond[:10]) < mean/2 {
		t.Errorf("closes are not spread evenly")
	}
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("still running after the drain")
	}
	if code := p.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
