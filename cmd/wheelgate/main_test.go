package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asProgram makes the test binary be wheelgate, for tests with real signals.
const asProgram = "TEST_BE_WHEELGATE"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// outcome is what a run of the program that ends by itself leaves behind.
type outcome struct {
	code           int
	stdout, stderr string
}

// try runs the program to its end, with this environment and these arguments.
func try(t *testing.T, environ []string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), append([]string{"wheelgate"}, args...), environ, &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// wantFault fails unless o is one line on stderr and this exit code.
func (o outcome) wantFault(t *testing.T, code int, line string) {
	t.Helper()
	if want := (outcome{code, "", "wheelgate: " + line + "\n"}); o != want {
		t.Errorf("\n got %d %q %q\nwant %d %q %q", o.code, o.stderr, o.stdout, want.code, want.stderr, want.stdout)
	}
}

// row is what `wheelgate config` says of a setting: value and source.
func (o outcome) row(t *testing.T, name string) string {
	t.Helper()
	if o.code != 0 || o.stderr != "" {
		t.Fatalf("config: exit %d: %s", o.code, o.stderr)
	}
	for line := range strings.Lines(o.stdout) {
		if fields := strings.Fields(line); fields[0] == name {
			return strings.Join(fields[1:], " ")
		}
	}
	t.Fatalf("config does not name %s:\n%s", name, o.stdout)
	return ""
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"config", "--help"}} {
		o := try(t, nil, args...)
		if o.code != 0 || o.stderr != "" {
			t.Fatalf("%v: exit %d: %s", args, o.code, o.stderr)
		}
		for i := range settings {
			s := &settings[i]
			for _, want := range []string{"--" + s.name + " ", "$" + s.variable() + "]", plainText(s.meaning)} {
				if s.alias != nil {
					want = strings.Replace(want, "]", ", $"+s.alias.variable+"]", 1)
				}
				if !strings.Contains(o.stdout, want) {
					t.Errorf("%v: no %q in\n%s", args, want, o.stdout)
				}
			}
			if want := "(default: " + s.value + ")"; s.value != "" && !strings.Contains(o.stdout, want) {
				t.Errorf("%v: %s: no %q", args, s.name, want)
			}
		}
	}
}

func TestHelpIsGroupedByUse(t *testing.T) {
	stdout := try(t, nil, "--help").stdout
	for i := range settings {
		heading, _, ok := strings.Cut(stdout, "   --"+settings[i].name)
		if !ok {
			t.Fatalf("no --%s", settings[i].name)
		}
		found := ""
		for line := range strings.Lines(heading) {
			if line := strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "-") {
				found = line
			}
		}
		if found != settings[i].group {
			t.Errorf("--%s stands under %q, want %q", settings[i].name, found, settings[i].group)
		}
	}
}

func TestHelpAndVersionNeedNoGoodSettings(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"--version"}} {
		if o := try(t, []string{"WHEELGATE_TICK=x"}, args...); o.code != 0 || o.stderr != "" {
			t.Errorf("%v: exit %d: %s", args, o.code, o.stderr)
		}
	}
}

func TestCommandLineFaults(t *testing.T) {
	f := func(line string, args ...string) {
		t.Helper()
		try(t, nil, args...).wantFault(t, exitUsage, line)
	}
	f(`unknown flag "--sesion-timeout": did you mean --session-timeout?`, "--sesion-timeout", "5m")
	f(`unknown flag "--tik": did you mean --tick?`, "config", "--tik=1s")
	f(`unknown flag "--x": did you mean --max-message?`, "-x")
	f(`tick: flag --tick needs a value: must be 0s or a duration from 20ms to 1m, such as 1m30s`, "--tick")
	f(`unexpected argument "confg": see wheelgate --help`, "confg")
	f(`unexpected argument "false": see wheelgate --help`, "--echo", "false")
	f(`unexpected argument "more": see wheelgate --help`, "config", "more")
	f(`unexpected argument "-1": see wheelgate --help`, "-1")
}
