package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// asProgram makes the test binary be loadtest: workers are started with it, and
// tests with real signals use it.
const asProgram = "TEST_BE_LOADTEST"

// gate is the server the tests drive, built once.
var gate string

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	// The program starts workers of its own executable, which is the test binary.
	_ = os.Setenv(asProgram, "1")
	dir, err := os.MkdirTemp("", "loadtest")
	if err != nil {
		panic(err)
	}
	gate = filepath.Join(dir, "wheelgate")
	build := exec.Command("go", "build", "-tags", "urfave_cli_no_template", "-o", gate, "github.com/wheelgate/wheelgate/cmd/wheelgate")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// patience bounds every wait in these tests.
const patience = 60 * time.Second

// outcome is what a run of the program leaves behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// try runs the program in this process to its end.
func try(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), append([]string{"loadtest"}, args...), streams{strings.NewReader(""), &stdout, &stderr})
	return outcome{code, stdout.String(), stderr.String()}
}

// wantFault fails unless o is one line on stderr and this exit code.
func (o outcome) wantFault(t *testing.T, code int, line string) {
	t.Helper()
	if want := (outcome{code, "", "loadtest: " + line + "\n"}); o != want {
		t.Errorf("\n got %d %q %q\nwant %d %q %q", o.code, o.stderr, o.stdout, want.code, want.stderr, want.stdout)
	}
}

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

func TestBadCommandLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte("name: x\nconnections: 3\nhld: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "--url=ws://127.0.0.1:1/ws"
	f := func(line string, args ...string) {
		t.Helper()
		try(t, args...).wantFault(t, exitUsage, line)
	}
	f(`unknown command "rum": see loadtest --help`, "rum")
	f(`run: needs one scenario, a name or a file, and not 0: see loadtest run --help`, "run", url)
	f(`run: needs one scenario, a name or a file, and not 2: see loadtest run --help`, "run", url, "idle", "echo")
	f(`flag provided but not defined: -conections`, "run", "idle", "--conections=5")
	f(`scenario: "idel" is no ready-made one (idle, echo, broadcast, expiry, churn, storm, slow-readers, half-open, mixed, drain) and no readable file: no such file or directory`, "run", url, "idel")
	f(`scenario `+file+`: line 3: unknown field "hld" in the scenario: must be one of name, description, connections, connect, hold, messages, broadcasts, churn, storm, slow_readers, half_open, expire, drain`, "run", url, file)
	f(`url: needed: the server's, such as --url ws://127.0.0.1:8080/ws`, "run", "idle")
	f(`url: bad value "http://127.0.0.1:1/": must be ws:// or wss://host[:port][/path]`, "run", "idle", "--url=http://127.0.0.1:1/")
	f(`url: bad value "": must be ws:// or wss://host[:port][/path]`, "run", "idle", url+",")
	f(`connections: bad value "-1": must be a whole number from 1 to 10000000`, "run", "idle", url, "--connections=-1")
	f(`connections: bad value "": must be something`, "run", "idle", url, "--connections=")
	f(`connect-rate: bad value "fast": must be a number per second from 0 to 10000000`, "run", "idle", url, "--connect-rate=fast")
	f(`rate: scenario idle has no messages, broadcasts or churn: --connect-rate is for connections`, "run", "idle", url, "--rate=5")
	f(`scenario echo: messages.rate: 0 is not allowed: must be a number per second above 0 and up to 10000000`, "run", "echo", url, "--rate=0")
	f(`hold: bad value "5": must be a duration from 0s to 24h0m0s, such as 1m30s`, "run", "idle", url, "--hold=5")
	f(`duration: is another name for hold: set one of them`, "run", "idle", url, "--hold=5s", "--duration=6s")
	f(`tick: is for runs with --expiry`, "run", "idle", url, "--tick=1s")
	f(`header: bad value "nocolon": must be "Name: value"`, "run", "idle", url, "--header=nocolon")
	f(`sources: bad value "localhost": must be IP addresses of this machine, separated by commas`, "run", "idle", url, "--sources=127.0.0.1,localhost")
	f(`broadcast-url: scenario broadcast has broadcasts: say with --broadcast-url or --broadcast-message how they are asked for`, "run", "broadcast", url)
	f(`broadcast-url: scenario idle has no broadcasts`, "run", "idle", url, "--broadcast-url=http://127.0.0.1:1/")
	f(`broadcast-message: bad value "hello": must contain {payload}`, "run", "broadcast", url, "--broadcast-message=hello")
	f(`workers: bad value "0": must be auto, a number from 1 to 1000, or host:port,... of workers`, "run", "idle", url, "--workers=0")
	f(`workers: bad value "host": must be auto, a number from 1 to 1000, or host:port,... of workers`, "run", "idle", url, "--workers=host")
	f(`workers: 7 for 5 connections: must be at most as many`, "run", "idle", url, "--workers=7", "--connections=5")
	f(`metrics: 2 of them for 1 url: must be at most one for each`, "run", "idle", url, "--metrics=http://a/,http://b/")
	f(`server-pid: bad value "x": must be a process id`, "run", "idle", url, "--server-pid=x")
	f(`fail-if: objective "p99(ech)>5ms" at position 1: "ech" is no latency: want one of connect, handshake, echo, deliver, expiry, reconnect, lag, spread`, "run", "idle", url, "--fail-if=p99(ech)>5ms")
	f(`worker-token: bad value (secret): must be printable ASCII without spaces`, "run", "idle", url, "--worker-token=a b")
	f(`url: cannot connect to ws://127.0.0.1:1/ws: connection refused`, "run", "idle", url)
	f(`listen: needed: where jobs are taken, such as --listen 127.0.0.1:7070`, "worker")
	f(`listen: bad value "7070": must be host:port`, "worker", "--listen=7070")
	f(`listen: "0.0.0.0:0" is not a loopback address: set LOADTEST_WORKER_TOKEN or --token, or listen on 127.0.0.1`, "worker", "--listen=0.0.0.0:0")
	f(`scenario: "nope" is no ready-made one: see loadtest scenarios`, "scenarios", "show", "nope")
}

