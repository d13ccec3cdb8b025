package wsconn

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newTestRing skips the test where there is no io_uring.
func newTestRing(t *testing.T, size uint32) *ring {
	t.Helper()
	r, err := newRing(size)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(r.close)
	return r
}

func socketPair(t *testing.T) (ours, theirs int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) })
	return pair[0], pair[1]
}

// On the heap, as transfers ask for.
var hello, you = []byte("hello"), []byte(", you")

// TestRingProbesOnTheHeap: what the kernel writes to must not be on a stack, which moves.
func TestRingProbesOnTheHeap(t *testing.T) {
	if r := newTestRing(t, 8); string(r.probe[:]) != "xx" {
		t.Errorf("the ring's own bytes are %q: the probe used others", r.probe)
	}
}

// TestRingWritesAsWriteDoes, also to sockets that would have it wait.
func TestRingWritesAsWriteDoes(t *testing.T) {
	r := newTestRing(t, 8)
	open, peer := socketPair(t)
	full, _ := socketPair(t)
	broken, gone := socketPair(t)
	_ = unix.Shutdown(gone, unix.SHUT_RDWR)
	big := bytes.Repeat([]byte("x"), 8<<20)
	for round := range 20 { // past the ring's end
		all := []transfer{
			{fd: int32(open), p: hello},
			{fd: int32(full), p: big},
			{fd: int32(broken), p: hello},
			{fd: -1, p: hello},
			{fd: int32(open), p: you},
		}
		if n := r.write(all); n != len(all) {
			t.Fatalf("%d of %d done", n, len(all))
		}
		if all[0].n != 5 || all[4].n != 5 || all[0].errno != 0 || all[4].errno != 0 {
			t.Errorf("an open socket took %d and %d bytes: %v, %v", all[0].n, all[4].n, all[0].errno, all[4].errno)
		}
		got := make([]byte, 20)
		if n, err := unix.Read(peer, got); string(got[:max(n, 0)]) != "hello, you" {
			t.Errorf("read %q, %v", got[:max(n, 0)], err)
		}
		switch {
		case round == 0 && (all[1].n <= 0 || all[1].n >= len(big) || all[1].errno != 0):
			t.Errorf("a socket with some room took %d of %d bytes: %v", all[1].n, len(big), all[1].errno)
		case round > 0 && (all[1].n != 0 || all[1].errno != unix.EAGAIN):
			t.Errorf("a full socket took %d bytes: %v", all[1].n, all[1].errno)
		}
		if all[2].errno != unix.EPIPE || all[3].errno != unix.EBADF {
			t.Errorf("a broken and no socket: %v and %v", all[2].errno, all[3].errno)
		}
	}
}

// TestRingReadsAsReadDoes, also from sockets that would have it wait.
func TestRingReadsAsReadDoes(t *testing.T) {
	r := newTestRing(t, 8)
	open, peer := socketPair(t)
	empty, _ := socketPair(t)
	ended, gone := socketPair(t)
	_ = unix.Shutdown(gone, unix.SHUT_RDWR)
	for range 20 { // past the ring's end
		if _, err := unix.Write(peer, []byte("hello, you")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 25)
		all := []transfer{
			{fd: int32(open), p: buf[:5]},
			{fd: int32(empty), p: buf[5:10]},
			{fd: int32(ended), p: buf[10:15]},
			{fd: -1},
			{fd: int32(open), p: buf[15:]},
		}
		if n := r.read(all); n != len(all) {
			t.Fatalf("%d of %d done", n, len(all))
		}
		if got := string(all[0].p[:all[0].n]) + string(all[4].p[:all[4].n]); got != "hello, you" || all[0].n != 5 {
			t.Errorf("read %q", got)
		}
		if all[1].n != 0 || all[1].errno != unix.EAGAIN {
			t.Errorf("of an empty socket %d bytes: %v", all[1].n, all[1].errno)
		}
		if all[2].n != 0 || all[2].errno != 0 {
			t.Errorf("at the end %d bytes: %v", all[2].n, all[2].errno)
		}
		if all[3].errno != unix.EBADF {
			t.Errorf("of no socket: %v", all[3].errno)
		}
	}
}

