package report

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	a := read(t, file(t, story(t)...))
	b := a
	b.Scenario, b.Valid, b.ConnectRate, b.Drain = "other", false, 25, nil
	var out strings.Builder
	if err := Compare(&out, a, b); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"the scenario differs: test, other", "WARNING: b is invalid", "One run each", "connects per second 10 25 2.50", "times the mean at most 1.4 -", "echo p50 50ms 50ms 1.00",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := Compare(&out, a, a); err != nil || strings.Contains(out.String(), "WARNING") {
		t.Errorf("a run with itself: %v\n%s", err, out.String())
	}
}
