//go:build !race

package bench_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// program is a running wheelgate, built from this tree.
type program struct {
	*exec.Cmd
	addr, admin string
	ended       chan struct{} // closed when it has exited; ExitCode is set then
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := filepath.Abs(filepath.Join("..", "wheelgate"))
	if err != nil {
		return "", err
	}
	return dir, exec.Command("go", "build", "-tags", "urfave_cli_no_template", "-o", dir, "../cmd/wheelgate").Run()
})

// run starts the program on ports of its own and waits until it listens. It is
// killed at the test's end if it has not exited by then.
func run(t *testing.T, args ...string) *program {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatalf("building: %v", err)
	}
	p := &program{ended: make(chan struct{})}
	p.Cmd = exec.Command(binary, append([]string{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json", "--env-file="}, args...)...)
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go func() {
		defer close(p.ended)
		p.readLog(bufio.NewScanner(stderr), listening)
		_ = p.Wait()
	}()
	t.Cleanup(func() { _ = p.Process.Kill(); <-p.ended })
	select {
	case <-listening:
		p.awaitReady(t)
	case <-p.ended:
		t.Fatal("the program ended before it listened")
	case <-time.After(20 * time.Second):
		t.Fatal("the program does not listen")
	}
	return p
}

func (p *program) metrics(t *testing.T) string { t.Helper(); return p.get(t, "/metrics") }

// get reads from the admin listener, over a connection that does not stay.
func (p *program) get(t *testing.T, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + p.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (p *program) awaitReady(t *testing.T) {
	t.Helper()
	for range 1000 {
		if resp, err := http.Get("http://" + p.admin + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				http.DefaultClient.CloseIdleConnections()
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the program does not become ready")
}

func (p *program) readLog(lines *bufio.Scanner, listening chan<- struct{}) {
	for lines.Scan() {
		var line struct{ Message, Addr, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
			p.addr, p.admin = line.Addr, line.Admin
			close(listening)
		}
	}
}
