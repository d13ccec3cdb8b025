package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestConnSize: a crowd has very many.
func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 96 {
		t.Errorf("a connection has %d bytes", size)
	}
}

// bounce is a handler that sends back what it gets, as often as left says.
type bounce struct {
	*fixture
	left atomic.Int32
	done chan struct{}
}

func (b *bounce) Message(c *Conn, op Opcode, payload []byte, _ time.Time) {
	if b.left.Add(-1) <= 0 {
		b.done <- struct{}{}
		return
	}
	if err := c.Send(op, payload); err != nil {
		panic(err)
	}
}

// TestSendAndReceiveAllocateNothing: nor does a timer, with which a runner sends.
func TestSendAndReceiveAllocateNothing(t *testing.T) {
	x := newFixture(t, false)
	b := &bounce{fixture: x, done: make(chan struct{}, 1)}
	x.serve(func(conn net.Conn) {
		in, err := upgrade(conn)
		// 120 bytes of payload: 2 bytes of header and 4 of mask on the way in.
		frame := make([]byte, 6+120)
		for err == nil {
			if _, err = io.ReadFull(in, frame); err == nil {
				for i := range 120 {
					frame[6+i] ^= frame[2+i%4]
				}
				frame[4], frame[5] = 0x82, 120
				_, err = conn.Write(frame[4:])
			}
		}
	})
	crowd, err := New(Config{Loops: 1}, b)
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	l, target := crowd.Loops()[0], x.target()
	l.Post(func() { l.Dial(target, 0) })
	c := x.expect("opened").c
	payload := make([]byte, 120)
	send := func(time.Time) { _ = c.Send(Binary, payload) }
	round := func() {
		b.left.Store(100)
		l.At(time.Now().Add(time.Millisecond), send)
		<-b.done
	}
	if n := testing.AllocsPerRun(20, round); n > 0 {
		t.Errorf("%v allocations for 100 echoes", n)
	}
}

// TestVanish: the server sees neither FIN nor RST nor an acknowledgement; what it sends
// stays unacknowledged until its TCP gives up.
func TestVanish(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		type seen struct {
			unacked uint32
			err     error
		}
		vanished, result := make(chan struct{}), make(chan seen, 1)
		x.serve(func(conn net.Conn) {
			in, err := upgrade(conn)
			if err != nil {
				return
			}
			<-vanished
			raw := rawSocket(conn)
			_ = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 1500)
			})
			var s seen
			if _, err := conn.Write(serverFrame(Text, "anybody there?")); err != nil {
				t.Error(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			_, err = in.ReadByte()
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("within half a second the server sees %v", err)
			}
			_ = raw.Control(func(fd uintptr) {
				if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
					s.unacked = info.Unacked
				}
			})
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
				conn = secure.NetConn() // TLS keeps the error of the first deadline
			}
			_, s.err = conn.Read(make([]byte, 1))
			result <- s
		})
		x.dial(Config{})
		c := x.expect("opened").c
		on(c, func() { c.Vanish(); c.Vanish(); c.Close(1000, "") })
		close(vanished)
		if e := x.expect("closed"); e.code != 1006 || e.err.Kind != KindVanished || e.err.Err != nil {
			t.Errorf("%d %v", e.code, e.err)
		}
		s := <-result
		if s.unacked == 0 {
			t.Error("what the server sent was acknowledged")
		}
		if !errors.Is(s.err, unix.ETIMEDOUT) {
			t.Errorf("the server's TCP ended with %v; want a timeout", s.err)
		}
		on(c, func() { c.Abort() })
		if len(x.events) > 0 {
			t.Errorf("after its end: %v", (<-x.events).call)
		}
	})
}

func rawSocket(conn net.Conn) syscall.RawConn {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		panic(err)
	}
	return raw
}

// TestNoDescriptors lowers the limit to what is open.
func TestNoDescriptors(t *testing.T) {
	x := newFixture(t, false)
	crowd, target := x.crowd(Config{}), x.target()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	lowered := before
	lowered.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	n, limit := Room([]*Target{target}, nil)
	l := crowd.Loops()[0]
	l.Post(func() { l.Dial(target, 0) })
	e := x.expect("failed")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if e.err.Kind != KindNoDescriptors {
		t.Errorf("%v", e.err)
	}
	if n != 0 || !strings.Contains(limit, "open files: 3 per process") {
		t.Errorf("room for %d: %s", n, limit)
	}
	if n, _ := Room([]*Target{target}, nil); n < 100 || n >= int(before.Cur) {
		t.Errorf("room for %d of %d", n, before.Cur)
	}
}

func TestSources(t *testing.T) {
	both(t, func(t *testing.T, x *fixture) {
		from := make(chan string, 10)
		x.serve(func(conn net.Conn) {
			from <- conn.RemoteAddr().(*net.TCPAddr).IP.String()
			_, _ = upgrade(conn)
			_, _ = io.Copy(io.Discard, conn)
		})
		crowd, target := x.crowd(Config{Sources: LoopbackSources(3)}), x.target()
		l := crowd.Loops()[0]
		count := make(map[string]int)
		for range 6 {
			l.Post(func() { l.Dial(target, 0) })
			x.expect("opened")
			count[<-from]++
		}
		if fmt.Sprint(count) != "map[127.0.0.1:2 127.0.0.2:2 127.0.0.3:2]" {
			t.Error(count)
		}
	})
}

func TestForeignSource(t *testing.T) {
	x := newFixture(t, false)
	x.dial(Config{Sources: []netip.Addr{netip.MustParseAddr("203.0.113.1")}})
	if e := x.expect("failed"); e.err.Kind != KindNetwork || !strings.Contains(e.err.Error(), "203.0.113.1") {
		t.Errorf("%v", e.err)
	}
}

// TestNoPorts runs itself in a network of its own that has ten local ports.
func TestNoPorts(t *testing.T) {
	const inside = "LOADTEST_CLIENT_TEN_PORTS"
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoPorts$")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC) {
			t.Skip("no network of our own: ", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	raiseLoopback(t)
	fixtures := []*fixture{newFixture(t, false), newFixture(t, false)}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("20000 20009"), 0); err != nil {
		t.Skip(err)
	}
	for sources := 1; sources <= 2; sources++ {
		x := fixtures[sources-1]
		x.serve(func(conn net.Conn) { _, _ = upgrade(conn); _, _ = io.Copy(io.Discard, conn) })
		from := LoopbackSources(sources)
		crowd, target := x.crowd(Config{Sources: from}), x.target()
		n, limit := Room([]*Target{target}, from)
		if n != 10*sources || !strings.Contains(limit, "ip_local_port_range") {
			t.Errorf("room for %d: %s", n, limit)
		}
		l := crowd.Loops()[0]
		for range n {
			l.Post(func() { l.Dial(target, 0) })
			x.expect("opened")
		}
		l.Post(func() { l.Dial(target, 0) })
		if e := x.expect("failed"); e.err.Kind != KindNoPorts {
			t.Errorf("%v", e.err)
		}
	}
}

func raiseLoopback(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	lo.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		t.Skip("lo: ", err)
	}
}
