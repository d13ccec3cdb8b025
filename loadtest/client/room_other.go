//go:build !unix

package client

import "math"

func roomForFiles() (int, string)        { return math.MaxInt, "" }
func portRange() (from, to int, ok bool) { return 0, 0, false }
