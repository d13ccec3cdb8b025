package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDrain(t *testing.T) {
	p, stop := start(t, "--close-wait=30s", "--drain-window=1s")
	if status, _ := get(t, "http://"+p.admin+"/readyz"); status != http.StatusOK {
		t.Fatalf("ready: %d", status)
	}
	c := p.dial(t, "/ws", nil)
	stop()
	c.wantClose(t, 4101)

	// The session is held open, so the drain goes on: who comes now is told so.
	if status, header := get(t, "http://"+p.addr+"/ws", upgrade...); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
		t.Errorf("upgrade while draining: %d %v", status, header)
	}
	if status, _ := get(t, "http://"+p.admin+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready while draining: %d", status)
	}
	if status, _ := get(t, "http://"+p.admin+"/livez"); status != http.StatusOK {
		t.Errorf("live while draining: %d", status)
	}
	_ = c.Close()
	p.wantExit(t, exitDone)
	for _, addr := range []string{p.addr, p.admin} {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close()
			t.Errorf("%s still listens", addr)
		}
	}
}

// TestDrainWaitOfTheProgram: not ready, and still open to who has not heard.
func TestDrainWaitOfTheProgram(t *testing.T) {
	p, process := startProcess(t, "--drain-wait=10m")
	if err := process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of readiness", p.log.String, func() bool {
		status, _ := get(t, "http://"+p.admin+"/readyz")
		return status == http.StatusServiceUnavailable
	})
	c := p.dial(t, "/ws", nil)
	if err := process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wantExit(t, 128+int(syscall.SIGTERM))
	c.wantEnd(t)
}

// TestWarningOfAnyHost: off loopback somebody's page may come by a name of its own.
func TestWarningsAtStart(t *testing.T) {
	const anyHost, smallBudget = "DNS rebinding", "partial budget is less than"
	for _, c := range []struct {
		args []string
		want string // "": none
	}{
		{[]string{"--listen=:0"}, anyHost},
		{nil, ""},
		{[]string{"--listen=:0", "--allow-host=*"}, ""},
		{[]string{"--listen=:0", "--allow-origin=https://app.test"}, ""},
		{[]string{"--partial-budget=63KiB"}, smallBudget},
		{[]string{"--partial-budget=64KiB"}, ""},
	} {
		p, stop := start(t, c.args...)
		for _, warning := range []string{anyHost, smallBudget} {
			if got := strings.Contains(p.log.String(), warning); got != (c.want == warning) {
				t.Errorf("%v: warned of %q: %v", c.args, warning, got)
			}
		}
		stop()
		p.wantExit(t, exitDone)
	}
}

func TestListenerMetrics(t *testing.T) {
	p, _ := start(t, "--allow-host=gate.test")
	if status, _ := get(t, "http://"+p.addr+"/ws", upgrade...); status != http.StatusMisdirectedRequest {
		t.Errorf("status %d", status)
	}
	p.log.await(t, "Handshake rejected")
	silent, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	var metrics string
	has := func(line string) func() bool {
		return func() bool {
			metrics = read(t, "http://"+p.admin+"/metrics")
			return strings.Contains(metrics, line+"\n")
		}
	}
	explain := func() string { return metrics }
	for _, line := range []string{
		"wheelgate_handshakes_in_progress 1", `wheelgate_handshakes_rejected_total{reason="host_not_allowed"} 1`,
		"wheelgate_admin_connections_limit 48", `wheelgate_connections_refused_total{reason="share"} 0`,
	} {
		eventually(t, line, explain, has(line))
	}
}

func read(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPublicListenerServesNothingElse(t *testing.T) {
	p, _ := start(t)
	f := func(want int, path string, header ...string) {
		t.Helper()
		if status, _ := get(t, "http://"+p.addr+path, header...); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	f(http.StatusUpgradeRequired, "/ws")
	for _, path := range []string{"/", "/ws/", "//ws", "/./ws", "/echo", "/metrics", "/livez", "/v1/stats"} {
		f(http.StatusNotFound, path)
	}
	f(http.StatusUpgradeRequired, "/ws", "X", strings.Repeat("x", 7<<10))
	f(http.StatusRequestHeaderFieldsTooLarge, "/ws", "X", strings.Repeat("x", 9<<10))
}

func TestNothingAnswersOptionsOfTheServer(t *testing.T) {
	p, _ := start(t)
	for _, addr := range []string{p.addr, p.admin} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusNotFound || answer.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v", addr, answer.StatusCode, answer.Header)
		}
	}
}

