package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// gateway is a running wheelgate.
type gateway struct {
	ws, echo, admin string
	process         *os.Process
}

// startGateway runs the real server until the test ends.
func startGateway(t *testing.T, args ...string) *gateway {
	t.Helper()
	cmd := exec.Command(gate, append([]string{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json", "--echo", "--drain-window=0s"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	t.Cleanup(func() { _ = cmd.Process.Kill(); reading.Wait(); _ = cmd.Wait() })
	addrs := make(chan [2]string, 1)
	reading.Go(func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			var line struct{ Message, Addr, Admin string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
				addrs <- [2]string{line.Addr, line.Admin}
			}
		}
	})
	select {
	case a := <-addrs:
		return &gateway{"ws://" + a[0] + "/ws", "ws://" + a[0] + "/echo", "http://" + a[1], cmd.Process}
	case <-time.After(patience):
		t.Fatal("the server does not listen")
		return nil
	}
}

// readLines reads a file of raw records.
func readLines(t *testing.T, name string) []record.Line {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []record.Line
	for dec := json.NewDecoder(file); ; {
		var line record.Line
		if err := dec.Decode(&line); err == io.EOF {
			return lines
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
}

func count(lines []record.Line, name record.Count) (n int64) {
	for _, line := range lines {
		if line.Sample != nil {
			n += line.Sample.Counts[name]
		}
	}
	return n
}

// startMute is a server that upgrades, and then neither reads nor says anything.
func startMute(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []net.Conn
	var serving sync.WaitGroup
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		mu.Lock()
		all = append(all, conn)
		mu.Unlock()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			accept(r.Header.Get("Sec-WebSocket-Key")))
	})}
	serving.Go(func() { _ = h.Serve(l) })
	t.Cleanup(func() {
		_ = h.Close()
		serving.Wait()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range all {
			_ = c.Close()
		}
	})
	return "ws://" + l.Addr().String() + "/"
}
