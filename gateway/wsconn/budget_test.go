package wsconn

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

// debtor is an evictee that gives all back when it is told to.
type debtor struct {
	holder
	b    *budget
	name int
	paid func(name int)
}

func (d *debtor) evict(h *holder, class uint8) {
	if d.b.take(h, class) {
		d.paid(d.name)
		d.b.settle(h, 0, 0)
	}
}

func (d *debtor) hold(n int) {
	d.b.settle(&d.holder, n, n)
	d.b.check()
}

// TestBudgetOrder: the largest holder pays, then the oldest; small ones pay last; and no
// more of them pay than have to.
func TestBudgetOrder(t *testing.T) {
	const kb = 1 << 10
	for _, test := range []struct {
		name  string
		limit int64
		holds []int // KiB, in order
		want  []int // who pays, in order
	}{
		{"within", 100, []int{50, 50}, nil},
		{"not who adds", 100, []int{20, 60, 30}, []int{1}},
		{"who adds, as it is the largest", 100, []int{20, 30, 60}, []int{2}},
		{"the oldest of those alike", 200, []int{60, 61, 62, 63}, []int{0}},
		{"only as many as need be", 100, []int{10, 20, 40, 80, 160}, []int{4, 3}},
		{"small ones last", 100, []int{1, 8, 2, 95}, []int{3}},
		{"small ones too, the oldest first", 10, []int{1, 8, 2}, []int{0}},
	} {
		var mu sync.Mutex
		var paid []int
		b := &budget{limit: test.limit * kb}
		b.choosing.Store(true) // all are there first
		for i, n := range test.holds {
			d := &debtor{b: b, name: i, paid: func(name int) { mu.Lock(); paid = append(paid, name); mu.Unlock() }}
			d.owner = d
			d.hold(n * kb)
		}
		b.choosing.Store(false)
		b.check()
		b.running.Wait()
		if len(paid) != len(test.want) {
			t.Errorf("%s: %v paid; want %v", test.name, paid, test.want)
			continue
		}
		for i := range paid {
			if paid[i] != test.want[i] {
				t.Errorf("%s: %v paid; want %v", test.name, paid, test.want)
			}
		}
	}
}

// TestBudgetUnderRaces: many holders take and give back at once. The sums are right, the
// budget keeps its bound and forgets no holder.
func TestBudgetUnderRaces(t *testing.T) {
	b := &budget{limit: 100 << 10}
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			var all [10]*racer
			for j := range all {
				all[j] = &racer{b: b}
				all[j].owner = all[j]
			}
			for range 5000 {
				all[rng.IntN(len(all))].change(rng.IntN(3) * rng.IntN(20_000))
			}
			for _, r := range all {
				r.change(0)
			}
		})
	}
	workers.Wait()
	b.running.Wait()
	if got := b.stats(); got.Used != 0 || got.Connections != 0 || b.sizes != 0 || b.leavers.first != nil {
		t.Errorf("%+v, classes %b", got, b.sizes)
	}

	for range 20 {
		r := &racer{b: b}
		r.owner = r
		r.change(10 << 10)
	}
	for b.held.Load() > b.limit {
		runtime.Gosched() // the last that was over it is being dealt with
	}
	if b.running.Wait(); b.stats().Connections != 10 {
		t.Errorf("%+v of ten that fit", b.stats())
	}
}

// racer gives back what it holds as outboxes do, under a lock of its own.
type racer struct {
	holder
	b  *budget
	mu sync.Mutex
}

func (r *racer) change(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b.settle(&r.holder, n, n)
	r.b.check()
}

func (r *racer) evict(h *holder, class uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.b.take(h, class) {
		r.b.settle(h, 0, 0)
	}
}

// TestBudgetSpare: a holder that leaves does not count as held. When all of these take more
// than their part, the budget gives up the first.
func TestBudgetSpare(t *testing.T) {
	b := &NewBudgets(0, 400).outboxes
	var all []*leaver
	for range 5 {
		l := &leaver{b: b}
		l.owner = l
		all = append(all, l)
		b.settle(&l.holder, 90, 90)
		b.check()
		b.running.Wait()
	}
	if got := b.stats(); got.Used != 5*90 || got.Connections != 5 || all[0].state.Load() != stateLeaving {
		t.Errorf("%+v, the first in state %d", got, all[0].state.Load())
	}
	l := &leaver{b: b}
	l.owner = l
	b.settle(&l.holder, 90, 90)
	b.check()
	b.running.Wait()
	if all[0].state.Load() != stateOff || all[1].state.Load() != stateLeaving || all[2].state.Load() != stateHeld {
		t.Errorf("states %d %d %d", all[0].state.Load(), all[1].state.Load(), all[2].state.Load())
	}
	for _, l := range append(all, l) {
		b.settle(&l.holder, 0, 0)
	}
	if got := b.stats(); got.Used != 0 || got.Connections != 0 {
		t.Errorf("%+v in the end", got)
	}
}

// leaver cannot give back what it holds.
type leaver struct {
	holder
	b *budget
}

func (l *leaver) evict(h *holder, class uint8) {
	if class == classLeaving {
		l.b.writeOff(h)
		return
	}
	l.b.take(h, class)
}
