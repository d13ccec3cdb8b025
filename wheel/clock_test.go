package wheel

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// clockModel moves a clock by hand, in a bubble, and knows what is true of it.
type clockModel struct {
	clock
	due     time.Duration // of the turner
	begin   time.Time
	looked  time.Time // when somebody last could have begun a step
	pauses  time.Duration
	touches []touchedAt
}

type touchedAt struct {
	at    time.Time
	stamp int64
}

func newClockModel(step time.Duration) *clockModel {
	m := &clockModel{begin: time.Now(), looked: time.Now()}
	m.clock.step = step
	m.clock.start.Store(&m.begin)
	m.due = m.nextStep()
	return m
}

// look notes what counts as a pause at most: that nobody looked for half a step.
func (m *clockModel) look() {
	if gap := time.Since(m.looked); gap > m.step/2 {
		m.pauses += gap
	}
	m.looked = time.Now()
}

func (m *clockModel) touch() {
	if m.strained.Load() {
		m.look()
	}
	m.CatchUp()
	m.touches = append(m.touches, touchedAt{time.Now(), m.now.Load()})
}

func (m *clockModel) turn() {
	m.look()
	m.clock.turn(m.due)
	m.due = m.nextStep()
}

// check fails if a touch would be judged early: more logical time has passed since the
// end of its step than real time since the touch, by more than readyAt leaves.
func (m *clockModel) check(t interface{ Fatalf(string, ...any) }) {
	logical := min(m.elapsed(), m.nextStep()) // nothing is decided beyond
	for _, touch := range m.touches {
		counted := logical - time.Duration(touch.stamp+1)*m.step - m.step/2
		if real := time.Since(touch.at); counted > real {
			t.Fatalf("a touch %v ago, in step %d, counts as %v ago", real, touch.stamp, counted)
		}
	}
	if paused := m.pausedFor(); paused > m.pauses {
		t.Fatalf("%v count as paused; nobody looked for %v", paused, m.pauses)
	}
}

// TestClockModel has touches, turns of the turner however late, and pauses: no touch is
// judged early, and time in which somebody looked is not dropped.
func TestClockModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const step = 10 * time.Millisecond
		ops := rapid.SliceOfN(rapid.SampledFrom([]string{"touch", "touch", "touch", "turn", "pause"}), 1, 200).Draw(rt, "ops")
		waits := rapid.SliceOfN(rapid.Int64Range(0, int64(step)), len(ops), len(ops)).Draw(rt, "waits")
		var failed string
		synctest.Test(t, func(*testing.T) {
			m := newClockModel(step)
			for i, op := range ops {
				switch wait := time.Duration(waits[i]); op {
				case "touch":
					time.Sleep(wait / 3)
					m.touch()
				case "turn":
					time.Sleep(wait)
					m.turn()
				case "pause":
					time.Sleep(50 * wait)
				}
				m.check(fatal{&failed})
				if failed != "" {
					return
				}
			}
			// Afterwards time goes on as it should.
			m.turn()
			before, paused := m.elapsed(), m.pausedFor()
			time.Sleep(step / 4)
			if m.elapsed()-before != step/4 || m.pausedFor() != paused {
				failed = "time does not go on"
			}
		})
		if failed != "" {
			rt.Fatal(failed)
		}
	})
}

// TestLateTurnerIsNoPause: while there are touches the turner may be late all the time.
// What its first lateness drops is all that is dropped.
func TestLateTurnerIsNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const step, late = 10 * time.Millisecond, 23 * time.Millisecond
		m := newClockModel(step)
		for range 1000 {
			for range 10 {
				time.Sleep(late / 10)
				m.touch()
				m.check(t)
			}
			m.turn()
		}
		if m.pausedFor() > late || !m.strained.Load() {
			t.Errorf("%v count as paused, of %v", m.pausedFor(), time.Since(m.begin))
		}
		// In time again, it soon spares the touches the look at the time.
		for range 2 * strainLasts / step {
			time.Sleep(m.due - m.elapsed())
			m.turn()
		}
		if m.strained.Load() {
			t.Error("strained for ever")
		}
	})
}

// fatal keeps the first failure, as a bubble has to end before rapid hears of it.
type fatal struct{ text *string }

func (f fatal) Fatalf(format string, args ...any) {
	if *f.text == "" {
		*f.text = fmt.Sprintf(format, args...)
	}
}