func TestTooFewDescriptors(t *testing.T) {
	o := try(t, "run", "idle", "--url=ws://127.0.0.1:1/ws", "--connections=10000000", "--workers=2")
	if o.code != exitUsage || !strings.HasPrefix(o.stderr, "loadtest: workers: 2 have descriptors for ") || strings.Count(o.stderr, "\n") != 1 {
		t.Errorf("%+v", o)
	}
}

func TestRefusedUpgrade(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	url := "ws" + strings.TrimPrefix(s.URL, "http")
	o := try(t, "run", "idle", "--url="+url)
	if o.code != exitUsage || !strings.HasPrefix(o.stderr, "loadtest: url: cannot connect to "+url+": refused 404") || strings.Count(o.stderr, "\n") != 1 {
		t.Errorf("%+v", o)
	}
}

func TestScenarios(t *testing.T) {
	o := try(t, "scenarios")
	if o.code != 0 || strings.Count(o.stdout, "\n") != 10 || o != try(t, "scenarios", "list") {
		t.Errorf("%+v", o)
	}
	o = try(t, "scenarios", "show", "storm")
	if o.code != 0 || !strings.HasPrefix(o.stdout, "name: storm\n") {
		t.Errorf("%+v", o)
	}
}

func TestHelpNamesAllFlags(t *testing.T) {
	o := try(t, "run", "--help")
	for _, f := range runFlags() {
		if !strings.Contains(o.stdout, "--"+f.Names()[0]) {
			t.Errorf("no --%s in\n%s", f.Names()[0], o.stdout)
		}
	}
	if o.code != 0 || o.stderr != "" {
		t.Errorf("%+v", o)
	}
}

func TestSecretsAreKeptOutOfTheRecord(t *testing.T) {
	got := withoutSecrets([]string{"loadtest", "run", "--worker-token", "a", "--broadcast-token=b", "--header", "Cookie: c", "--url=d"})
	if want := "loadtest run --worker-token (hidden) --broadcast-token (hidden) --header (hidden) --url=d"; strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
}

