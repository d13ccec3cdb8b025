package wsconn

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is an io_uring (io_uring(7)): what is read from or sent to several sockets through
// it is one system call. Nothing that waits goes through it, so that the kernel does all
// within the call: after it no request is under way, and so no buffer in
// use. Calls must not overlap; each may be on another thread.
type ring struct {
	fd             int
	rings, entries []byte        // shared with the kernel
	requests       []ringRequest // powers of two, as are the results
	results        []ringResult
	tail           *uint32 // of requests; ours
	head           *uint32 // of requests; the kernel's
	resultHead     *uint32 // ours
	resultTail     *uint32 // the kernel's
	probe          [2]byte // of try
}

// From linux/io_uring.h; golang.org/x/sys/unix has the numbers of the calls only.
const (
	ringOpSend        = 26          // IORING_OP_SEND
	ringOpReceive     = 27          // IORING_OP_RECV
	ringFeatures      = 1<<0 | 1<<1 // IORING_FEAT_SINGLE_MMAP, IORING_FEAT_NODROP: Linux 5.5
	ringOffset        = 0           // IORING_OFF_SQ_RING
	ringEntriesOffset = 0x1000_0000 // IORING_OFF_SQES
	ringGetEvents     = 1           // IORING_ENTER_GETEVENTS
)

// ringRequest is struct io_uring_sqe of a read or send.
type ringRequest struct {
	op, flags uint8
	priority  uint16
	fd        int32
	offset    uint64
	address   uint64
	length    uint32
	msgFlags  uint32
	user      uint64
	_         [24]byte
}

// ringResult is struct io_uring_cqe.
type ringResult struct {
	user   uint64
	result int32
	flags  uint32
}

// ringParams is struct io_uring_params.
type ringParams struct {
	requests, results, flags, threadCPU, threadIdle, features, workers uint32

	_ [3]uint32
	// The offsets of the fields of a ring in its mapping.
	request struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	result struct {
		head, tail, mask, entries, overflow, items, flags, _ uint32
		_                                                    uint64
	}
}

// newRing makes a ring for size transfers at a time, a power of two. Its errors are those
// of systems that have none, forbid it, or have no descriptor left.
func newRing(size uint32) (*ring, error) {
	var p ringParams
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(size), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	r := &ring{fd: int(fd)}
	if err := r.begin(&p); err != nil {
		r.close()
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	return r, nil
}

func (r *ring) begin(p *ringParams) error {
	if p.features&ringFeatures != ringFeatures {
		return errors.New("that of this kernel is too old")
	}
	if err := r.share(p); err != nil {
		return err
	}
	return r.try()
}

// IOUring tells why Config.IOUring has no effect on this system; nil if it has.
func IOUring() error {
	r, err := newRing(senderSize)
	if err != nil {
		return err
	}
	r.close()
	return nil
}

// share maps what r and the kernel tell each other.
func (r *ring) share(p *ringParams) (err error) {
	const protection, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	size := max(p.request.array+4*p.requests, p.result.items+p.results*uint32(unsafe.Sizeof(ringResult{})))
	if r.rings, err = unix.Mmap(r.fd, ringOffset, int(size), protection, flags); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	size = p.requests * uint32(unsafe.Sizeof(ringRequest{}))
	if r.entries, err = unix.Mmap(r.fd, ringEntriesOffset, int(size), protection, flags); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	word := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[offset])) }
	r.requests = unsafe.Slice((*ringRequest)(unsafe.Pointer(&r.entries[0])), p.requests)
	r.results = unsafe.Slice((*ringResult)(unsafe.Pointer(&r.rings[p.result.items])), p.results)
	r.head, r.tail = word(p.request.head), word(p.request.tail)
	r.resultHead, r.resultTail = word(p.result.head), word(p.result.tail)
	for i, places := uint32(0), unsafe.Slice(word(p.request.array), p.requests); i < p.requests; i++ {
		places[i] = i // the requests are always taken in order
	}
	return nil
}

// try sends itself a byte: an old kernel has no such requests, and a filter of system
// calls or a security module may refuse any step of it. The byte is r's, and so on the heap.
func (r *ring) try() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	r.probe[0] = 'x'
	test := []transfer{{fd: int32(pair[0]), p: r.probe[:1]}}
	if r.write(test) == 0 {
		return errors.New("io_uring_enter is refused")
	}
	if test[0].n != 1 {
		return os.NewSyscallError("send", test[0].errno)
	}
	test[0].fd, test[0].p = int32(pair[1]), r.probe[1:]
	if r.read(test); test[0].n != 1 {
		return os.NewSyscallError("recv", test[0].errno)
	}
	return nil
}

func (r *ring) close() {
	if r.rings != nil {
		_ = unix.Munmap(r.rings)
	}
	if r.entries != nil {
		_ = unix.Munmap(r.entries)
	}
	_ = unix.Close(r.fd)
}

// transfer is one read or write: where to or what, and with what success, as of poller.
type transfer struct {
	fd    int32
	p     []byte // not on the stack, which moves
	n     int
	errno unix.Errno
}

// write sends the transfers, as many as the ring has room for at most, without waiting.
// It returns how many of them are done, the first ones: less than all if the kernel
// has no memory.
func (r *ring) write(all []transfer) (done int) {
	return r.do(ringRequest{op: ringOpSend, msgFlags: unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT}, all)
}

// read is write in the other direction.
func (r *ring) read(all []transfer) (done int) {
	return r.do(ringRequest{op: ringOpReceive, msgFlags: unix.MSG_DONTWAIT}, all)
}

// do has the kernel do what with each of the transfers.
func (r *ring) do(what ringRequest, all []transfer) (done int) {
	tail, mask := *r.tail, uint32(len(r.requests)-1)
	for i := range all {
		p := all[i].p
		what.fd, what.user = all[i].fd, uint64(i)
		what.address, what.length = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p)))), uint32(len(p))
		r.requests[(tail+uint32(i))&mask] = what
	}
	atomic.StoreUint32(r.tail, tail+uint32(len(all)))
	for done < len(all) {
		n, errno := r.enter(len(all)-done, 0)
		if n == 0 && errno != unix.EINTR {
			// Nobody reads requests but in such a call: the rest is taken back.
			atomic.StoreUint32(r.tail, atomic.LoadUint32(r.head))
			break
		}
		done += n
	}
	for seen := 0; seen < done; {
		seen += r.reap(all)
		if seen < done { // not seen to happen, but nothing forbids it
			_, _ = r.enter(0, done-seen)
		}
	}
	runtime.KeepAlive(all)
	return done
}

// reap notes what has become of some of the transfers, and of how many.
func (r *ring) reap(all []transfer) (n int) {
	head, tail, mask := *r.resultHead, atomic.LoadUint32(r.resultTail), uint32(len(r.results)-1)
	for ; head != tail; head++ {
		result := &r.results[head&mask]
		t := &all[result.user]
		if t.n, t.errno = int(result.result), 0; t.n < 0 {
			t.n, t.errno = 0, unix.Errno(-result.result)
		}
		n++
	}
	atomic.StoreUint32(r.resultHead, head)
	return n
}

// enter hands over n requests and waits for so many results. The runtime is not told:
// see sockets.read.
func (r *ring) enter(n, results int) (int, unix.Errno) {
	var flags uintptr
	if results > 0 {
		flags = ringGetEvents
	}
	done, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n), uintptr(results), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(done), 0
}
