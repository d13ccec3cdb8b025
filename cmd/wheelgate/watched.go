package main

import (
	"context"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// watched is a value that is read from files again when they change. Any goroutine may
// load the value; look and replace are for one goroutine.
type watched[T any] struct {
	// Static.
	kind   string // "Certificate", for the log
	parse  func(contents [][]byte) (*T, error)
	accept func(old, next *T) error // whether next may replace old
	log    zerolog.Logger

	value atomic.Pointer[T]
	names []string      // none: there is nothing to look at
	files []os.FileInfo // as of the last attempt to read them; nil: not there
	fault string        // of that attempt; "": it succeeded
}

// replace makes value, just read from these files, the current one. The next look reads
// them once more, since they may have changed meanwhile.
func (w *watched[T]) replace(value *T, names ...string) {
	w.value.Store(value)
	if slices.ContainsFunc(stat(names), func(f os.FileInfo) bool { return f != nil && !f.Mode().IsRegular() }) {
		names = nil // a FIFO is read once
	}
	w.names, w.files, w.fault = names, nil, ""
}

// look reads the files again if they have changed or could not be read the last time:
// the cause may have been a permission, or the time, which files do not show. What
// cannot be read leaves the old value in place: while two files are replaced one after
// the other, they may not belong together. It takes filePatience at most.
func (w *watched[T]) look(ctx context.Context) (renewed bool) {
	if w.names == nil {
		return false
	}
	type found struct {
		files   []os.FileInfo
		changed bool
		value   *T
		err     error
	}
	names, before, faulty := w.names, w.files, w.fault != ""
	f, err := patiently(ctx, strings.Join(names, "\x00"), func() (f found, _ error) {
		f.files = stat(names) // before reading, so that no later change is missed
		f.changed = !slices.EqualFunc(f.files, before, unchanged)
		if f.changed || faulty {
			f.value, f.err = w.read(names)
		}
		return f, nil
	})
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil: // it hangs
		f.files, f.err = before, err
	}
	if f.err == nil && f.value != nil {
		f.err = w.accept(w.value.Load(), f.value)
	}
	w.files = f.files
	if f.err != nil {
		if text := f.err.Error(); f.changed || text != w.fault {
			w.fault = text
			w.log.Error().Err(f.err).Strs("files", names).Msg(w.kind + " not renewed, what was read before stays in use")
		}
		return false
	}
	if f.value == nil || w.fault == "" && reflect.DeepEqual(f.value, w.value.Load()) {
		return false
	}
	w.fault = ""
	w.value.Store(f.value)
	w.log.Info().Strs("files", names).Msg(w.kind + " renewed")
	return true
}

func (w *watched[T]) read(names []string) (*T, error) {
	contents := make([][]byte, len(names))
	for i, name := range names {
		var err error
		if contents[i], err = readSmall(name); err != nil {
			return nil, err
		}
	}
	return w.parse(contents)
}

func stat(names []string) []os.FileInfo {
	files := make([]os.FileInfo, len(names))
	for i, name := range names {
		files[i], _ = os.Stat(name) // nil on error
	}
	return files
}

func unchanged(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && os.SameFile(a, b)
}
