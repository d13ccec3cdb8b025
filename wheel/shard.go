package wheel

import (
	"sync"
	"sync/atomic"
)

const (
	levels     = 2
	slotBits   = 6
	slots      = 1 << slotBits // per level
	shardCount = 32
)

// The states of an entry; all changes are under its shard's lock.
//
//	state      event        next       note
//	idle       Add          filed
//	filed      step served  queued     due; else filed again
//	queued     worker       firing     still due; else filed again
//	firing     Fire ended   filed
//	any        Cancel       cancelled  final
const (
	idle = iota
	filed
	queued
	firing
	cancelled
)

// Entry is an owner's place in a Wheel, to be embedded in the owner: 32 bytes.
// The zero Entry is ready for Add. It must not be copied after that.
type Entry[T any] struct {
	next, prev *Entry[T] // nil when in no list
	owner      *T
	due        uint32 // low bits of the step in which it will be looked at
	shard      uint8
	state      uint8
}

func (e *Entry[T]) unlink() {
	if e.next != nil {
		e.prev.next, e.next.prev = e.next, e.prev
		e.next, e.prev = nil, nil
	}
}

// list is a circular list with a sentinel. It must be initialized with clear.
type list[T any] struct{ root Entry[T] }

func (l *list[T]) clear() { l.root.next, l.root.prev = &l.root, &l.root }

func (l *list[T]) push(e *Entry[T]) {
	last := l.root.prev
	e.prev, e.next = last, &l.root
	last.next, l.root.prev = e, e
}

// front returns the first entry, or nil.
func (l *list[T]) front() *Entry[T] {
	if l.root.next == &l.root {
		return nil
	}
	return l.root.next
}

// take moves all of from to l's end in O(1).
func (l *list[T]) take(from *list[T]) {
	first, last := from.root.next, from.root.prev
	if first == &from.root {
		return
	}
	end := l.root.prev
	end.next, first.prev = first, end
	last.next, l.root.prev = &l.root, last
	from.clear()
}

// shard is the part of the wheel under one lock.
type shard[T any] struct {
	mu      sync.Mutex
	levels  [levels][slots]list[T] // by step, and by block of steps
	sweep   list[T]                // taken off its slot, not looked at yet; states filed
	due     list[T]                // waiting for a worker; states queued
	queued  atomic.Int32           // length of due, readable without the lock
	entries int
}

func newShards[T any]() []shard[T] {
	shards := make([]shard[T], shardCount)
	for i := range shards {
		s := &shards[i]
		for l := range s.levels {
			for j := range s.levels[l] {
				s.levels[l][j].clear()
			}
		}
		s.sweep.clear()
		s.due.clear()
	}
	return shards
}

func (w *Wheel[T]) lockShard(e *Entry[T]) *shard[T] {
	s := &w.shards[e.shard]
	s.mu.Lock()
	return s
}

// place returns the level and slot for an entry due at step due, and the step in
// which that slot is served, given the last served step.
func place(due, served int64) (level int, slot uint, at int64) {
	due = max(due, served+1)
	if due-served < slots {
		return 0, uint(due) % slots, due
	}
	// Blocks count from the served one; beyond the last of them an entry hops.
	block := min(due>>slotBits, served>>slotBits+slots-1)
	return 1, uint(block) % slots, block << slotBits
}

// fileLocked puts an unlinked e where it will be looked at in step due, or
// earlier when that is far away.
func (w *Wheel[T]) fileLocked(s *shard[T], e *Entry[T], due int64) {
	for {
		level, slot, at := place(due, w.served.Load())
		if bit := uint64(1) << slot; w.used[level].Load()&bit == 0 {
			w.used[level].Or(bit)
		}
		// The sweeper publishes served before it reads used, so it has seen the
		// bit if served is still short of the slot; otherwise the slot may have
		// been passed over as empty.
		if w.served.Load() < at {
			e.due, e.state = uint32(at), filed
			s.levels[level][slot].push(e)
			return
		}
	}
}

// dueLocked is the step in which a filed e will be looked at.
func (w *Wheel[T]) dueLocked(e *Entry[T]) int64 {
	served := w.served.Load()
	return served + int64(int32(e.due-uint32(served)))
}

// isUsed reports whether step m has a cohort, or begins a block that has one.
func (w *Wheel[T]) isUsed(m int64) bool {
	if w.used[0].Load()&(1<<(uint(m)%slots)) != 0 {
		return true
	}
	return m%slots == 0 && w.used[1].Load()&(1<<(uint(m>>slotBits)%slots)) != 0
}
