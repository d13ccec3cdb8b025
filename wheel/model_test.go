package wheel_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/wheelgate/wheelgate/wheel"
)

// op is one random operation on a wheel, small enough to be three bytes of a fuzz input.
type op struct{ kind, who, amount byte }

var opKinds = []string{"add", "add recurring", "touch", "set timeout", "cancel", "advance", "advance and touch", "reschedule"}

func (o op) String() string {
	return fmt.Sprintf("%s who=%d amount=%d", opKinds[int(o.kind)%len(opKinds)], o.who, o.amount)
}

var modelTicks = []time.Duration{time.Second, wheel.MinTick, 333333333, time.Minute}

// span turns an amount into a duration: nothing, parts of a tick that fit no
// step, few steps, whole blocks, and (long) more than the wheel's 63 blocks.
func span(amount byte, tick time.Duration, long bool) time.Duration {
	scales := []time.Duration{0, tick / 97, tick / 2, tick + 1, 32 * tick, 32*tick - 3, 7 * tick, 2 * tick / 3}
	if long {
		scales[7] = 500 * tick // up to 32,000 steps: eight times round
	}
	return scales[amount>>5] * time.Duration(amount&31+1)
}

// tracked is what the model knows of a session.
type tracked struct {
	*session
	recurring bool
	active    time.Time // last touch
	changed   time.Time // last shortening of the timeout
	cancelled bool
	err       error // of Fire
}

func (m *tracked) due() time.Time { return m.active.Add(time.Duration(m.timeout.Load())) }

// overdue is the moment up to which m must have been handed out.
func (m *tracked) overdue(tick time.Duration) time.Time {
	due := m.due()
	if m.changed.After(due) {
		due = m.changed
	}
	return due.Add(2 * tick)
}

// model runs operations on a wheel in a bubble and on a list beside it.
type model struct {
	w    *wheel.Wheel[session]
	tick time.Duration

	mu       sync.Mutex // Fire runs on workers
	sessions map[*session]*tracked
	order    []*tracked
}

// run returns how the wheel differs from the model. It must be called in a bubble.
func run(tick time.Duration, ops []op) (err error) {
	m := &model{tick: tick, sessions: map[*session]*tracked{}}
	m.w, err = wheel.New(wheel.Config[session]{Tick: tick, Deadline: deadline, Fire: m.fire})
	if err != nil {
		return err
	}
	m.w.Start()
	defer func() {
		m.w.Stop()
		err = errors.Join(err, m.w.Check())
	}()
	for i, o := range ops {
		m.apply(o)
		if err := m.compare(); err != nil {
			return fmt.Errorf("after operation %d, %v: %w", i, o, err)
		}
	}
	time.Sleep(40 * tick)
	return m.compare()
}

func (m *model) fire(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, now := m.sessions[s], time.Now()
	switch {
	case t.cancelled:
		t.err = errors.New("handed out although cancelled")
	case now.Before(t.due()):
		t.err = fmt.Errorf("handed out %v early", t.due().Sub(now))
	case now.After(t.overdue(m.tick)):
		t.err = fmt.Errorf("handed out %v after the latest moment", now.Sub(t.overdue(m.tick)))
	}
	if t.recurring && t.timeout.Load() > 0 {
		m.w.Touch(&s.stamp)
		t.active = now
		return
	}
	m.w.Cancel(&s.Entry)
	t.cancelled = true
}

func (m *model) apply(o op) {
	switch kind := opKinds[int(o.kind)%len(opKinds)]; kind {
	case "add", "add recurring":
		m.add(span(o.amount, m.tick, true), kind == "add recurring", int(o.who))
		return
	case "advance", "advance and touch":
		time.Sleep(span(o.amount, m.tick, false))
		synctest.Wait() // what is due at this instant comes first
		if kind == "advance" {
			return
		}
		o.kind = 2
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.order) == 0 {
		return
	}
	t := m.order[int(o.who)%len(m.order)]
	switch opKinds[int(o.kind)%len(opKinds)] {
	case "touch":
		m.w.Touch(&t.stamp)
		t.active = time.Now()
	case "set timeout":
		m.setTimeout(t, span(o.amount, m.tick, true))
	case "reschedule": // without need: changes nothing
		m.w.Reschedule(&t.Entry)
	case "cancel":
		if was := m.w.Cancel(&t.Entry); was == t.cancelled {
			t.err = fmt.Errorf("Cancel reports %v", was)
		}
		t.cancelled = true
	}
}

