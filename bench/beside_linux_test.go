//go:build linux && !race

package bench_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
)

var (
	// beside is measured in the same run as this tree's, for figures before and after.
	beside = flag.String("beside", "", "path of another wheelgate binary that TestFairness and TestResident measure too")
	// resident takes two minutes for each binary.
	resident = flag.Int("resident", 0, "how many idle sessions TestResident opens; 0 skips it")
)

// contender is one binary that is measured.
type contender struct {
	name string
	*program
}

// contenders starts this tree's program, and the one that -beside names, first.
func contenders(t *testing.T, args ...string) (all []contender) {
	t.Helper()
	if *beside != "" {
		all = append(all, contender{*beside, launch(t, exec.Command(*beside, args...), func([]byte) {})})
	}
	return append(all, contender{"this tree", run(t, args...)})
}

// TestFairness is how long the echo of one client takes while 200 flood: with little
// that becomes much, and with the least frames there are. It is for the figures that it
// prints, by turns where two binaries are compared; a client that is not served fails it.
func TestFairness(t *testing.T) {
	for _, transport := range []string{"loop", "goroutine"} {
		t.Run(transport, func(t *testing.T) { fairness(t, "--transport="+transport) })
	}
}

func fairness(t *testing.T, transport string) {
	const turns, turn = 2, 2 * time.Second
	bombs := frame(rand.New(rand.NewPCG(1, 1)), binaries|deflated, deflate(strings.Repeat("0", 60<<10)))
	for _, flood := range []struct {
		name  string
		write []byte
	}{
		{fmt.Sprintf("bombs of %d bytes", len(bombs)), bombs},
		{"empty frames", []byte(strings.Repeat("\x82\x80\x00\x00\x00\x00", 32<<10/6))},
	} {
		all := contenders(t, "--echo", "--compression", transport, "--ping-interval=0s")
		took := make([][]time.Duration, len(all))
		for range turns {
			for i, c := range all {
				took[i] = append(took[i], echoesBeside(t, c.program, flood.write, turn)...)
			}
		}
		for i, c := range all {
			slices.Sort(took[i])
			n := len(took[i])
			t.Logf("%s: an echo beside 200 that flood with %s: p50 %v, p99 %v, of %d",
				c.name, flood.name, took[i][n/2].Round(time.Microsecond), took[i][n*99/100].Round(time.Microsecond), n)
		}
	}
}

// echoesBeside has 200 clients write flood to p over and over for d, and returns how long the echoes
// of another took meanwhile.
func echoesBeside(t *testing.T, p *program, flood []byte, d time.Duration) (took []time.Duration) {
	t.Helper()
	const floods = 200
	ctx, cancel := context.WithCancel(t.Context())
	s := &tempest{T: t, program: p, ctx: ctx}
	enter := func(seed uint64, extra ...string) *guest {
		g, err := s.dial(ctx, rand.New(rand.NewPCG(1, seed)), "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		context.AfterFunc(ctx, g.reset) // or the program would go through all that waits
		if status, err := g.shake("", extra...); err != nil || status != 101 {
			t.Fatalf("%d, %v", status, err)
		}
		return g
	}
	honest := enter(floods)
	var flooding sync.WaitGroup
	defer func() {
		cancel()
		flooding.Wait()
		await(t, "end of all sessions", func() bool { return p.stats(t).Sessions == 0 })
	}()
	for i := range floods {
		g := enter(uint64(i), offer)
		flooding.Go(func() {
			for {
				if _, err := g.Write(flood); err != nil {
					return
				}
			}
		})
	}
	message := frame(honest.rng, text, strings.Repeat("e", 128))
	for end := time.Now().Add(d); time.Now().Before(end) || len(took) < 5; {
		_ = honest.SetDeadline(time.Now().Add(time.Minute))
		asked := time.Now()
		if _, err := honest.Write(message); err != nil {
			t.Fatal(err)
		}
		if first, _, err := honest.read(); err != nil || first != text {
			t.Fatalf("no echo, but %#x, %v", first, err)
		}
		took = append(took, time.Since(asked))
	}
	return took
}

// TestResident is the memory of idle sessions as a dashboard shows it: VmRSS a minute
// after the last of them connected, less what it was before the first, with nothing
// forced from outside.
func TestResident(t *testing.T) {
	if *resident == 0 {
		t.Skip("takes two minutes for each binary: -resident 15000")
	}
	const most = 600 // bytes for a session
	args := []string{"--max-sessions=" + strconv.Itoa(*resident)}
	if *beside != "" {
		residentOf(t, contender{*beside, launch(t, exec.Command(*beside, args...), func([]byte) {})}, *resident)
	}
	if grown := residentOf(t, contender{"this tree", run(t, args...)}, *resident); grown > most {
		t.Errorf("a session takes %d bytes; at most %d", grown, most)
	}
}

// residentOf opens n sessions within half a minute, evenly, and returns the growth for each of them.
func residentOf(t *testing.T, c contender, n int) int {
	t.Helper()
	defer func() { _ = c.Process.Kill(); <-c.ended }()
	target, err := client.NewTarget("ws://"+c.addr+"/ws", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &clients{conns: make([][]*client.Conn, 1)}
	crowd, err := client.New(client.Config{Sources: client.LoopbackSources(4), Loops: 1}, h)
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	before := vmRSS(t, c.Process.Pid)
	dialEvenly(crowd.Loops()[0], target, n, 30*time.Second/time.Duration(n))
	h.await(t, "opening", func() bool { return h.opened.Load() == int64(n) })
	opened := time.Now()
	grown := 0
	for _, after := range []time.Duration{0, 15 * time.Second, 30 * time.Second, 45 * time.Second, time.Minute} {
		pause(t.Context(), time.Until(opened.Add(after)))
		grown = (vmRSS(t, c.Process.Pid) - before) / n
		t.Logf("%s: %d bytes for each of %d idle sessions, %v after the last connected", c.name, grown, n, after)
	}
	if closed := h.closed.Load() + h.failed.Load(); closed > 0 {
		t.Errorf("%d are not open any more", closed)
	}
	return grown
}

// dialEvenly dials n connections from l, one every interval.
func dialEvenly(l *client.Loop, target *client.Target, n int, interval time.Duration) {
	due := time.Now()
	var more func(time.Time)
	more = func(now time.Time) {
		for ; n > 0 && !due.After(now); due = due.Add(interval) {
			l.Dial(target, n)
			n--
		}
		if n > 0 {
			l.At(due, more)
		}
	}
	l.Post(func() { more(time.Now()) })
}

// vmRSS is a process's resident memory in bytes.
func vmRSS(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