// TestEchoAgainstTheGateway is a whole run: records, progress, exit code.
func TestEchoAgainstTheGateway(t *testing.T) {
	g := startGateway(t)
	out := filepath.Join(t.TempDir(), "run.jsonl")
	o := try(t, "run", "echo", "--url", g.echo, "--connections=20", "--connect-rate=100", "--rate=50", "--hold=2s",
		"--workers=2", "--out", out, "--metrics", g.admin+"/metrics", "--allow-saturated")
	if o.code != exitDone {
		t.Fatalf("%+v", o)
	}
	lines := readLines(t, out)
	if lines[0].Header == nil || lines[len(lines)-1].End == nil {
		t.Errorf("%d lines, the first %+v", len(lines), lines[0])
	}
	if count(lines, record.Opened) != 20 || count(lines, record.Received) != 100 || count(lines, record.Dropped) != 0 {
		t.Errorf("opened %d, received %d", count(lines, record.Opened), count(lines, record.Received))
	}
	process, metrics := false, false
	for _, line := range lines {
		if line.Server != nil && line.Server.Target == 0 {
			process = process || line.Server.Process != nil && line.Server.Process.RSS > 0
			metrics = metrics || line.Server.Metrics["go_goroutines"] > 0
		}
	}
	if !process || !metrics {
		t.Errorf("the server's process was seen: %v, its metrics: %v", process, metrics)
	}
	if !strings.Contains(o.stderr, "holding: 20 of 20 open") || !strings.Contains(o.stderr, "ETA") {
		t.Errorf("progress: %s", o.stderr)
	}
}

func TestBroadcastAgainstTheGateway(t *testing.T) {
	g := startGateway(t)
	out := filepath.Join(t.TempDir(), "run.jsonl")
	o := try(t, "run", "broadcast", "--url", g.ws, "--connections=20", "--connect-rate=100", "--rate=4", "--hold=1s", "--quiet",
		"--broadcast-url", g.admin+"/v1/broadcast", "--out", out, "--allow-saturated")
	if o.code != exitDone || o.stderr != "" || !strings.Contains(o.stdout, "broadcast") {
		t.Fatalf("%+v", o)
	}
	receipts := 0
	for _, line := range readLines(t, out) {
		if line.Broadcast != nil {
			receipts += line.Broadcast.Receipts
		}
	}
	if receipts != 4*20 {
		t.Errorf("%d receipts", receipts)
	}
}

// TestExpiryAgainstTheGateway: all sessions of the real server expire, none early.
func TestExpiryAgainstTheGateway(t *testing.T) {
	g := startGateway(t, "--session-timeout=2s", "--tick=100ms")
	out := filepath.Join(t.TempDir(), "run.jsonl")
	o := try(t, "run", "idle", "--url", g.ws, "--connections=50", "--connect-rate=100", "--hold=100ms", "--expiry=2s", "--tick=100ms",
		"--out", out, "--quiet", "--allow-saturated")
	if o.code != exitDone {
		t.Fatalf("%+v", o)
	}
	lines, expired := readLines(t, out), int64(0)
	for _, line := range lines {
		if line.Sample != nil {
			expired += line.Sample.Closes[4202]
		}
	}
	if expired != 50 || count(lines, record.Early) != 0 || count(lines, record.Unexpired) != 0 {
		t.Errorf("%d expired, %d early, %d not", expired, count(lines, record.Early), count(lines, record.Unexpired))
	}
	if h := lines[0].Header; h.Expiry != 2*time.Second || h.Tick != 100*time.Millisecond {
		t.Errorf("%+v", h)
	}
}

// started is the program as a process of its own.
type started struct {
	cmd    *exec.Cmd
	stderr *bufio.Scanner
	lines  []string
}

