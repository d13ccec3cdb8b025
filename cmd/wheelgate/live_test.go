package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

// serialAt is the number of the certificate that addr shows.
func serialAt(t *testing.T, addr string) int64 {
	t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestHangupReloadsSettings(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for i, name := range []string{"1", "2", "3"} {
		certify(t, file(name), file(name+".key"), int64(i+1))
	}
	certifyFor(t, file("old"), file("old.key"), 4, -2*day, -day)
	env := func(cert, level, tick string) string {
		return fmt.Sprintf("WHEELGATE_TLS_CERT=%s\nWHEELGATE_TLS_KEY=%s.key\nWHEELGATE_LOG_LEVEL=%s\nWHEELGATE_TICK=%s\nWHEELGATE_CLOSE_WAIT=9s\n",
			file(cert), file(cert), level, tick)
	}
	path := write(t, file("env"), env("1", "info", "1s"))
	p, process := startProcess(t, "--env-file", path, "--echo", "--drain-window=0s", "--close-wait=1s")
	c := p.dial(t, "/echo", &tls.Config{InsecureSkipVerify: true})
	hangup := func(content, want string) map[string]any {
		t.Helper()
		write(t, path, content)
		before := strings.Count(p.log.String(), want)
		if err := process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, want, p.log.String, func() bool { return strings.Count(p.log.String(), want) > before })
		return p.log.await(t, want)
	}

	const kept = "Settings that changed and need a restart"
	if line := hangup(env("2", "debug", "2s")+"WHEELGATE_ADMIN_TOKEN=s3cret\n", kept); fmt.Sprint(line["settings"]) != "[admin-token tick]" {
		t.Errorf("settings: %v", line["settings"])
	}
	if line := p.log.await(t, "Settings reloaded"); fmt.Sprint(line["changed"]) != "[tls-cert tls-key log-level]" {
		t.Errorf("changed: %v", line["changed"])
	}
	if got := serialAt(t, p.addr); got != 2 {
		t.Errorf("serial %d", got)
	}
	get(t, "http://"+p.addr+"/ws") // is told at debug level
	eventually(t, "a line at debug level", p.log.String, func() bool { return strings.Contains(p.log.String(), `"level":"debug"`) })
	const refused = "Settings not reloaded, the old ones stay"
	for _, bad := range []string{"bad line\n", env("none", "info", "1s"), env("old", "info", "1s")} {
		hangup(bad, refused)
		if got := serialAt(t, p.addr); got != 2 {
			t.Errorf("serial %d after a bad file", got)
		}
	}
	hangup(env("3", "info", "1s"), "Settings reloaded")
	if got := serialAt(t, p.addr); got != 3 {
		t.Errorf("serial %d", got)
	}
	c.send(t, "still")
	if opcode, payload := c.frame(t); opcode != 1 || string(payload) != "still" {
		t.Errorf("frame %d %q", opcode, payload)
	}
	if strings.Contains(p.log.String(), "s3cret") {
		t.Error("the token is in the log")
	}
	_ = c.Close()
	_ = process.Signal(syscall.SIGTERM)
	p.wantExit(t, exitDone)
}

func TestClosedStderrEndsNothing(t *testing.T) {
	p, cmd, r, w := startOnPipe(t, "--echo", "--drain-window=0s")
	_, _ = r.Close(), w.Close()
	for range 3 {
		c := p.dial(t, "/echo", nil)
		c.send(t, "hello")
		if opcode, payload := c.frame(t); opcode != 1 || string(payload) != "hello" {
			t.Errorf("frame %d %q", opcode, payload)
		}
		_ = c.Close()
	}
	if err := cmd.Process.Signal(syscall.SIGPIPE); err != nil {
		t.Fatal(err)
	}
	p.dial(t, "/echo", nil)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	p.wantExit(t, exitDone)
}

