//go:build !race

package bench_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// program is a running wheelgate, built from this tree unless a path says otherwise.
type program struct {
	*exec.Cmd
	addr, admin string
	ended       chan struct{} // closed when it has exited; ExitCode is set then
}

var (
	build     = sync.OnceValues(func() (string, error) { return buildInto("wheelgate") })
	buildRace = sync.OnceValues(func() (string, error) { return buildInto("bin/wheelgate-race", "-race") })
)

// buildInto builds the program below the repository's root and returns its path.
func buildInto(name string, flags ...string) (string, error) {
	path, err := filepath.Abs(filepath.Join("..", name))
	if err != nil {
		return "", err
	}
	args := append([]string{"build", "-tags", "urfave_cli_no_template", "-o", path}, flags...)
	if out, err := exec.Command("go", append(args, "../cmd/wheelgate")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}

// run starts the program on ports of its own and waits until it listens. It is
// killed at the test's end if it has not exited by then.
func run(t *testing.T, args ...string) *program {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatalf("building: %v", err)
	}
	return launch(t, exec.Command(binary, args...), func([]byte) {})
}

// launch is run with a command that ends in the program and its arguments; heard
// gets each line of its log.
func launch(t *testing.T, cmd *exec.Cmd, heard func(line []byte)) *program {
	t.Helper()
	p := &program{Cmd: cmd, ended: make(chan struct{})}
	p.Args = append(p.Args, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--log-format=json", "--env-file=")
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
		p.readLog(bufio.NewScanner(stderr), listening, heard)
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

func (p *program) readLog(lines *bufio.Scanner, listening chan<- struct{}, heard func(line []byte)) {
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		heard(lines.Bytes())
		var line struct{ Message, Addr, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Message == "listening" {
			p.addr, p.admin = line.Addr, line.Admin
			close(listening)
		}
	}
}
