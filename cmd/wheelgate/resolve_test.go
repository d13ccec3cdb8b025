package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
)

// inFile makes text the ./.env file of this test.
func inFile(t *testing.T, text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	write(t, ".env", text)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDefaultsAreTheGateways(t *testing.T) {
	r, err := resolve(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := gateway.DefaultConfig()
	want.Logger, r.gateway.Logger = zerolog.Logger{}, zerolog.Logger{}
	if !reflect.DeepEqual(r.gateway, want) {
		t.Errorf("\n got %+v\nwant %+v", r.gateway, want)
	}
}

func TestPrecedence(t *testing.T) {
	inFile(t, "WHEELGATE_TICK=100ms\nOTHER=x\nexport WHEELGATE_LISTEN=':9'\n")
	f := func(setting, want string, environ []string, args ...string) {
		t.Helper()
		if got := try(t, environ, append([]string{"config"}, args...)...).row(t, setting); got != want {
			t.Errorf("%s %v %v: got %q, want %q", setting, environ, args, got, want)
		}
	}
	f("tick", "100ms WHEELGATE_TICK in file .env", nil)
	f("tick", "200ms variable WHEELGATE_TICK", []string{"WHEELGATE_TICK=200ms"})
	f("tick", "300ms flag --tick", []string{"WHEELGATE_TICK=200ms"}, "--tick", "300ms")
	f("tick", "1s (automatic) flag --tick", nil, "--tick=0s")
	f("tick", "1s (automatic) default", nil, "--env-file=")
	f("listen", ":9 WHEELGATE_LISTEN in file .env", nil)
	f("echo", "false default", nil)
	f("echo", "true flag --echo", nil, "--echo")
	f("echo", "false flag --echo", []string{"WHEELGATE_ECHO=true"}, "--echo=false")
	f("echo", "1 variable WHEELGATE_ECHO", []string{"WHEELGATE_ECHO=1"})
	f("tls-cert", "(none) variable WHEELGATE_TLS_CERT", []string{"WHEELGATE_TLS_CERT="})
	f("allow-origin", "https://a,https://b:8 flag --allow-origin", nil, "--allow-origin=https://a", "--allow-origin", "https://b:8")
	f("tick", "2s flag --tick", nil, "--tick=1s", "--tick=2s")
	f("env-file", ".env default", nil)
}

func TestFlagsMayStandBeforeTheCommandToo(t *testing.T) {
	if got := try(t, nil, "--tick=50ms", "config", "--echo").row(t, "tick"); got != "50ms flag --tick" {
		t.Error(got)
	}
}

func TestEnvFile(t *testing.T) {
	dir := t.TempDir()
	other := write(t, filepath.Join(dir, "other"), "WHEELGATE_TICK=400ms\n")
	want := "400ms WHEELGATE_TICK in file " + other
	if got := try(t, nil, "config", "--env-file", other).row(t, "tick"); got != want {
		t.Errorf("flag: %q", got)
	}
	if got := try(t, []string{"WHEELGATE_ENV_FILE=" + other}, "config").row(t, "tick"); got != want {
		t.Errorf("variable: %q", got)
	}
	if got := try(t, nil, "config").row(t, "env-file"); got != ".env (not there) default" {
		t.Errorf("missing default: %q", got)
	}
	if value, ok := os.LookupEnv("WHEELGATE_TICK"); ok {
		t.Errorf("the process's environment got WHEELGATE_TICK=%s", value)
	}
}

func TestEnvFileFaults(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	try(t, nil, "--env-file", missing).wantFault(t, exitUsage,
		`env-file: bad value "`+missing+`" from flag --env-file: must be a readable file: no such file or directory`)
	try(t, []string{"WHEELGATE_ENV_FILE=" + dir}).wantFault(t, exitUsage,
		`env-file: bad value "`+dir+`" from variable WHEELGATE_ENV_FILE: must be a readable file: is a directory`)

	f := func(text, line string) {
		t.Helper()
		inFile(t, text)
		try(t, nil, "config").wantFault(t, exitUsage, line)
	}
	f("A=1\n\n# c\nWHEELGATE_ADMIN_TOKEN secret\nB=2\n", "env-file: line 4 of file .env is not NAME=value")
	f("A='two\nlines'\nB!\n", "env-file: line 3 of file .env is not NAME=value")
	f("A=1\nWHEELGATE_TICK", "env-file: line 2 of file .env is not NAME=value")
	f("A=\"open\n", "env-file: line 1 of file .env is not NAME=value")
	f("A='two\nlines'\r\nB=\"open $X\nC=1\n", "env-file: line 3 of file .env is not NAME=value")
	f("A$=1\n", "env-file: line 1 of file .env is not NAME=value")
	f("\xff\xfeA\x00", "env-file: file .env is not text in UTF-8")
	const dollar = " in file .env has a $ that would begin a variable's name: put the value in single quotes"
	f("FOO=x\nWHEELGATE_ADMIN_TOKEN=pa$$w0rd$FOO\n", "env-file: WHEELGATE_ADMIN_TOKEN"+dollar)
	f("A=\"${HOME}\"\n", "env-file: A"+dollar)
	f("A=$HOME/c.pem\n", "env-file: A"+dollar)
	f("WHEELGATE_TICK=1ms\n",
		`tick: bad value "1ms" from WHEELGATE_TICK in file .env: must be 0s or a duration from 20ms to 1m, such as 1m30s`)
	f("WHEELGATE_TIK=1s\n", "unknown variable WHEELGATE_TIK in file .env: did you mean WHEELGATE_TICK?")
	f("WHEELGATE_ENV_FILE=x\n", "env-file: WHEELGATE_ENV_FILE in file .env has no effect: use the flag or the environment")
}

func TestEnvFileIsReadAsItStands(t *testing.T) {
	const text = "\ufeffA='pa$$w0rd$FOO'\nB=a$\nC=\"$ 5\"\n"
	inFile(t, text)
	in := &inputs{}
	if err := in.readFile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"A": "pa$$w0rd$FOO", "B": "a$", "C": "$ 5"}; !maps.Equal(in.file, want) {
		t.Errorf("got %q, want %q", in.file, want)
	}
}

// In a file of 16,000 lines, the bad line is found in some twenty readings.
func TestBadLineOfALongEnvFileIsFound(t *testing.T) {
	lines := slices.Repeat([]string{"NAME='some\n value'\n"}, 8000)
	for i := range lines {
		lines[i] = strings.Replace(lines[i], "NAME", fmt.Sprint("NAME", i), 1)
	}
	for _, bad := range []string{"bad line\n", "A=\"open\n"} {
		lines[3000] = bad
		_, err := parseEnv(strings.Join(lines, ""), "x")
		if err == nil || err.Error() != "env-file: line 6001 of file x is not NAME=value" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	f := func(variable, line string) {
		t.Helper()
		try(t, []string{variable}).wantFault(t, exitUsage, line)
	}
	f("WHEELGATE_SESION_TIMEOUT=5m", "unknown variable WHEELGATE_SESION_TIMEOUT: did you mean WHEELGATE_SESSION_TIMEOUT?")
	f("WHEELGATE_SESSION_TIMEOUT_MINUTES=5", "unknown variable WHEELGATE_SESSION_TIMEOUT_MINUTES: did you mean WHEELGATE_SESSION_TIMEOUT?")
	f("WHEELGATE_ADMIN_TOKENFILE=x", "unknown variable WHEELGATE_ADMIN_TOKENFILE: did you mean WHEELGATE_ADMIN_TOKEN_FILE?")
	f("WHEELGATE_PORT=9090", "unknown variable WHEELGATE_PORT: did you mean WHEELGATE_LISTEN?")
	f("WHEELGATE_ADMIN_PORT=9090", "unknown variable WHEELGATE_ADMIN_PORT: did you mean WHEELGATE_ADMIN_LISTEN?")
	f("WHEELGATE_ADMIN_PORT_8081=x", "unknown variable WHEELGATE_ADMIN_PORT_8081: did you mean WHEELGATE_ADMIN_TLS_KEY?")
	f("WHEELGATE_PORT_TIMEOUT=5s", "unknown variable WHEELGATE_PORT_TIMEOUT: did you mean WHEELGATE_PONG_TIMEOUT?")
	f("WHEELGATE_SERVICE_TIMEOUT=5m", "unknown variable WHEELGATE_SERVICE_TIMEOUT: did you mean WHEELGATE_SESSION_TIMEOUT?")
	f("WHEELGATE_=", "unknown variable WHEELGATE_: did you mean WHEELGATE_LISTEN?")
}

func TestServiceLinksOfKubernetesAreIgnored(t *testing.T) {
	var environ []string
	for _, service := range []string{"WHEELGATE", "WHEELGATE_ADMIN", "WHEELGATE_METRICS_2"} {
		for _, variable := range []string{
			"_SERVICE_HOST=10.0.0.1", "_SERVICE_PORT=8081", "_SERVICE_PORT_HTTP=8081", "_SERVICE_PORT_HTTP_ALT_2=8082",
			"_PORT=tcp://10.0.0.1:8081", "_PORT_8081_TCP=tcp://10.0.0.1:8081", "_PORT_8081_TCP_PROTO=tcp",
			"_PORT_8081_TCP_PORT=8081", "_PORT_8081_TCP_ADDR=10.0.0.1", "_PORT_53_UDP=udp://[fd00::1]:53", "_PORT_53_UDP_ADDR=fd00::1",
		} {
			environ = append(environ, service+variable)
		}
	}
	try(t, environ, "config").row(t, "listen")
	for i := range settings {
		if link := settings[i].variable() + "=tcp://10.0.0.1:1"; serviceLink.MatchString(link) {
			t.Errorf("%s: a misspelling would be taken for a service link", link)
		}
	}
}

func TestSessionTimeoutMinutes(t *testing.T) {
	const variable = "SESSION_TIMEOUT_MINUTES"
	for _, bad := range []string{"0", "-5", "abc", "1.5", "99999999999999999999", "", "525601", "+5", " 5", "0x10"} {
		line := `session-timeout: bad value "` + bad + `" from %: must be a whole number of minutes from 1 to 525600`
		try(t, []string{variable + "=" + bad}).wantFault(t, exitUsage, strings.Replace(line, "%", "variable "+variable, 1))
		inFile(t, variable+"='"+bad+"'\n")
		try(t, nil).wantFault(t, exitUsage, strings.Replace(line, "%", variable+" in file .env", 1))
	}

	f := func(want time.Duration, row, file string, environ []string, args ...string) {
		t.Helper()
		inFile(t, file)
		if got := try(t, environ, append(args, "config")...).row(t, "session-timeout"); got != row {
			t.Errorf("got %q, want %q", got, row)
		}
		flags := map[string]string{}
		for _, arg := range args {
			flags["session-timeout"] = strings.TrimPrefix(arg, "--session-timeout=")
		}
		if r, err := resolve(t.Context(), flags, environ); err != nil || r.gateway.SessionTimeout != want {
			t.Errorf("got %v %v, want %v", r.gateway.SessionTimeout, err, want)
		}
	}
	f(time.Minute, "1m variable SESSION_TIMEOUT_MINUTES", "", []string{variable + "=1"})
	f(gateway.MaxTimeout, "8760h variable SESSION_TIMEOUT_MINUTES", "", []string{variable + "=525600"})
	f(5*time.Minute, "5m SESSION_TIMEOUT_MINUTES in file .env", variable+"=5\n", nil)
	f(7*time.Minute, "7m variable SESSION_TIMEOUT_MINUTES", variable+"=5\n", []string{variable + "=7"})
	f(time.Hour, "1h0m0s flag --session-timeout", "", []string{variable + "=60"}, "--session-timeout=1h0m0s")
	f(time.Hour, "60m variable WHEELGATE_SESSION_TIMEOUT", "", []string{variable + "=60", "WHEELGATE_SESSION_TIMEOUT=60m"})
}

func TestSessionTimeoutContradicted(t *testing.T) {
	try(t, []string{"SESSION_TIMEOUT_MINUTES=30"}, "--session-timeout=20m").wantFault(t, exitUsage,
		`session-timeout: "20m" from flag --session-timeout contradicts "30" from variable SESSION_TIMEOUT_MINUTES: set one of them, or both alike`)
	inFile(t, "SESSION_TIMEOUT_MINUTES=5\n")
	try(t, []string{"WHEELGATE_SESSION_TIMEOUT=6m"}).wantFault(t, exitUsage,
		`session-timeout: "6m" from variable WHEELGATE_SESSION_TIMEOUT contradicts "5" from SESSION_TIMEOUT_MINUTES in file .env: set one of them, or both alike`)
	try(t, []string{"WHEELGATE_SESSION_TIMEOUT=x"}).wantFault(t, exitUsage,
		`session-timeout: bad value "x" from variable WHEELGATE_SESSION_TIMEOUT: must be a duration from 40ms to 8760h, such as 1m30s`)
}
