package wheel_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// children are what this binary does instead of testing when childEnv names one:
// things that end the process, stop it, or leave goroutines behind for ever.
var children = map[string]func(){
	"deadlock": deadlockEngine,
	"pause":    liveThroughPause,

	"strained pause": strainedPause,
}

const childEnv = "WHEEL_TEST_CHILD"

func TestMain(m *testing.M) {
	if child := children[os.Getenv(childEnv)]; child != nil {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

// childOf returns the command that runs the named child of a binary of these
// tests. It is killed when the test ends.
func childOf(t *testing.T, binary, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

func thisBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// fail ends a child.
func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

// eventually polls until ok, for things that happen in real time.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
