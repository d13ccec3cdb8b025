//go:build !unix

package main

import (
	"strconv"
	"syscall"
)

// errnoName is the number of e.
func errnoName(e syscall.Errno) string { return strconv.Itoa(int(e)) }