func TestEchoIsServedWhenAskedFor(t *testing.T) {
	p, _ := start(t, "--echo")
	c := p.dial(t, "/echo", nil)
	c.send(t, "hello")
	if opcode, payload := c.frame(t); opcode != 1 || string(payload) != "hello" {
		t.Errorf("frame %d %q", opcode, payload)
	}
}

func TestSettingsReachTheGateway(t *testing.T) {
	p, _ := start(t, "--session-timeout=2s", "--tick=20ms", "--max-sessions=1", "--idle-reconnect=false", "--admin-token=s3cret")
	c := p.dial(t, "/ws", nil)
	if status, _ := get(t, "http://"+p.addr+"/ws", upgrade...); status != http.StatusServiceUnavailable {
		t.Errorf("second session: %d", status)
	}
	if status, _ := get(t, "http://"+p.admin+"/metrics"); status != http.StatusUnauthorized {
		t.Errorf("metrics without a token: %d", status)
	}
	if status, _ := get(t, "http://"+p.admin+"/metrics", "Authorization", "Bearer s3cret"); status != http.StatusOK {
		t.Errorf("metrics with a token: %d", status)
	}
	c.wantClose(t, 4500)
	if strings.Contains(p.log.String(), "s3cret") {
		t.Errorf("the token is in the log: %s", p.log)
	}
}

func TestSlowRequestIsCutOff(t *testing.T) {
	p, _ := start(t, "--handshake-timeout=100ms")
	for _, text := range []string{"", "GET /ws HTT", "POST /ws HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"} {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		(&peer{conn, nil}).cutOff(t, begun)
	}
}

func (c *peer) cutOff(t *testing.T, begun time.Time) {
	t.Helper()
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(begun.Add(patience))
	for buffer := make([]byte, 512); ; {
		if _, err := c.Read(buffer); err != nil {
			break
		}
	}
	if took := time.Since(begun); took > patience/2 {
		t.Errorf("cut off after %v", took)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := certify(t, certFile, keyFile, 1)
	p, stop := start(t, "--drain-window=0s", "--tls-cert", certFile, "--tls-key", keyFile)
	trusting := func(cert *x509.Certificate) *tls.Config {
		pool := x509.NewCertPool()
		pool.AddCert(cert)
		return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"h2", "http/1.1"}}
	}
	old := trusting(cert)
	first := p.dial(t, "/ws", old)

	old.MaxVersion = tls.VersionTLS11
	if conn, err := tls.Dial("tcp", p.addr, old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}

	// The new pair is in use a second later, for new connections.
	renewed := trusting(certify(t, certFile, keyFile, 2))
	eventually(t, "the renewed certificate", p.log.String, func() bool {
		conn, err := tls.Dial("tcp", p.addr, renewed)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	second := p.dial(t, "/ws", renewed)
	stop()
	for _, c := range []*peer{first, second} {
		c.wantClose(t, 4101)
		_ = c.Close()
	}
	p.wantExit(t, exitDone)
}

func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	addr := taken.Addr().String()
	try(t, nil, "--listen", addr, "--admin-listen=127.0.0.1:0").wantFault(t, exitFailure,
		fmt.Sprintf("listen: cannot listen on %q: bind: address already in use", addr))
	try(t, nil, "--listen=127.0.0.1:0", "--admin-listen", addr).wantFault(t, exitFailure,
		fmt.Sprintf("admin-listen: cannot listen on %q: bind: address already in use", addr))
}

func TestStartSaysWhatItIs(t *testing.T) {
	p, stop := start(t, "--max-sessions=7")
	p.log.await(t, "Can hold 7 sessions")
	p.log.await(t, "Started session expiry with 30.0 minute timeout")
	stop()
	p.wantExit(t, exitDone)
	p.log.await(t, "Stopped session expiry")
	for line := range strings.Lines(p.log.String()) {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestOneSignalDrains(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p, process := startProcess(t)
		c := p.dial(t, "/ws", nil)
		if err := process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		c.wantClose(t, 4101)
		_ = c.Close()
		p.wantExit(t, exitDone)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p, process := startProcess(t, "--close-wait=10m")
		c := p.dial(t, "/ws", nil)
		if err := process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.wantClose(t, 4101) // and no answer: the drain would take ten minutes
		if err := process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		p.wantExit(t, 128+int(signal))
		c.wantEnd(t)
	}
}
