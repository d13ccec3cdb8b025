package wheel_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/wheel"
)

// session is an owner as the gateway's are: a stamp, a timeout, an entry.
type session struct {
	wheel.Entry[session]
	stamp   wheel.Stamp
	timeout atomic.Int64 // nanoseconds; never means Never
	w       *wheel.Wheel[session]
	fired   atomic.Int32
	firedAt atomic.Pointer[time.Time] // of the last firing
}

const never = time.Duration(-1)

func deadline(s *session) int64 {
	timeout := time.Duration(s.timeout.Load())
	if timeout == never {
		return wheel.Never
	}
	return s.stamp.Step() + s.w.Steps(timeout)
}

// expire is the Fire of most tests: it records the firing and takes the session out.
func expire(s *session) {
	s.record()
	s.w.Cancel(&s.Entry)
}

func (s *session) record() {
	now := time.Now()
	s.firedAt.Store(&now)
	s.fired.Add(1)
}

// newWheel returns a wheel, one second a tick and sessions expiring unless cfg
// says otherwise. It is stopped and checked when the test ends.
func newWheel(t testing.TB, cfg wheel.Config[session]) *wheel.Wheel[session] {
	t.Helper()
	if cfg.Tick == 0 {
		cfg.Tick = time.Second
	}
	if cfg.Fire == nil {
		cfg.Fire = expire
	}
	if cfg.Deadline == nil {
		cfg.Deadline = deadline
	}
	w, err := wheel.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Stop()
		if err := w.Check(); err != nil {
			t.Errorf("inconsistent: %v", err)
		}
	})
	return w
}

// startWheel returns a turning wheel.
func startWheel(t testing.TB, cfg wheel.Config[session]) *wheel.Wheel[session] {
	t.Helper()
	w := newWheel(t, cfg)
	w.Start()
	return w
}

// add files a new session that was active now.
func add(w *wheel.Wheel[session], timeout time.Duration, key int) *session {
	s := &session{w: w}
	s.timeout.Store(int64(timeout))
	w.Touch(&s.stamp)
	w.Add(&s.Entry, s, uint32(key))
	return s
}

// expectExpired checks that s was handed out once, never early and at most two ticks late.
func expectExpired(t *testing.T, s *session, due time.Time) {
	t.Helper()
	if n := s.fired.Load(); n != 1 {
		t.Errorf("timeout %v: handed out %d times; want once", time.Duration(s.timeout.Load()), n)
		return
	}
	if late := s.firedAt.Load().Sub(due); late < 0 || late > 4*s.w.Step() {
		t.Errorf("timeout %v: handed out %v after it was due; want 0 to %v", time.Duration(s.timeout.Load()), late, 4*s.w.Step())
	}
}
