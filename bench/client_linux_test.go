//go:build !race

package bench_test

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
)

// usage is what a process has and has used.
type usage struct {
	resident int64         // bytes
	cpu      time.Duration // user and system
}

func usageOf(t *testing.T, pid int) (u usage) {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after) // from the third on: 14 and 15 are the times, 24 the pages
	number := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i-3], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return usage{number(24) * int64(os.Getpagesize()), time.Duration(number(14)+number(15)) * 10 * time.Millisecond}
}

// clients counts what happens to a crowd.
type clients struct {
	opened, failed, echoed, closed atomic.Int64
	firstError                     atomic.Pointer[client.Error]
	conns                          [][]*client.Conn // by loop; of the loop until all are open
	bounces                        atomic.Int64     // messages that are sent back yet
}

func (h *clients) Opened(c *client.Conn, _, _ time.Duration) {
	i := c.Loop().Index()
	h.conns[i] = append(h.conns[i], c)
	h.opened.Add(1)
}

func (h *clients) Failed(_ *client.Conn, err *client.Error) {
	h.firstError.CompareAndSwap(nil, err)
	h.failed.Add(1)
}

func (h *clients) Message(c *client.Conn, op client.Opcode, payload []byte, _ time.Time) {
	h.echoed.Add(1)
	if h.bounces.Load() > 0 && h.bounces.Add(-1) >= 0 {
		_ = c.Send(op, payload) // one that is lost is missed by await
	}
}

func (h *clients) Closed(_ *client.Conn, _ int, _ string, err *client.Error, _ time.Time) {
	h.firstError.CompareAndSwap(nil, err)
	h.closed.Add(1)
}

// await polls until done, a failure, or a minute has passed.
func (h *clients) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if h.failed.Load()+h.closed.Load() > 0 || time.Now().After(end) {
			t.Fatalf("%s: %d opened, %d failed, %d closed, %d echoed; first error: %v",
				what, h.opened.Load(), h.failed.Load(), h.closed.Load(), h.echoed.Load(), h.firstError.Load())
		}
	}
}

// dialAll dials n connections from l, a few every millisecond.
func dialAll(l *client.Loop, target *client.Target, n int) {
	var more func(time.Time)
	more = func(now time.Time) {
		for i := 0; i < 5 && n > 0; i++ {
			l.Dial(target, n)
			n--
		}
		if n > 0 {
			l.At(now.Add(time.Millisecond), more)
		}
	}
	l.Post(func() { more(time.Now()) })
}

// echoes sends count messages over conns in turn, one every interval by schedule.
func echoes(l *client.Loop, conns []*client.Conn, count int, interval time.Duration, refused *atomic.Int64) {
	payload := []byte(strings.Repeat("e", 128))
	due, sent := time.Now().Add(interval), 0
	var tick func(time.Time)
	tick = func(now time.Time) {
		for ; sent < count && !due.After(now); due = due.Add(interval) {
			if conns[sent%len(conns)].Send(client.Text, payload) != nil {
				refused.Add(1)
			}
			sent++
		}
		if sent < count {
			l.At(due, tick)
		}
	}
	l.At(due, tick)
}

