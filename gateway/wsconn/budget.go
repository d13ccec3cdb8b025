package wsconn

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Budgets bound the memory that connections hold together. All transports of a gateway
// share them: see Config.Budgets.
type Budgets struct {
	partials budget
	outboxes budget
}

// NewBudgets returns budgets for unfinished inbound messages and for outboxes, in
// bytes; 0 is no bound.
//
// Beyond a budget the connection that holds most has to give its memory back. Sizes are
// told apart in steps of powers of two; of one step the oldest pays, and connections with
// at most 8 KiB pay last. The rest of a frame that is partly written cannot be dropped. It
// leaves the budget and may take a quarter of it besides; beyond that quarter the transport
// aborts the connection that was told first.
func NewBudgets(partial, outbox int64) *Budgets {
	b := new(Budgets)
	b.partials.limit = partial
	b.outboxes.limit, b.outboxes.spare = outbox, outbox/4
	return b
}

// BudgetStats is the state of one budget.
type BudgetStats struct {
	Used        int64 // bytes, those about to be released included
	Limit       int64 // bytes; 0: none
	Connections int   // with a share of Used
}

// Partials is the state of the budget for unfinished inbound messages.
func (b *Budgets) Partials() BudgetStats { return b.partials.stats() }

// Outboxes is the state of the budget for outboxes. A frame in several of them counts once.
func (b *Budgets) Outboxes() BudgetStats { return b.outboxes.stats() }

// Wait waits for the budgets' goroutines. Call it after every transport's Wait.
func (b *Budgets) Wait() {
	b.partials.running.Wait()
	b.outboxes.running.Wait()
}

// budget bounds the memory of its holders. Its zero value has no bound.
//
// Goroutines: one while the holders have too much. It chooses one after another and tells
// its owner.
type budget struct {
	limit, spare  int64        // of held and of leaving, in bytes; 0: none
	held, leaving atomic.Int64 // bytes
	choosing      atomic.Bool  // the goroutine runs, or is about to
	running       sync.WaitGroup

	mu sync.Mutex // a leaf
	// Guarded by mu.
	sizes   uint64 // the bit of each class that has holders
	holders [64]holders
	leavers holders
	count   int // in holders and leavers
}

// holder is a connection's entry in a budget for as long as it holds something. The owner
// alone changes counted and class, with budget.mu held, and reads them without it.
type holder struct {
	owner      evictee
	prev, next *holder
	counted    int // bytes of it in held or leaving
	state      atomic.Uint32
	class      uint8 // by size; 0: it holds nothing
}

// The states of a holder.
const (
	stateHeld    = iota
	stateLeaving // chosen, and counted in leaving
	stateOff     // chosen, and not counted any more
)

// evictee owns a holder. The budget calls evict, with no lock held, for the first holder of
// a class: h is to hold nothing any more. It calls evict with classLeaving if h was told
// before and has to be given up now. h may have changed since; evict does nothing then.
type evictee interface {
	evict(h *holder, class uint8)
}

const (
	classLeaving = 0
	// smallClass is that of all holders up to 8 KiB, which are not told apart.
	smallClass = 13
)

// classOf is the least n so that size is at most 2^n, but not below smallClass.
func classOf(size int) uint8 {
	if size <= 0 {
		return 0
	}
	return uint8(max(bits.Len(uint(size-1)), smallClass))
}

// settle makes the budget count h with that many bytes, and choose it by size. It reports
// false if h was chosen. A size of 0 ends both the entry and the choice.
func (b *budget) settle(h *holder, counted, size int) (stays bool) {
	if class := classOf(size); class != h.class || counted != h.counted {
		b.mu.Lock()
		b.settleLocked(h, counted, class)
		b.mu.Unlock()
	}
	return h.state.Load() == stateHeld
}

func (b *budget) settleLocked(h *holder, counted int, class uint8) {
	more := int64(counted - h.counted)
	state, list := h.state.Load(), &b.leavers
	switch state {
	case stateHeld:
		b.held.Add(more)
		list = &b.holders[h.class]
	case stateLeaving:
		b.leaving.Add(more)
	}
	if h.class != 0 && state != stateOff && (class == 0 || state == stateHeld && class != h.class) {
		b.remove(list, h)
	}
	if class != 0 && state == stateHeld && class != h.class {
		b.append(&b.holders[class], h)
		b.sizes |= 1 << class
	}
	h.counted, h.class = counted, class
	if class == 0 {
		h.state.Store(stateHeld)
	}
}

// take makes h leave if it still is of class and was not chosen before.
func (b *budget) take(h *holder, class uint8) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.class != class || h.state.Load() != stateHeld {
		return false
	}
	b.remove(&b.holders[class], h)
	b.append(&b.leavers, h)
	h.state.Store(stateLeaving)
	b.held.Add(-int64(h.counted))
	b.leaving.Add(int64(h.counted))
	return true
}

// writeOff stops counting h, which is leaving.
func (b *budget) writeOff(h *holder) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(&b.leavers, h)
	h.state.Store(stateOff)
	b.leaving.Add(-int64(h.counted))
}

// check starts the budget's goroutine if the holders have too much. The caller may hold
// any lock but mu.
func (b *budget) check() {
	if b.exceeded() && b.choosing.CompareAndSwap(false, true) {
		b.running.Go(b.evict)
	}
}

func (b *budget) exceeded() bool { return b.heldTooMuch() || b.leavingTooMuch() }

func (b *budget) heldTooMuch() bool { return b.limit > 0 && b.held.Load() > b.limit }

func (b *budget) leavingTooMuch() bool { return b.spare > 0 && b.leaving.Load() > b.spare }

// evict is the budget's goroutine.
func (b *budget) evict() {
	for {
		h, class := b.choose()
		if h == nil {
			b.choosing.Store(false)
			// A check may have found this goroutine running after its last choice.
			if h, _ = b.choose(); h == nil || !b.choosing.CompareAndSwap(false, true) {
				return
			}
			continue
		}
		h.owner.evict(h, class)
	}
}

// choose returns the holder that pays next and its class, or nil.
func (b *budget) choose() (h *holder, class uint8) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.leavingTooMuch() && b.leavers.first != nil:
		return b.leavers.first, classLeaving
	case b.heldTooMuch() && b.sizes != 0:
		class = uint8(bits.Len64(b.sizes) - 1)
		return b.holders[class].first, class
	}
	return nil, 0
}

func (b *budget) stats() BudgetStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BudgetStats{Used: b.held.Load() + b.leaving.Load(), Limit: b.limit, Connections: b.count}
}

// holders is a list, the oldest first.
type holders struct{ first, last *holder }

func (b *budget) append(l *holders, h *holder) {
	if h.prev = l.last; h.prev != nil {
		h.prev.next = h
	} else {
		l.first = h
	}
	l.last = h
	b.count++
}

func (b *budget) remove(l *holders, h *holder) {
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		l.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		l.last = h.prev
	}
	h.prev, h.next = nil, nil
	b.count--
	if l.first == nil && l != &b.leavers {
		b.sizes &^= 1 << h.class
	}
}
