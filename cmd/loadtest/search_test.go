package main

import (
	"errors"
	"testing"
)

func TestSearch(t *testing.T) {
	f := func(from, most, limit, wantBest, wantBroke, wantTries int) {
		t.Helper()
		tried := map[int]bool{}
		best, broke, err := search(from, most, 2, 0.05, func(n int) (bool, error) {
			if tried[n] || n > most || n < 1 {
				t.Errorf("%d is tried, after %v", n, tried)
			}
			tried[n] = true
			return n <= limit, nil
		})
		if best != wantBest || broke != wantBroke || err != nil || len(tried) != wantTries {
			t.Errorf("up to %d held: best %d, broke %d, %v, after %d tries; want %d, %d after %d", limit, best, broke, err, len(tried), wantBest, wantBroke, wantTries)
		}
	}
	f(1000, 100_000, 5000, 5000, 5250, 8)
	f(1000, 100_000, 0, 0, 1000, 1)
	f(1000, 10_000, 1_000_000, 10_000, 0, 5)
	f(1000, 500, 1_000_000, 500, 0, 1)
	f(1, 100, 3, 3, 4, 4)
	f(1, 1, 1, 1, 0, 1)
}

func TestSearchEndsWithTheFirstError(t *testing.T) {
	fault, tries := errors.New("no more"), 0
	best, broke, err := search(1, 100, 2, 0.05, func(n int) (bool, error) {
		if tries++; tries == 3 {
			return true, fault
		}
		return true, nil
	})
	if best != 2 || broke != 0 || !errors.Is(err, fault) || tries != 3 {
		t.Errorf("%d, %d, %v after %d tries", best, broke, err, tries)
	}
}
