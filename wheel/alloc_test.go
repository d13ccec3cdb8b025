package wheel_test

import (
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

func TestNothingIsAllocated(t *testing.T) {
	const runs = 1000
	w := newWheel(t, wheel.Config[session]{})
	sessions := make([]session, runs+2)
	for i := range sessions {
		sessions[i].w = w
		sessions[i].timeout.Store(int64(time.Duration(i) * time.Second))
	}
	f := func(what string, call func(i int, s *session)) {
		t.Helper()
		i := 0
		if n := testing.AllocsPerRun(runs, func() { call(i, &sessions[i]); i++ }); n != 0 {
			t.Errorf("%s allocates %v times", what, n)
		}
	}
	f("Add", func(i int, s *session) { w.Add(&s.Entry, s, uint32(i)) })
	f("Touch", func(_ int, s *session) { w.SkipSteps(1); w.Touch(&s.stamp) })
	f("Reschedule", func(i int, s *session) {
		s.timeout.Store(-int64(i))
		w.Reschedule(&s.Entry)
	})
	f("Cancel", func(_ int, s *session) { w.Cancel(&s.Entry) })
}

// TestRefilingAllocatesNothing serves steps in which entries are asked for their
// deadline and filed again, as they have been touched meanwhile.
func TestRefilingAllocatesNothing(t *testing.T) {
	const n, steps = 1000, 500
	asked := 0
	w := newWheel(t, wheel.Config[session]{Deadline: func(s *session) int64 { asked++; return deadline(s) }})
	sessions := make([]*session, n)
	for i := range sessions {
		sessions[i] = add(w, time.Duration(i%50)*time.Second, i)
	}
	asked = 0
	allocs := testing.AllocsPerRun(steps, func() {
		w.SkipSteps(1)
		for _, s := range sessions {
			w.Touch(&s.stamp)
		}
		w.Serve()
	})
	if allocs != 0 || asked < 5*n || asked > steps*n/4 || w.Stats().Queued != 0 {
		t.Errorf("%v allocations a step, filed again %d times, %+v", allocs, asked, w.Stats())
	}
}
