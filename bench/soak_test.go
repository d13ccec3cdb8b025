//go:build !race

package bench_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// soak is how long TestSoak goes on; `make soak` gives it ten minutes.
var soak = flag.Duration("soak", 5*time.Second, "how long TestSoak makes trouble")

// The kinds of trouble, each on a connection of its own that is upgraded already;
// to vanish without a FIN is one more.
var troubles = []func(net.Conn, *bufio.Reader){
	func(c net.Conn, in *bufio.Reader) { // talks, and leaves in order
		for range 5 {
			send(c, 0x81, "hello")
			if op, _, err := readFrame(in); err != nil || op != 1 {
				return
			}
		}
		send(c, 0x88, "\x03\xe8")
		_, _ = io.Copy(io.Discard, in)
	},
	func(c net.Conn, _ *bufio.Reader) { // resets
		send(c, 0x81, "hello")
		_ = c.(*net.TCPConn).SetLinger(0)
	},
	func(c net.Conn, in *bufio.Reader) { // speaks in fragments with pings between
		for range 3 {
			send(c, 0x01, "frag")
			send(c, 0x89, "ping")
			send(c, 0x80, "ment")
		}
		for range 6 {
			if _, _, err := readFrame(in); err != nil {
				return
			}
		}
	},
	func(c net.Conn, in *bufio.Reader) { // garbage
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		_, _ = io.Copy(io.Discard, in)
	},
	func(c net.Conn, _ *bufio.Reader) { // asks for much and reads nothing
		_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
		payload := strings.Repeat("x", 100)
		for range 20_000 {
			if send(c, 0x82, payload) != nil {
				return
			}
		}
	},
	func(c net.Conn, _ *bufio.Reader) { // goes silent amid a message, until it is thrown out
		_, _ = c.Write([]byte{0x82, 0xfe, 0x10, 0, 0, 0, 0, 0, 'x'})
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, c)
	},
	func(c net.Conn, _ *bufio.Reader) { // leaves half the connection open
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, c)
	},
}

// vanished is longer than the program takes to give up on a peer that is gone.
const vanished = 4 * time.Second

func send(c net.Conn, first byte, payload string) error {
	_, err := c.Write(append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
	return err
}

// TestSoak lets all kinds of clients come and go, with broadcasts meanwhile, then
// looks for what they left: sessions, descriptors, goroutines, memory.
func TestSoak(t *testing.T) {
	p := run(t, "--echo", "--message-timeout=1s", "--write-timeout=1s", "--close-wait=500ms",
		"--session-timeout=2s", "--ping-interval=500ms", "--pong-timeout=500ms")
	p.trouble(t, time.Second) // what stays after the first time is no leak
	before := p.footprint(t)
	rounds := p.trouble(t, *soak/2)
	between := p.footprint(t)
	rounds += p.trouble(t, *soak/2)
	after := p.footprint(t)
	t.Logf("%d connections; before %+v, after half of them %+v, at the end %+v", rounds, before, between, after)
	if after.sessions != 0 || after.descriptors > before.descriptors+2 || after.goroutines > before.goroutines+2 {
		t.Error("something stayed behind")
	}
	// In the first half the runtime finds its size.
	if after.memory > between.memory*11/10+2<<20 || after.heap > between.heap*11/10+1<<20 {
		t.Error("memory grew")
	}
}

// trouble returns how many connections it made in d.
func (p *program) trouble(t *testing.T, d time.Duration) (rounds int) {
	t.Helper()
	end := time.Now().Add(d)
	var clients, gone sync.WaitGroup
	var mu sync.Mutex
	for range 32 {
		clients.Go(func() {
			for time.Now().Before(end) {
				conn, err := net.Dial("tcp", p.addr)
				if err != nil {
					t.Error(err)
					return
				}
				in := bufio.NewReaderSize(conn, 512)
				if err := shakeAt(conn, in, "/echo"); err != nil {
					t.Error(err)
				} else if kind := rand.IntN(len(troubles) + 1); kind < len(troubles) {
					troubles[kind](conn, in)
				} else {
					gone.Add(1)
					if err := vanish(conn.(*net.TCPConn), vanished, gone.Done); err != nil {
						t.Error(err)
					}
				}
				_ = conn.Close()
				mu.Lock()
				rounds++
				mu.Unlock()
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for time.Now().Before(end) {
		resp, err := client.Post("http://"+p.admin+"/v1/broadcast", "text/plain", strings.NewReader("news"))
		if err != nil {
			t.Error(err)
			break
		}
		_ = resp.Body.Close()
		time.Sleep(20 * time.Millisecond)
	}
	clients.Wait()
	gone.Wait()
	return rounds
}

// footprint is what a process holds when its clients have gone. The heap is what may be
// in use before the next collection: twice of what the last one left, 4 MB at least.
type footprint struct{ sessions, descriptors, goroutines, memory, heap int }

func (p *program) footprint(t *testing.T) (f footprint) {
	t.Helper()
	for range 200 {
		f = footprint{sessions: p.stats(t).Sessions}
		if f.sessions == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for line := range strings.Lines(p.metrics(t)) {
		var v float64
		for name, field := range map[string]*int{
			"process_open_fds": &f.descriptors, "go_goroutines": &f.goroutines, "process_resident_memory_bytes": &f.memory,
			"go_memstats_next_gc_bytes": &f.heap,
		} {
			if n, _ := fmt.Sscanf(line, name+" %g", &v); n == 1 {
				*field = int(v)
			}
		}
	}
	return f
}
