//go:build unix

package main

import (
	"cmp"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// errnoName is the name of e in errno(3).
func errnoName(e syscall.Errno) string { return cmp.Or(unix.ErrnoName(e), strconv.Itoa(int(e))) }
