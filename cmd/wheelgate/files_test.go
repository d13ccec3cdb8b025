package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
)

// fifo makes a FIFO. Whoever is stuck in it gets out when the test ends.
func fifo(t *testing.T, name string) string {
	t.Helper()
	_ = os.Remove(name)
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { release(t, name) })
	return name
}

// release opens the FIFO for writing while somebody is stuck in it.
func release(t *testing.T, name string) {
	t.Helper()
	eventually(t, "the FIFO's reader to end", func() string { return name }, func() bool {
		if w, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			_ = w.Close()
		}
		stuck := false
		hanging.Range(func(any, any) bool { stuck = true; return false })
		return !stuck
	})
}

func TestReadIsGivenUpAndNotBegunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		var calls atomic.Int32
		read := func() (int32, error) {
			n := calls.Add(1)
			<-stuck
			return n, nil
		}
		for range 3 {
			if n, err := patiently(t.Context(), "a", read); n != 0 || !errors.Is(err, errHangs) || calls.Load() != 1 {
				t.Errorf("%d calls: %d, %v", calls.Load(), n, err)
			}
		}
		close(stuck)
		synctest.Wait()
		if n, err := patiently(t.Context(), "a", read); n != 2 || err != nil {
			t.Errorf("after it came back: %d, %v", n, err)
		}
	})
}

// Files that never end, or never begin.
func TestFilesAreReadInBoundedTimeAndLength(t *testing.T) {
	dir := t.TempDir()
	pipe := fifo(t, filepath.Join(dir, "pipe"))
	long := write(t, filepath.Join(dir, "long"), strings.Repeat("#", maxFile+1))
	pem := write(t, filepath.Join(dir, "pem"), "")
	for _, name := range []string{"env-file", "admin-token-file", "tls-cert", "tls-key", "admin-tls-cert", "admin-tls-key"} {
		for path, fault := range map[string]string{pipe: "not read within 5s", long: "longer than 1048576 bytes", "/dev/zero": "longer than 1048576 bytes"} {
			args := []string{"config", "--" + name, path}
			switch {
			case strings.HasSuffix(name, "cert"):
				args = append(args, "--"+strings.TrimSuffix(name, "cert")+"key="+pem)
			case strings.HasSuffix(name, "key"):
				args = append(args, "--"+strings.TrimSuffix(name, "key")+"cert="+pem)
			}
			try(t, nil, args...).wantFault(t, exitUsage,
				fmt.Sprintf("%s: bad value %q from flag --%s: must be a readable file: %s", name, path, name, fault))
		}
	}
}

// As a shell's <(command) is.
func TestFIFOWithAWriterIsRead(t *testing.T) {
	pipe := fifo(t, filepath.Join(t.TempDir(), "pipe"))
	wrote := make(chan error)
	go func() { wrote <- os.WriteFile(pipe, []byte("s3cret\n"), 0) }()
	r, err := resolve(t.Context(), map[string]string{"admin-token-file": pipe}, nil)
	if err != nil || len(r.tokens) != 1 || r.tokens[0] != "s3cret" {
		t.Errorf("%v, %v", r, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}
