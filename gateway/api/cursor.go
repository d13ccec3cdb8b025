package api

import (
	"fmt"
	"hash/maphash"
	"strconv"
)

// cursors makes the text of cursors, which clients need not understand: the cursor in
// hexadecimal, and a checksum that no other process has. One of a process that has
// ended is refused, as its sessions are not in the same order.
type cursors struct{ seed maphash.Seed }

func newCursors() cursors { return cursors{maphash.MakeSeed()} }

func (c cursors) text(cursor uint32) string {
	return fmt.Sprintf("%08x%08x", cursor, uint32(maphash.Comparable(c.seed, cursor)))
}

// read returns the cursor with this text; no text is that of the first page. It
// reports whether text is one of ours.
func (c cursors) read(text string) (cursor uint32, ok bool) {
	if text == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(text[:min(8, len(text))], 16, 32)
	return uint32(n), err == nil && c.text(uint32(n)) == text
}
