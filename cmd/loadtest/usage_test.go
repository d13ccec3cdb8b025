package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
	f(`--conections: no flag of loadtest run: see loadtest run --help`, "run", "idle", "--conections=5")
	f(`--hold: needs a value: see loadtest run --help`, "run", "idle", "--hold")
	f(`--hold: no flag of loadtest: see loadtest --help`, "--hold")
	f(`--hold: no flag of loadtest scenarios show: see loadtest scenarios show --help`, "scenarios", "show", "idle", "--hold")
	f(`scenario: "idel" is no ready-made one (idle, echo, broadcast, expiry, churn, storm, slow-readers, half-open, mixed, drain) and no readable file: no such file or directory`, "run", url, "idel")
	f(`scenario `+file+`: line 3: unknown field "hld" in the scenario: must be one of name, description, connections, connect, hold, messages, broadcasts, churn, storm, slow_readers, half_open, expire, drain`, "run", url, file)
	f(`--url: needed: the server's, such as --url ws://127.0.0.1:8080/ws`, "run", "idle")
	f(`--url: bad value "http://127.0.0.1:1/": must be ws:// or wss://host[:port][/path]`, "run", "idle", "--url=http://127.0.0.1:1/")
	f(`--url: bad value "": must be ws:// or wss://host[:port][/path]`, "run", "idle", url+",")
	f(`--connections: bad value "-1": must be a whole number from 1 to 10000000`, "run", "idle", url, "--connections=-1")
	f(`--connections: bad value "": must be something`, "run", "idle", url, "--connections=")
	f(`--connect-rate: bad value "fast": must be a number per second from 0 to 10000000`, "run", "idle", url, "--connect-rate=fast")
	f(`--rate: scenario idle has no messages, broadcasts or churn: --connect-rate is for connections`, "run", "idle", url, "--rate=5")
	f(`--rate: bad value "0": must be a number per second above 0 and up to 10000000`, "run", "echo", url, "--rate=0")
	f(`--hold: bad value "5": must be a duration from 0s to 24h0m0s, such as 1m30s`, "run", "idle", url, "--hold=5")
	f(`--duration: is another name for --hold: set one of them`, "run", "idle", url, "--hold=5s", "--duration=6s")
	f(`--tick: is for runs with --expiry`, "run", "idle", url, "--tick=1s")
	f(`--header: bad value "nocolon": must be "Name: value"`, "run", "idle", url, "--header=nocolon")
	f(`--sources: bad value "localhost": must be IP addresses of this machine, separated by commas`, "run", "idle", url, "--sources=127.0.0.1,localhost")
	f(`--broadcast-url: scenario broadcast has broadcasts: say with --broadcast-url or --broadcast-message how they are asked for`, "run", "broadcast", url)
	f(`--broadcast-url: scenario idle has no broadcasts`, "run", "idle", url, "--broadcast-url=http://127.0.0.1:1/")
	f(`--broadcast-message: bad value "hello": must contain {payload}`, "run", "broadcast", url, "--broadcast-message=hello")
	f(`--workers: bad value "0": must be auto, a number from 1 to 1000, or host:port,... of workers`, "run", "idle", url, "--workers=0")
	f(`--workers: bad value "host": must be auto, a number from 1 to 1000, or host:port,... of workers`, "run", "idle", url, "--workers=host")
	f(`--workers: bad value "[::1]": must be auto, a number from 1 to 1000, or host:port,... of workers`, "run", "idle", url, "--workers=[::1]")
	f(`--sources: are addresses of this machine, and --workers names others: set one of them`, "run", "idle", url, "--sources=127.0.0.1", "--workers=[::1]:7000")
	f(`--workers: 7 for 5 connections: must be at most as many`, "run", "idle", url, "--workers=7", "--connections=5")
	f(`--metrics: 2 of them for 1 --url: must be at most one for each`, "run", "idle", url, "--metrics=http://a/,http://b/")
	f(`--server-pid: bad value "x": must be a process id`, "run", "idle", url, "--server-pid=x")
	f(`--fail-if: objective "p99(ech)>5ms" at position 1: "ech" is no latency: want one of connect, handshake, echo, deliver, expiry, reconnect, lag, spread`, "run", "idle", url, "--fail-if=p99(ech)>5ms")
	f(`--worker-token: bad value (secret): must be printable ASCII without spaces`, "run", "idle", url, "--worker-token=a b")
	f(`--header: bad value "upgrade: x": must be none of the handshake's own (Upgrade, Connection, Sec-WebSocket-*)`, "run", "idle", url, "--header=upgrade: x")
	f(`--url: cannot connect to ws://127.0.0.1:1/ws: connection refused: nobody listens there`, "run", "idle", url)
	f(`--listen: needed: where jobs are taken, such as --listen 127.0.0.1:7070`, "worker")
	f(`--listen: bad value "7070": must be host:port`, "worker", "--listen=7070")
	f(`--listen: "0.0.0.0:0" is not a loopback address: set LOADTEST_WORKER_TOKEN or --token, or listen on 127.0.0.1`, "worker", "--listen=0.0.0.0:0")
	f(`scenario: "nope" is no ready-made one: see loadtest scenarios`, "scenarios", "show", "nope")
}

// TestSecretsFromVariables are told by the variable's name.
func TestSecretsFromVariables(t *testing.T) {
	t.Setenv("LOADTEST_WORKER_TOKEN", "a b")
	try(t, "run", "idle", "--url=ws://127.0.0.1:1/ws").wantFault(t, exitUsage, "LOADTEST_WORKER_TOKEN: bad value (secret): must be printable ASCII without spaces")
}

func TestTooFewDescriptors(t *testing.T) {
	o := try(t, "run", "idle", "--url=ws://127.0.0.1:1/ws", "--connections=10000000", "--workers=2")
	if o.code != exitUsage || !strings.HasPrefix(o.stderr, "loadtest: --workers: 2 have descriptors for ") || strings.Count(o.stderr, "\n") != 1 {
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
	f := func(want string, args ...string) {
		t.Helper()
		if got := strings.Join(withoutSecrets(append([]string{"loadtest", "run"}, args...)), " "); got != "loadtest run "+want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("--worker-token (hidden) --broadcast-token (hidden) --header (hidden) --url=d", "--worker-token", "a", "--broadcast-token=b", "--header", "Cookie: c", "--url=d")
	f("--url=ws://h/ws?token=(hidden)&room=(hidden),ws://i/ws?(hidden) --out=a?b=c", "--url=ws://h/ws?token=s3cret&room=7,ws://i/ws?s3cret", "--out=a?b=c")
	f("--metrics http://h/m?key=(hidden) ws://h/", "--metrics", "http://h/m?key=s3cret=", "ws://h/")
}

// TestTokenOfTheURLIsNotRecorded has it in the query, which the server gets and no file.
func TestTokenOfTheURLIsNotRecorded(t *testing.T) {
	g := startGateway(t)
	dir := t.TempDir()
	out, page := filepath.Join(dir, "run.jsonl"), filepath.Join(dir, "run.html")
	o := try(t, "run", "idle", "--url", g.ws+"?token=s3cret", "--connections=1", "--hold=100ms", "--quiet", "--allow-saturated", "--out", out, "--html", page)
	if o.code != exitDone || strings.Contains(o.stdout, "s3cret") {
		t.Errorf("%+v", o)
	}
	for _, name := range []string{out, page} {
		if text, err := os.ReadFile(name); err != nil || strings.Contains(string(text), "s3cret") || !strings.Contains(string(text), "token=(hidden)") {
			t.Errorf("%s has it: %v", name, err)
		}
	}
}
