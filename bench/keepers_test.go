package bench_test

import (
	"container/heap"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/RussellLuo/timingwheel"

	"github.com/wheelgate/wheelgate/wheel"
)

// keeper ends sessions that were inactive for a timeout. Each is written as one
// would who wants it simple and fast; sessions are numbers. Arm, touch and cancel
// may be called from any goroutine, for different sessions at a time.
type keeper interface {
	arm(i int, left time.Duration) // of the timeout: all of it for a new session
	touch(i int)
	cancel(i int) bool // reports whether it was armed
	stop()
}

// keeping is what a keeper is made for.
type keeping struct {
	sessions int
	timeout  time.Duration
	tick     time.Duration // precision, where there is a choice
	expired  func(i int)   // from any goroutine
}

// keepers are the wheel and what people use instead. Those that start a goroutine
// per expiry come last: the runtime keeps dead goroutines, and collections that
// follow look at them.
var keepers = []struct {
	name string
	make func(testing.TB, keeping) keeper
}{
	{"wheel", newWheelKeeper},
	{"map-scan", newScanKeeper},
	{"heap", newHeapKeeper},
	{"timingwheel", newEngineKeeper},
	{"time.Timer", newTimerKeeper},
}

// wheelKeeper is package wheel as the gateway uses it.
type wheelKeeper struct {
	*wheel.Wheel[wheelSession]
	sessions []wheelSession
}

type wheelSession struct {
	entry   wheel.Entry[wheelSession]
	stamp   wheel.Stamp
	timeout int64 // steps
	number  int
}

func newWheelKeeper(tb testing.TB, k keeping) keeper {
	var w *wheel.Wheel[wheelSession]
	w, err := wheel.New(wheel.Config[wheelSession]{
		Tick:     k.tick,
		Deadline: func(s *wheelSession) int64 { return s.stamp.Step() + s.timeout },
		Fire: func(s *wheelSession) {
			w.Cancel(&s.entry)
			k.expired(s.number)
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	keeper := &wheelKeeper{Wheel: w, sessions: make([]wheelSession, k.sessions)}
	for i := range keeper.sessions {
		keeper.sessions[i].number = i
	}
	w.Start()
	return keeper
}

func (k *wheelKeeper) arm(i int, left time.Duration) {
	s := &k.sessions[i]
	s.timeout = k.Steps(left)
	k.Touch(&s.stamp)
	k.Add(&s.entry, s, uint32(i))
}
func (k *wheelKeeper) touch(i int)       { k.Touch(&k.sessions[i].stamp) }
func (k *wheelKeeper) cancel(i int) bool { return k.Cancel(&k.sessions[i].entry) }
func (k *wheelKeeper) stop()             { k.Stop() }

// scanKeeper is the manager that wheelgate's first users had: a map of times of
// last activity, all of which is looked at every sixtieth tick: every minute with
// a tick of a second.
type scanKeeper struct {
	keeping
	mu   sync.Mutex
	last map[int]time.Time
	end  chan struct{}
	done sync.WaitGroup
}

func newScanKeeper(_ testing.TB, k keeping) keeper {
	s := &scanKeeper{keeping: k, last: make(map[int]time.Time, k.sessions), end: make(chan struct{})}
	s.done.Go(func() {
		every := time.NewTicker(60 * k.tick)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				s.scan()
			case <-s.end:
				return
			}
		}
	})
	return s
}

func (k *scanKeeper) scan() {
	var due []int
	k.mu.Lock()
	now := time.Now()
	for i, at := range k.last {
		if now.Sub(at) >= k.timeout {
			due = append(due, i)
			delete(k.last, i)
		}
	}
	k.mu.Unlock()
	for _, i := range due {
		k.expired(i)
	}
}

func (k *scanKeeper) arm(i int, left time.Duration) { k.set(i, time.Now().Add(left-k.timeout)) }
func (k *scanKeeper) touch(i int)                   { k.set(i, time.Now()) }
func (k *scanKeeper) set(i int, at time.Time) {
	k.mu.Lock()
	k.last[i] = at
	k.mu.Unlock()
}

func (k *scanKeeper) cancel(i int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := len(k.last)
	delete(k.last, i)
	return len(k.last) < before
}
func (k *scanKeeper) stop() { close(k.end); k.done.Wait() }

// timerKeeper has a time.Timer per session, reset at each message.
type timerKeeper struct {
	keeping
	timers []*time.Timer
}

func newTimerKeeper(_ testing.TB, k keeping) keeper {
	return &timerKeeper{k, make([]*time.Timer, k.sessions)}
}

func (k *timerKeeper) arm(i int, left time.Duration) {
	k.timers[i] = time.AfterFunc(left, func() { k.expired(i) })
}
func (k *timerKeeper) touch(i int) { k.timers[i].Reset(k.timeout) }
func (k *timerKeeper) cancel(i int) bool {
	was := k.timers[i].Stop()
	k.timers[i] = nil
	return was
}

func (k *timerKeeper) stop() {
	for _, t := range k.timers {
		if t != nil {
			t.Stop()
		}
	}
}

// engineKeeper has a timer of RussellLuo's wheel per session, stopped and made
// anew at each message. One level is that engine at its best.
type engineKeeper struct {
	keeping
	engine *timingwheel.TimingWheel
	timers []*timingwheel.Timer
}

func newEngineKeeper(_ testing.TB, k keeping) keeper {
	e := &engineKeeper{k, timingwheel.NewTimingWheel(k.tick, int64(2*k.timeout/k.tick)), make([]*timingwheel.Timer, k.sessions)}
	e.engine.Start()
	return e
}

func (k *engineKeeper) arm(i int, left time.Duration) {
	k.timers[i] = k.engine.AfterFunc(left, func() { k.expired(i) })
}
func (k *engineKeeper) touch(i int) { k.timers[i].Stop(); k.arm(i, k.timeout) }
func (k *engineKeeper) cancel(i int) bool {
	was := k.timers[i].Stop()
	k.timers[i] = nil
	return was
}
func (k *engineKeeper) stop() { k.engine.Stop() }

// heapKeeper has the sessions in a heap by deadline, under a lock, and one timer
// for the first.
type heapKeeper struct {
	keeping
	mu    sync.Mutex
	queue deadlines
	items []deadlineItem
	poke  chan struct{}
	end   chan struct{}
	done  sync.WaitGroup
}

type deadlineItem struct {
	at     time.Time
	place  int // in the heap; -1 when in none
	number int
}

type deadlines []*deadlineItem

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

func (d *deadlines) Push(x any) {
	item := x.(*deadlineItem)
	item.place = len(*d)
	*d = append(*d, item)
}

func (d *deadlines) Pop() any {
	last := (*d)[len(*d)-1]
	(*d)[len(*d)-1] = nil
	*d = (*d)[:len(*d)-1]
	last.place = -1
	return last
}

func newHeapKeeper(_ testing.TB, k keeping) keeper {
	h := &heapKeeper{keeping: k, items: make([]deadlineItem, k.sessions), poke: make(chan struct{}, 1), end: make(chan struct{})}
	h.done.Go(h.run)
	return h
}

func (k *heapKeeper) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		k.mu.Lock()
		now, wait := time.Now(), time.Hour
		var due []int
		for len(k.queue) > 0 {
			if wait = k.queue[0].at.Sub(now); wait > 0 {
				break
			}
			due = append(due, heap.Pop(&k.queue).(*deadlineItem).number)
		}
		k.mu.Unlock()
		for _, i := range due {
			k.expired(i)
		}
		timer.Reset(max(wait, time.Microsecond))
		select {
		case <-timer.C:
		case <-k.poke:
		case <-k.end:
			return
		}
	}
}

