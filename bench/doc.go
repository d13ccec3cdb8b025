// Package bench holds benchmarks, comparisons, and tests of the whole program
// that are too large for the race detector, which allows 8,128 goroutines.
package bench
