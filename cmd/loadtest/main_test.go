package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
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
