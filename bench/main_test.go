package bench_test

import (
	"testing"

	"go.uber.org/goleak"
)

// child does what another process of a test is for, and reports whether this is one.
var child = func() bool { return false }

func TestMain(m *testing.M) {
	if !child() {
		goleak.VerifyTestMain(m)
	}
}
