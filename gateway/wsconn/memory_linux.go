package wsconn

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// memory is the poller of connections in memory, ends of Pipe: as level-triggered
// as the kernel's.
type memory struct {
	woken chan struct{}
	// ends by descriptor. The slice is replaced when it grows, so that it can be
	// read without mu; an element does not change while its descriptor is in use.
	ends atomic.Pointer[[]memoryEnd]

	mu   sync.Mutex
	free []int32
	due  []int32 // ends that may be ready, each once

	events  [loopEvents]unix.EpollEvent
	looking []int32 // what wait looks at; the other buffer of due
}

// memoryEnd is one descriptor.
type memoryEnd struct {
	*PipeEnd
	event unix.EpollEvent // as watched
	due   bool            // guarded by memory.mu
}

func newMemory() (poller, error) {
	m := &memory{woken: make(chan struct{}, 1)}
	m.ends.Store(new([]memoryEnd))
	return m, nil
}

// adopt gives e a descriptor.
func (m *memory) adopt(e *PipeEnd) (fd int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ends := *m.ends.Load()
	if last := len(m.free) - 1; last >= 0 {
		fd, m.free = m.free[last], m.free[:last]
	} else {
		fd = int32(len(ends))
		ends = append(ends, memoryEnd{})
		m.ends.Store(&ends)
	}
	// Its last owner may have left it among those that are due.
	ends[fd] = memoryEnd{PipeEnd: e, due: ends[fd].due}
	return fd
}

func (m *memory) end(fd int32) *PipeEnd { return (*m.ends.Load())[fd].PipeEnd }

// changed implements observer.
func (m *memory) changed(fd int32) {
	m.mu.Lock()
	end := &(*m.ends.Load())[fd]
	first := !end.due
	if first {
		end.due = true
		m.due = append(m.due, fd)
	}
	m.mu.Unlock()
	if first {
		m.wake()
	}
}

func (m *memory) watch(op int, fd int32, e unix.EpollEvent) error {
	m.mu.Lock()
	end := &(*m.ends.Load())[fd]
	end.event = e
	m.mu.Unlock()
	if op == unix.EPOLL_CTL_ADD {
		end.observe(m, fd)
	}
	m.changed(fd)
	return nil
}

func (m *memory) wait(limit time.Duration) []unix.EpollEvent {
	if ready := m.ready(); len(ready) > 0 || limit == atOnce {
		return ready
	}
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-m.woken:
	case <-late:
	}
	return m.ready()
}

// ready looks at the ends that are due. What is ready stays due, behind those that
// were not looked at, until a later look finds that it is not any more.
func (m *memory) ready() []unix.EpollEvent {
	m.mu.Lock()
	m.looking, m.due = m.due, m.looking[:0]
	n := 0
	for i, fd := range m.looking {
		if n == len(m.events) {
			m.due = slices.Insert(m.due, 0, m.looking[i:]...)
			break
		}
		end := &(*m.ends.Load())[fd]
		end.due = false
		e, event := end.PipeEnd, end.event
		if e == nil {
			continue
		}
		m.mu.Unlock() // an end's own lock comes before
		event.Events &= e.readiness()
		m.mu.Lock()
		end = &(*m.ends.Load())[fd]
		if event.Events == 0 || end.PipeEnd != e { // a handshake that failed is closed elsewhere
			continue
		}
		if !end.due {
			end.due = true
			m.due = append(m.due, fd)
		}
		m.events[n] = event
		n++
	}
	m.mu.Unlock()
	return m.events[:n]
}

func (e *PipeEnd) readiness() (events uint32) {
	in, out := e.ready()
	if in {
		events |= unix.EPOLLIN
	}
	if out {
		events |= unix.EPOLLOUT
	}
	return events
}

func (m *memory) wake() {
	select {
	case m.woken <- struct{}{}:
	default:
	}
}

func (m *memory) read(fd int32, p []byte) (int, unix.Errno)  { return m.end(fd).TryRead(p) }
func (m *memory) write(fd int32, p []byte) (int, unix.Errno) { return m.end(fd).TryWrite(p) }
func (m *memory) halfClose(fd int32)                         { _ = m.end(fd).CloseWrite() }
func (m *memory) reset(fd int32)                             { _ = m.end(fd).SetLinger(0) }
func (m *memory) shut(fd int32)                              { _ = m.end(fd).Close() }
func (m *memory) release()                                   {}

func (m *memory) close(fd int32) {
	e := m.end(fd)
	e.observe(nil, -1)
	_ = e.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	end := &(*m.ends.Load())[fd]
	end.PipeEnd = nil
	m.free = append(m.free, fd)
}