func (m *model) add(timeout time.Duration, recurring bool, key int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := add(m.w, timeout, key)
	t := &tracked{session: s, recurring: recurring, active: now}
	m.sessions[s] = t
	m.order = append(m.order, t)
}

func (m *model) setTimeout(t *tracked, timeout time.Duration) {
	shorter := timeout < time.Duration(t.timeout.Load())
	t.timeout.Store(int64(timeout))
	if shorter {
		t.changed = time.Now()
		m.w.Reschedule(&t.Entry)
	}
}

func (m *model) compare() error {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	live := 0
	for i, t := range m.order {
		if t.err != nil {
			return fmt.Errorf("session %d: %w", i, t.err)
		}
		if t.cancelled {
			continue
		}
		live++
		if late := time.Since(t.overdue(m.tick)); late > 0 {
			return fmt.Errorf("session %d is forgotten: %v after the latest moment", i, late)
		}
	}
	if st := m.w.Stats(); st != (wheel.Stats{Entries: live}) {
		return fmt.Errorf("%+v; want %d entries and nothing else", st, live)
	}
	return m.w.Check()
}

// bubble runs ops in virtual time. The failure leaves the bubble as an error, so
// that rapid can shrink the operations.
func bubble(t *testing.T, tick time.Duration, ops []op) (err error) {
	synctest.Test(t, func(*testing.T) { err = run(tick, ops) })
	return err
}

func TestModel(t *testing.T) {
	amount := rapid.Byte()
	anOp := rapid.Custom(func(t *rapid.T) op {
		return op{rapid.Byte().Draw(t, "kind") % byte(len(opKinds)), rapid.ByteMax(15).Draw(t, "who"), amount.Draw(t, "amount")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		tick := rapid.SampledFrom(modelTicks).Draw(rt, "tick")
		if err := bubble(t, tick, rapid.SliceOfN(anOp, 1, 60).Draw(rt, "ops")); err != nil {
			rt.Fatal(err)
		}
	})
}

// FuzzWheel is TestModel with the operations read from bytes: the first chooses
// the tick, then three an operation.
func FuzzWheel(f *testing.F) {
	f.Add([]byte{0, 0, 0, 100, 5, 0, 110})                                  // add, advance
	f.Add([]byte{1, 1, 3, 40, 5, 0, 200, 2, 0, 0, 5, 0, 200})               // recurring, touched
	f.Add([]byte{2, 0, 1, 255, 5, 0, 159, 3, 0, 33, 5, 0, 130})             // long, then shortened
	f.Add([]byte{3, 0, 1, 70, 0, 2, 70, 6, 1, 66, 4, 0, 0, 5, 0, 100})      // one touched, one cancelled
	f.Add([]byte{0, 0, 1, 0, 1, 1, 0, 5, 0, 96, 7, 1, 0, 3, 1, 96, 5})      // no timeout at all
	f.Add([]byte{1, 0, 9, 230, 5, 9, 159, 5, 9, 159, 5, 9, 191, 6, 0, 191}) // hops
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || len(data) > 200 {
			return
		}
		tick := modelTicks[int(data[0])%len(modelTicks)]
		var ops []op
		for data = data[1:]; len(data) >= 3; data = data[3:] {
			ops = append(ops, op{data[0], data[1] % 16, data[2]})
		}
		if err := bubble(t, tick, ops); err != nil {
			t.Fatalf("%v\n%v", err, ops)
		}
	})
}