// TestReadAheadKeepsTheReason for which a connection is lost.
func TestReadAheadKeepsTheReason(t *testing.T) {
	newTestRing(t, senderSize)
	cfg := faultConfig
	cfg.IOUring = true
	l, err := newEventLoop(newLoop(cfg).(*Loop), newSockets)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	c := newLoopConn(l, resetSocket(t), netip.AddrPort{})
	c.slot = 0
	l.pending = []unix.EpollEvent{{Events: unix.EPOLLIN}, {Events: unix.EPOLLIN}}
	l.owners = []*loopConn{c, nil}
	read := l.nextRead()
	if n, errno := l.finishRead(c, read, l.input); n != 0 || errno != unix.ECONNRESET {
		t.Errorf("read %d bytes, %v after %+v", n, errno, read)
	}
}

// TestSenderOutlivesItsRing: what the ring does not do is done without it.
func TestSenderOutlivesItsRing(t *testing.T) {
	s := &sender{ring: newTestRing(t, senderSize)}
	l, err := newEventLoop(newLoop(faultConfig).(*Loop), newSockets)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	fd, peer := socketPair(t)
	send := func() {
		for range 3 {
			c := newLoopConn(l, int32(fd), netip.AddrPort{})
			s.lock(c)
			s.add(hello, target{c: c})
		}
		s.flush()
		got := make([]byte, 100)
		if n, err := unix.Read(peer, got); string(got[:max(n, 0)]) != "hellohellohello" {
			t.Errorf("read %q, %v", got[:max(n, 0)], err)
		}
	}
	send()
	lost, err := unix.Dup(s.ring.fd)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = null.Close(), unix.Close(lost) }()
	if err := unix.Dup3(int(null.Fd()), s.ring.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		send()
	}
	if err := unix.Dup3(lost, s.ring.fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	send()
	if n := s.ring.write([]transfer{{fd: int32(fd), p: hello}}); n != 1 {
		t.Error("the ring is not used any more")
	}
}

// resetSocket is a connection that its peer has reset.
func resetSocket(t *testing.T) (fd int32) {
	t.Helper()
	server, client := tcpPair(t)
	_ = client.(*net.TCPConn).SetLinger(0)
	_ = client.Close()
	file, err := server.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	fd = int32(file.Fd())
	if n, err := unix.Poll([]unix.PollFd{{Fd: fd}}, 10_000); n != 1 {
		t.Fatal("no reset came", err)
	}
	return fd
}

// TestSenderKeepsTheReason for which a connection is lost.
func TestSenderKeepsTheReason(t *testing.T) {
	frame, err := NewFrame(Text, hello)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*ring{"a system call each": nil, "ring": newTestRing(t, senderSize)} {
		t.Run(name, func(t *testing.T) {
			s := &sender{ring: r}
			l, err := newEventLoop(newLoop(faultConfig).(*Loop), newSockets)
			if err != nil {
				t.Fatal(err)
			}
			defer l.release()
			fd := resetSocket(t)
			open, _ := socketPair(t)
			lost, other := newLoopConn(l, fd, netip.AddrPort{}), newLoopConn(l, int32(open), netip.AddrPort{})
			for _, c := range []*loopConn{lost, other} {
				s.lock(c)
				s.add(frame.wire, target{c: c, f: frame})
			}
			s.flush()
			if lost.ending == nil || !errors.Is(lost.ending.err, unix.ECONNRESET) {
				t.Errorf("the end is %+v", lost.ending)
			}
			if other.ending != nil {
				t.Errorf("the other ended too: %v", other.ending.err)
			}
		})
	}
}

// TestIOUringIsUsed by loops and by some broadcasts, where there is one and it is wanted.
func TestIOUringIsUsed(t *testing.T) {
	newTestRing(t, senderSize)
	for _, wanted := range []bool{true, false} {
		cfg := faultConfig
		cfg.IOUring = wanted
		tr := newLoop(cfg).(*Loop)
		l := tr.sockets.next(tr)
		if used := l.sender.ring != nil; used != wanted {
			t.Errorf("used by loops: %v, want %v", used, wanted)
		}
		tr.SendAll(nil, nil, nil)
		if used := len(tr.rings.free) == 1; used != wanted {
			t.Errorf("used by a broadcast: %v, want %v", used, wanted)
		}
		most := 0
		if wanted {
			most = runtime.GOMAXPROCS(0)
		}
		for i := range most + 3 {
			r := tr.rings.take()
			defer tr.rings.give(r)
			if used := r != nil; used != (i < most) {
				t.Errorf("used by broadcast %d of those at the same time: %v", i, used)
			}
		}
		tr.Wait()
	}
}

