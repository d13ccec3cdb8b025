//go:build unix

package main

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPauseIsLogged stops the process for some seconds.
func TestPauseIsLogged(t *testing.T) {
	t.Parallel()
	p, process := startProcess(t)
	for _, s := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := process.Signal(s); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Second) // until SIGCONT, and for the line
	}
	eventually(t, "a line about the pause", p.log.String, func() bool {
		return strings.Contains(p.log.String(), `"message":"Did not run for `)
	})
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "Did not run") && !strings.Contains(line, `"level":"warn"`) {
			t.Errorf("not a warning: %s", line)
		}
	}
}
