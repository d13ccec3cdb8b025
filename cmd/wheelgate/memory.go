package main

import (
	"fmt"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memory is how much the process may take, in bytes, and what says so; 0 if nothing does.
type memory struct {
	limit  uint64
	source string
}

// systemMemory is the least of the cgroup's memory and the machine's.
func systemMemory() memory {
	machine, err := memlimit.FromSystem()
	if err != nil {
		machine = 0
	}
	if cgroup, err := memlimit.FromCgroup(); err == nil && (machine == 0 || cgroup < machine) {
		return memory{cgroup, "the cgroup's memory"}
	}
	return memory{machine, "the machine's memory"}
}

// memoryLimit is GOMEMLIMIT, or what stands for it: the same share of the system's memory.
func memoryLimit() memory {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return memory{uint64(limit), "GOMEMLIMIT"}
	}
	m := systemMemory()
	m.limit = uint64(float64(m.limit) * memoryShare)
	return m
}

// Bounds of the outboxes' budget where it is not set: below, a few slow clients would pay for
// each other; above, more would only be longer to wait for what nobody takes.
const (
	outboxShare          = 8
	leastOutbox          = 8 << 20
	mostOutbox           = 1 << 30
	outboxWithoutMachine = 256 << 20
)

// outboxBudget is the default of outbox-budget: an eighth of m, within bounds.
func (m memory) outboxBudget() int {
	if m.limit == 0 {
		return outboxWithoutMachine
	}
	return int(min(max(m.limit/outboxShare, leastOutbox), mostOutbox))
}

// setOutboxBudget makes o's budget a number if it is automatic.
func setOutboxBudget(o *options) {
	if o.gateway.OutboxBudget == 0 {
		o.gateway.OutboxBudget = memoryLimit().outboxBudget()
	}
}

func showOutboxBudget(o *options) string {
	if n := o.gateway.OutboxBudget; n != 0 {
		return inBytes(uint64(n))
	}
	m := memoryLimit()
	if m.limit == 0 {
		return inBytes(uint64(m.outboxBudget()))
	}
	return fmt.Sprintf("%s (by %s, of which %s may be used)", inBytes(uint64(m.outboxBudget())), m.source, inBytes(m.limit))
}

// inBytes is n rounded down to a unit of which there are some.
func inBytes(n uint64) string {
	for _, unit := range []struct {
		size uint64
		name string
	}{{1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n%unit.size == 0 && n > 0 || n >= 10*unit.size {
			return fmt.Sprint(n/unit.size, unit.name)
		}
	}
	return fmt.Sprint(n)
}