// TestSenderWaitsWithNothingInHand: it would keep others waiting who may have what it
// waits for.
func TestSenderWaitsWithNothingInHand(t *testing.T) {
	s := &scripted{refuses: -1, wire: make([]string, 2), ended: make([]bool, 2)}
	l, err := newEventLoop(newLoop(faultConfig).(*Loop), func() (poller, error) { return s, nil })
	if err != nil {
		t.Fatal(err)
	}
	first, second := newLoopConn(l, 0, netip.AddrPort{}), newLoopConn(l, 1, netip.AddrPort{})
	second.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.sender.lock(first)
		l.sender.add([]byte("first"), target{c: first})
		l.sender.lock(second)
		l.sender.add([]byte("second"), target{c: second})
		l.sender.flush()
	}()
	first.mu.Lock() // as soon as it is given back
	for end := time.Now().Add(10 * time.Second); s.wire[0] == "" && time.Now().Before(end); {
		first.mu.Unlock()
		time.Sleep(time.Millisecond)
		first.mu.Lock()
	}
	if s.wire[0] != "first" || s.wire[1] != "" {
		t.Errorf("%q is written while the second waits", s.wire)
	}
	first.mu.Unlock()
	second.mu.Unlock()
	<-done
	if s.wire[1] != "second" {
		t.Errorf("%q is written in the end", s.wire)
	}
}

// forbid has the kernel refuse a system call to this process, as the profiles of
// containers do.
func forbid(call uint32) error {
	runtime.LockOSThread() // the first call is about the thread
	defer runtime.UnlockOSThread()
	const allow, refuse = 0x7fff0000, 0x00050000 | uint32(unix.EPERM) // SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
		{Code: unix.BPF_RET | unix.BPF_K, K: refuse},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const setModeFilter, allThreads = 1, 1 // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, allThreads, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return nil
}

// TestForbiddenIOUring runs a contract again in processes that may not use all of it.
func TestForbiddenIOUring(t *testing.T) {
	const child = "WSCONN_FORBID"
	calls := map[string]uint32{"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER}
	if name := os.Getenv(child); name != "" {
		descriptors := openDescriptors(t)
		if err := forbid(calls[name]); err != nil {
			t.Skip(err)
		}
		if err := IOUring(); err == nil {
			t.Fatal("io_uring is said to work")
		}
		if now := openDescriptors(t); now != descriptors {
			t.Errorf("%d descriptors are open, %d were", now, descriptors)
		}
		return // and the next test follows
	}
	for name := range calls {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^(TestForbiddenIOUring|TestLoop)$/^tcp$/^to_all")
			cmd.Env = append(os.Environ(), child+"="+name)
			out, err := cmd.CombinedOutput()
			if strings.Contains(string(out), "--- SKIP: TestForbiddenIOUring") {
				t.Skipf("%s", out)
			}
			if err != nil || strings.Count(string(out), "--- PASS: TestLoop/tcp/to_all") != 3 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestRingWithoutDescriptors: whoever wants one near the limit goes on without.
func TestRingWithoutDescriptors(t *testing.T) {
	newTestRing(t, senderSize)
	const child = "WSCONN_FEW_DESCRIPTORS"
	if os.Getenv(child) != "" {
		next, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(next)
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		for room := range 4 { // for none of the ring and its two sockets, to all
			limit.Cur = uint64(next + room)
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
				t.Skip(err)
			}
			if err := IOUring(); errors.Is(err, unix.EMFILE) != (room < 3) {
				t.Errorf("with room for %d descriptors: %v", room, err)
			}
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run=^TestRingWithoutDescriptors$")
	cmd.Env = append(os.Environ(), child+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