func startProgram(t *testing.T, args ...string) *started {
	t.Helper()
	p := &started{cmd: exec.Command(os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewScanner(pipe)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() {
		kill.Stop()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

// await reads stderr up to a line that contains text.
func (p *started) await(t *testing.T, text string) {
	t.Helper()
	for p.stderr.Scan() {
		p.lines = append(p.lines, p.stderr.Text())
		if strings.Contains(p.stderr.Text(), text) {
			return
		}
	}
	t.Fatalf("no %q in %q", text, p.lines)
}

func (p *started) exit(t *testing.T) int {
	t.Helper()
	for p.stderr.Scan() {
		p.lines = append(p.lines, p.stderr.Text())
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// children are the processes a program has started.
func children(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Skip("needs /proc")
	}
	all := strings.Fields(string(text))
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		if task.Name() != fmt.Sprint(pid) {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
			all = append(all, strings.Fields(string(text))...)
		}
	}
	return all
}

func wantGone(t *testing.T, pids []string) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat("/proc/" + pid); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("worker %s is left running", pid)
			}
		}
	}
}

// TestInterruptReportsAndLeavesNothing sends SIGINT to a run of an hour, as a
// terminal does: to the workers too.
func TestInterruptReportsAndLeavesNothing(t *testing.T) {
	g := startGateway(t)
	out := filepath.Join(t.TempDir(), "run.jsonl")
	p := startProgram(t, "run", "idle", "--url", g.ws, "--connections=20", "--hold=1h", "--workers=2", "--out", out)
	p.await(t, "holding: 20 of 20 open")
	workers := children(t, p.cmd.Process.Pid)
	if len(workers) != 2 {
		t.Errorf("%d workers", len(workers))
	}
	for _, worker := range workers {
		pid, _ := strconv.Atoi(worker)
		if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != exitFailure {
		t.Errorf("exit %d: %q", code, p.lines)
	}
	wantGone(t, workers)
	lines := readLines(t, out)
	if end := lines[len(lines)-1].End; end == nil || !end.Interrupted {
		t.Errorf("the record ends with %+v", lines[len(lines)-1])
	}
	if count(lines, record.Left) != 20 {
		t.Errorf("%d left in order", count(lines, record.Left))
	}
	if last := p.lines[len(p.lines)-1]; !strings.HasPrefix(last, "loadtest: interrupted after ") {
		t.Errorf("%q", last)
	}
}

// TestSecondSignalEndsAtOnce has a server that answers no close frame, so that
// leaving in order takes its time.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	url := startMute(t)
	p := startProgram(t, "run", "idle", "--url", url, "--connections=3", "--hold=1h")
	p.await(t, "holding: 3 of 3 open")
	workers := children(t, p.cmd.Process.Pid)
	_ = p.cmd.Process.Signal(os.Interrupt)
	p.await(t, "open") // the next second's line: it is leaving
	_ = p.cmd.Process.Signal(os.Interrupt)
	if code := p.exit(t); code != 130 {
		t.Errorf("exit %d: %q", code, p.lines)
	}
	wantGone(t, workers)
}

// TestKilledCoordinatorLeavesNothing kills it so that it cannot say goodbye.
func TestKilledCoordinatorLeavesNothing(t *testing.T) {
	g := startGateway(t)
	p := startProgram(t, "run", "idle", "--url", g.ws, "--connections=20", "--hold=1h", "--workers=2")
	p.await(t, "holding: 20 of 20 open")
	workers := children(t, p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill()
	p.exit(t)
	wantGone(t, workers)
}

// TestRemoteWorkerProgram runs with a worker that was started by hand, and ends that
// by SIGTERM.
func TestRemoteWorkerProgram(t *testing.T) {
	g := startGateway(t)
	w := startProgram(t, "worker", "--listen=127.0.0.1:0", "--token=s3cret")
	w.await(t, "taking jobs at ")
	_, addr, _ := strings.Cut(w.lines[len(w.lines)-1], "taking jobs at ")
	args := []string{"run", "idle", "--url", g.ws, "--connections=5", "--hold=100ms", "--quiet", "--allow-saturated", "--workers", addr}
	o := try(t, append(args, "--worker-token=wrong")...)
	o.wantFault(t, exitUsage, "worker "+addr+": 401 Unauthorized: wrong token")
	if o := try(t, append(args, "--worker-token=s3cret")...); o.code != exitDone {
		t.Errorf("%+v", o)
	}
	_ = w.cmd.Process.Signal(os.Interrupt)
	if code := w.exit(t); code != exitDone {
		t.Errorf("exit %d: %q", code, w.lines)
	}
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
