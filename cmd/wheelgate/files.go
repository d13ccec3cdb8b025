package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// maxFile is the longest file that a setting may name, in bytes.
	maxFile = 1 << 20
	// filePatience is how long such a file may take to be read: a FIFO may have no
	// writer, a file system no server.
	filePatience = 5 * time.Second
)

// errHangs is what is wrong with a file that is not read in time.
var errHangs = fmt.Errorf("not read within %v", filePatience)

// hanging has the keys of the calls of patiently that run.
var hanging sync.Map

// patiently returns what read returns. It gives up with errHangs after filePatience, or
// when ctx ends, and leaves read and its goroutine behind: nothing else gets them out of the kernel.
// While a read with this key runs, no other begins.
func patiently[T any](ctx context.Context, key string, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	if _, runs := hanging.LoadOrStore(key, true); runs {
		return *new(T), errHangs
	}
	ended := make(chan result, 1)
	go func() {
		value, err := read()
		hanging.Delete(key)
		ended <- result{value, err}
	}()
	patience := time.NewTimer(filePatience)
	defer patience.Stop()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-ctx.Done():
		return *new(T), ctx.Err()
	case <-patience.C:
		return *new(T), errHangs
	}
}

// readFile reads the file of a setting, in bounded time and length. Its errors are
// of type *fs.PathError, or that of ctx.
func readFile(ctx context.Context, name string) ([]byte, error) {
	content, err := patiently(ctx, name, func() ([]byte, error) { return readSmall(name) })
	if errors.Is(err, errHangs) {
		err = &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return content, err
}

// readSmall is readFile without a limit of time.
func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("longer than %d bytes", maxFile)}
	}
	return content, err
}

// plainUTF8 returns content without the byte order mark that editors of some systems
// put before it. It reports whether the rest is text.
func plainUTF8(content []byte) (text string, ok bool) {
	text = strings.TrimPrefix(string(content), "\ufeff")
	return text, utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// unreadable is what is wrong with a file, without its name, which the caller has.
func unreadable(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}