func (k *heapKeeper) arm(i int, left time.Duration) {
	k.mu.Lock()
	k.items[i] = deadlineItem{at: time.Now().Add(left), number: i}
	heap.Push(&k.queue, &k.items[i])
	first := k.items[i].place == 0
	k.mu.Unlock()
	if first {
		select {
		case k.poke <- struct{}{}:
		default:
		}
	}
}

func (k *heapKeeper) touch(i int) { // only ever later, so nobody has to be woken
	k.mu.Lock()
	k.items[i].at = time.Now().Add(k.timeout)
	heap.Fix(&k.queue, k.items[i].place)
	k.mu.Unlock()
}

func (k *heapKeeper) cancel(i int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.items[i].place < 0 {
		return false
	}
	heap.Remove(&k.queue, k.items[i].place)
	return true
}
func (k *heapKeeper) stop() { close(k.end); k.done.Wait() }

// deadlineKeeper sets the read deadline of a connection at each message; what ends
// the session is a goroutine per connection that waits in Read. Its memory, and
// what it costs to arm, is the connection's.
type deadlineKeeper struct {
	keeping
	conns []net.Conn
}

// newDeadlineKeeper takes conns over; sessions are as many.
func newDeadlineKeeper(k keeping, conns []net.Conn) keeper { return &deadlineKeeper{k, conns} }

func (k *deadlineKeeper) arm(i int, left time.Duration) {
	_ = k.conns[i].SetReadDeadline(time.Now().Add(left))
	go func() {
		if _, err := k.conns[i].Read(make([]byte, 1)); err != nil {
			k.expired(i)
		}
	}()
}

func (k *deadlineKeeper) touch(i int) { _ = k.conns[i].SetReadDeadline(time.Now().Add(k.timeout)) }

func (k *deadlineKeeper) cancel(i int) bool { return k.conns[i].SetReadDeadline(time.Time{}) == nil }

func (k *deadlineKeeper) stop() {
	for _, c := range k.conns {
		_ = c.Close()
	}
}