// TestClientAgainstProgram holds 19,000 connections of loadtest/client, in this
// process, against one wheelgate, and has 200 of them echo as fast as it goes, then
// 10,000 messages a second by schedule. A connection must take less than 1 KiB of
// resident memory. The CPU times of both are logged: a tool that needs more than the
// server measures itself. By schedule both wake once for a message; who sends it also
// pays for waking the other, and the server's answer wakes nobody.
func TestClientAgainstProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 19,000 connections")
	}
	const n, active, rate, seconds = 19_000, 200, 10_000, 10
	p := run(t, "--echo", "--session-timeout=10m", "--max-sessions="+strconv.Itoa(n))
	target, err := client.NewTarget("ws://"+p.addr+"/echo", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	sources := client.LoopbackSources(4) // with one, connect(2) spends its time on finding free ports
	if room, limit := client.Room([]*client.Target{target}, sources); room < n {
		t.Skipf("room for %d connections: %s", room, limit)
	}
	h := &clients{}
	crowd, err := client.New(client.Config{Sources: sources, Loops: 1}, h)
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	loops := crowd.Loops()
	h.conns = make([][]*client.Conn, len(loops))

	debug.FreeOSMemory()
	before, serverBefore, began := usageOf(t, os.Getpid()), usageOf(t, p.Process.Pid), time.Now()
	for i, l := range loops {
		dialAll(l, target, n*(i+1)/len(loops)-n*i/len(loops))
	}
	h.await(t, "opening", func() bool { return h.opened.Load() == n })
	took := time.Since(began)
	start, serverStart := before, serverBefore
	peak := usageOf(t, os.Getpid())
	debug.FreeOSMemory()
	after, server := usageOf(t, os.Getpid()), usageOf(t, p.Process.Pid)
	t.Logf("%d opened in %v, CPU: client %v, server %v", n, took.Round(time.Millisecond), peak.cpu-before.cpu, server.cpu-serverBefore.cpu)
	t.Logf("resident bytes per connection: %d, %d with the garbage of opening; server %d",
		(after.resident-before.resident)/n, (peak.resident-before.resident)/n, (server.resident-serverBefore.resident)/n)
	if grown := peak.resident - before.resident; grown > n<<10 {
		t.Errorf("%d bytes per connection; want less than 1,024", grown/n)
	}

	// As fast as it goes: how many of them one server and one client do.
	total := int64(300_000)
	before, serverBefore, began = usageOf(t, os.Getpid()), usageOf(t, p.Process.Pid), time.Now()
	h.bounces.Store(total - active)
	for i, l := range loops {
		conns := h.conns[i][:active/len(loops)]
		l.Post(func() {
			for _, c := range conns {
				_ = c.Send(client.Text, []byte(strings.Repeat("e", 128)))
			}
		})
	}
	h.await(t, "bouncing", func() bool { return h.echoed.Load() == total })
	after, server = usageOf(t, os.Getpid()), usageOf(t, p.Process.Pid)
	fast, theirs := after.cpu-before.cpu, server.cpu-serverBefore.cpu
	t.Logf("%d echoes of 128 bytes in %v over %d of %d: CPU per echo: client %v, server %v, ratio %.2f", total,
		time.Since(began).Round(time.Millisecond), active, n, fast/time.Duration(total), theirs/time.Duration(total), float64(fast)/float64(theirs))

	h.echoed.Store(0)
	var refused atomic.Int64
	before, serverBefore = usageOf(t, os.Getpid()), usageOf(t, p.Process.Pid)
	for i, l := range loops {
		echoes(l, h.conns[i][:active/len(loops)], rate*seconds/len(loops), time.Second*time.Duration(len(loops))/rate, &refused)
	}
	total = int64(rate * seconds / len(loops) * len(loops))
	h.await(t, "echoing", func() bool { return h.echoed.Load()+refused.Load() >= total })
	after, server = usageOf(t, os.Getpid()), usageOf(t, p.Process.Pid)
	paced := after.cpu - before.cpu
	theirs = server.cpu - serverBefore.cpu
	t.Logf("%d echoes of 128 bytes at %d/s over %d of %d: CPU per echo: client %v, server %v, ratio %.2f; refused %d",
		total, rate, active, n, paced/time.Duration(total), theirs/time.Duration(total), float64(paced)/float64(theirs), refused.Load())
	if refused.Load() > 0 {
		t.Errorf("%d messages refused", refused.Load())
	}
	mine, all := after.cpu-start.cpu, server.cpu-serverStart.cpu
	t.Logf("CPU of all phases: client %v, server %v, ratio %.2f", mine, all, float64(mine)/float64(all))
}