// A FIFO stands for a mount whose server has gone.
func TestCertificateFileThatHangsDelaysNoHandshake(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, certFile, keyFile, 1)
	p, process := startProcess(t, "--tls-cert", certFile, "--tls-key", keyFile, "--drain-window=0s")
	_ = os.Remove(certFile)
	if err := syscall.Mkfifo(certFile, 0o600); err != nil {
		t.Fatal(err)
	}
	const told = "Certificate not renewed, what was read before stays in use"
	eventually(t, told, p.log.String, func() bool {
		if got := serialAt(t, p.addr); got != 1 {
			t.Fatalf("serial %d", got)
		}
		return strings.Contains(p.log.String(), told)
	})
	if line := p.log.await(t, told); line["error"] != errHangs.Error() {
		t.Errorf("%v", line)
	}

	stuck, err := os.OpenFile(certFile, os.O_WRONLY|syscall.O_NONBLOCK, 0) // fails if nobody reads
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(certFile)
	certify(t, certFile, keyFile, 2)
	_ = stuck.Close()
	eventually(t, "the renewed certificate", p.log.String, func() bool { return serialAt(t, p.addr) == 2 })

	_ = os.Remove(certFile)
	if err := syscall.Mkfifo(certFile, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, told, p.log.String, func() bool { return strings.Count(p.log.String(), told) == 2 })
	_ = process.Signal(syscall.SIGTERM) // with a read that hangs
	p.wantExit(t, exitDone)
}

func TestAdminTLSAndTokensInRotation(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := certify(t, certFile, keyFile, 1)
	tokens := write(t, filepath.Join(dir, "tokens"), "old\n")
	p, _ := start(t, "--admin-tls-cert", certFile, "--admin-tls-key", keyFile, "--admin-token-file", tokens)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
	}, Timeout: patience}
	status := func(token string) int {
		t.Helper()
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.admin+"/metrics", nil)
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	want := func(statuses map[string]int) {
		t.Helper()
		for token, want := range statuses {
			if got := status(token); got != want {
				t.Errorf("%s: %d, want %d", token, got, want)
			}
		}
	}
	want(map[string]int{"old": 200, "new": 401, "": 401})
	write(t, tokens, "# from June\nold\nnew\n")
	eventually(t, "the new token", p.log.String, func() bool { return status("new") == 200 })
	want(map[string]int{"old": 200, "oldnew": 401})
	write(t, tokens, "\n")
	p.log.await(t, "Admin tokens not renewed, what was read before stays in use")
	want(map[string]int{"old": 200, "new": 200, "": 401})
	write(t, tokens, "new\n")
	eventually(t, "the end of the old token", p.log.String, func() bool { return status("old") == 401 })
	want(map[string]int{"new": 200})

	if status, _ := get(t, "http://"+p.admin+"/livez"); status != http.StatusBadRequest {
		t.Errorf("plain HTTP: %d", status)
	}
}

// TestHangupAmidTheStart, while a file is read that comes slowly, ends nothing.
func TestHangupAmidTheStart(t *testing.T) {
	pipe := fifo(t, filepath.Join(t.TempDir(), "pipe"))
	p, process := launch(t, "--env-file", pipe, "--drain-window=0s")
	wrote := make(chan error, 1)
	go func() {
		writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when it is being read
		if err == nil {
			err = errors.Join(process.Signal(syscall.SIGHUP), writer.Close())
		}
		wrote <- err
	}()
	p.listening(t)
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	_ = process.Signal(syscall.SIGTERM)
	p.wantExit(t, exitDone)
}

// TestHangupsUntilTheEnd: none of them ends the program, whatever it is doing.
func TestHangupsUntilTheEnd(t *testing.T) {
	p, process := startProcess(t, "--drain-window=0s")
	if err := process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for process.Signal(syscall.SIGHUP) == nil { // until it is gone
	}
	p.wantExit(t, exitDone)
}

// TestReloadAmidTheEndTellsOfNoFault: a file that hangs is given up then.
func TestReloadAmidTheEndTellsOfNoFault(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var log bytes.Buffer
	l := &live{log: zerolog.New(&log), resolve: func(ctx context.Context) (*resolved, error) {
		stop()
		return nil, ctx.Err()
	}}
	l.reload(ctx)
	if log.Len() != 0 {
		t.Errorf("logged: %s", &log)
	}
}
