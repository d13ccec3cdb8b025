package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait in these tests.
const patience = 20 * time.Second

// transcript is stderr of a running program, which tests read meanwhile.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await returns the first log line with this message.
func (l *transcript) await(t *testing.T, message string) map[string]any {
	t.Helper()
	var found map[string]any
	eventually(t, "log line "+message, l.String, func() bool {
		for line := range strings.Lines(l.String()) {
			fields := map[string]any{}
			if json.Unmarshal([]byte(line), &fields) == nil && fields["message"] == message {
				found = fields
				return true
			}
		}
		return false
	})
	return found
}

// eventually polls ok until it holds.
func eventually(t *testing.T, what string, explain func() string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %s", patience, what, explain())
		}
	}
}

// program is a running wheelgate, on ports of its own.
type program struct {
	addr, admin string
	log         *transcript
	code        chan int // receives the exit code
}

var anyPorts = []string{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json"}

// start runs the program in this process and returns when it listens. stop is
// what SIGTERM would do; the test's end does it too, and waits.
func start(t *testing.T, args ...string) (p *program, stop func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p = &program{log: &transcript{}, code: make(chan int, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.code <- run(ctx, append(append([]string{"wheelgate"}, anyPorts...), args...), nil, io.Discard, p.log)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		signal.Reset(syscall.SIGPIPE, syscall.SIGHUP)
	})
	p.listening(t)
	return p, stop
}

// startProcess is start as a process of its own, for real signals.
func startProcess(t *testing.T, args ...string) (p *program, process *os.Process) {
	t.Helper()
	p, process = launch(t, args...)
	p.listening(t)
	return p, process
}

// launch is startProcess without a wait for it to listen.
func launch(t *testing.T, args ...string) (p *program, process *os.Process) {
	t.Helper()
	p = &program{log: &transcript{}, code: make(chan int, 1)}
	cmd := exec.Command(os.Args[0], append(anyPorts, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
		p.code <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	return p, cmd.Process
}

func (p *program) listening(t *testing.T) {
	t.Helper()
	line := p.log.await(t, "listening")
	p.addr, p.admin = fmt.Sprint(line["addr"]), fmt.Sprint(line["admin"])
}

func (p *program) wantExit(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-p.code:
		if got != want {
			t.Errorf("exit %d, want %d: %s", got, want, p.log)
		}
	case <-time.After(patience):
		t.Fatalf("no exit after %v: %s", patience, p.log)
	}
}

// get answers one request on a connection of its own, with this header.
func get(t *testing.T, url string, header ...string) (status int, answer http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode, response.Header
}

var upgrade = []string{
	"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
}

// peer is a WebSocket client that does nothing by itself: it answers no close.
type peer struct {
	net.Conn
	r *bufio.Reader
}

// dial connects to a path; config is nil without TLS.
func (p *program) dial(t *testing.T, path string, config *tls.Config) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		conn = tls.Client(conn, config)
	}
	c := &peer{conn, bufio.NewReader(conn)}
	request, _ := http.NewRequest(http.MethodGet, "http://"+p.addr+path, nil)
	for i := 0; i < len(upgrade); i += 2 {
		request.Header.Set(upgrade[i], upgrade[i+1])
	}
	if err := request.Write(conn); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(c.r, request)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %s", response.Status)
	}
	return c
}

// frame reads one short unmasked frame.
func (c *peer) frame(t *testing.T) (opcode byte, payload []byte) {
	t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		t.Fatal(err)
	}
	payload = make([]byte, head[1])
	if _, err := io.ReadFull(c.r, payload); err != nil {
		t.Fatal(err)
	}
	return head[0] & 0xf, payload
}

// wantClose reads a close frame with this code.
func (c *peer) wantClose(t *testing.T, code int) {
	t.Helper()
	opcode, payload := c.frame(t)
	for opcode == 9 { // the first ping comes at random
		opcode, payload = c.frame(t)
	}
	if want := string([]byte{byte(code >> 8), byte(code)}); opcode != 8 || !strings.HasPrefix(string(payload), want) {
		t.Errorf("frame %d %q, want a close with %d", opcode, payload, code)
	}
}

// send writes a text frame, masked with zeros.
func (c *peer) send(t *testing.T, text string) {
	t.Helper()
	if _, err := c.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil {
		t.Fatal(err)
	}
}

// wantEnd reads until the other side has hung up.
func (c *peer) wantEnd(t *testing.T) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c.r); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("still connected")
	}
}
