//go:build !stepclock

package wheel_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const engineModule = "github.com/RussellLuo/timingwheel"

// steppable is added to the copied engine.
const steppable = `package timingwheel

import (
	"sync/atomic"
	"time"
)

// Offset is how many nanoseconds the wall clock is ahead.
var Offset atomic.Int64

func wallNow() time.Time { return time.Now().Add(time.Duration(Offset.Load())) }
`

// TestSteppedClock runs the tests of step_test.go, which step the wall clock.
//
// How the step is made: stepping the machine's clock needs root and would hit
// everybody on it, and the wheel itself reads only the monotonic clock. What reads
// the wall clock is the engine. So its source is copied from the module cache,
// each time.Now() in it is replaced by a function that adds an offset, and this
// package is tested once more, in another go test, with go.mod replacing the
// engine by the copy. The code of the wheel is the same, the engine's differs only in
// the offset, and all is in a bubble of virtual time, so that lateness is exact.
func TestSteppedClock(t *testing.T) {
	t.Parallel()
	mod := steppableModule(t)
	out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-tags=stepclock", "-modfile="+mod, "-run=^TestStep", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := bytes.Count(out, []byte("--- PASS: TestStep")); n != 5 {
		t.Fatalf("%d tests passed; want 5\n%s", n, out)
	}
}

// steppableModule returns a go.mod that replaces the engine by a steppable copy.
func steppableModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	copyDir := filepath.Join(dir, "timingwheel")
	if err := os.CopyFS(copyDir, os.DirFS(goTool(t, "list", "-m", "-f", "{{.Dir}}", engineModule))); err != nil {
		t.Fatal(err)
	}
	for file, reads := range map[string]int{"timingwheel.go": 4, "bucket.go": 0, "utils.go": 0, "delayqueue/delayqueue.go": 0} {
		path := filepath.Join(copyDir, file)
		source := string(readFile(t, path))
		if n := strings.Count(source, "time.Now()") + strings.Count(source, "time.Since("); n != reads {
			t.Fatalf("%s reads the clock %d times, not %d: look at what is new", file, n, reads)
		}
		writeFile(t, path, strings.ReplaceAll(source, "time.Now()", "wallNow()"))
	}
	writeFile(t, filepath.Join(copyDir, "step.go"), steppable)
	root := filepath.Dir(goTool(t, "env", "GOMOD"))
	writeFile(t, filepath.Join(dir, "go.sum"), string(readFile(t, filepath.Join(root, "go.sum"))))
	mod := filepath.Join(dir, "go.mod")
	writeFile(t, mod, string(readFile(t, filepath.Join(root, "go.mod")))+"\nreplace "+engineModule+" => "+copyDir+"\n")
	return mod
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	// What comes from the module cache is read-only.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
