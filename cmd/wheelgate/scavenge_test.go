package main

import (
	"context"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
)

// fakeHeap is a heap whose collections win all that can be won, in no time or in took.
type fakeHeap struct {
	mu   sync.Mutex
	now  heapSample
	took time.Duration
	at   []time.Duration // of the collections, since the start
}

func (f *fakeHeap) set(change func(*heapSample)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.now)
}

func (f *fakeHeap) sample() heapSample {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// scavenging runs a scavenger over f in a bubble of fake time while do runs, and
// returns when its collections were.
func (f *fakeHeap) scavenging(t *testing.T, do func()) (at []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &scavenger{
			log: zerolog.Nop(), sample: f.sample,
			returns:  prometheus.NewCounter(prometheus.CounterOpts{Name: "returns"}),
			returned: prometheus.NewCounter(prometheus.CounterOpts{Name: "returned"}),
			collect: func() {
				f.at = append(f.at, time.Since(start).Truncate(time.Second))
				time.Sleep(f.took)
				f.set(func(h *heapSample) { h.gain = 0 })
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.run(ctx) })
		time.Sleep(time.Minute) // a start makes no garbage worth a collection
		do()
		cancel()
		running.Wait()
		if n := int(testutil.ToFloat64(s.returns)); n != len(f.at) {
			t.Errorf("%d collections are counted, %d were made", n, len(f.at))
		}
	})
	return f.at
}

const mebi = 1 << 20

// connect is a wave of n sessions a second for a time, which leaves garbage of 1 KiB each.
func (f *fakeHeap) connect(n int64, during time.Duration) {
	for range during / time.Second {
		f.set(func(h *heapSample) { h.changes += n; h.gain += n << 10 })
		time.Sleep(time.Second)
	}
}

func TestScavengeAfterWave(t *testing.T) {
	f := &fakeHeap{now: heapSample{live: 8 * mebi}}
	at := f.scavenging(t, func() {
		f.connect(1000, 15*time.Second)
		time.Sleep(10 * time.Minute)
	})
	if len(at) != 1 || at[0] < 75*time.Second || at[0] > 85*time.Second {
		t.Errorf("collections at %v: one is due in the 10 s after the wave, which ended at 1m15s", at)
	}
}

// Sessions that leave were in use at the last collection, so their memory does not show
// as a gain before the next.
func TestScavengeAfterLeaves(t *testing.T) {
	f := &fakeHeap{now: heapSample{live: 16 * mebi}}
	at := f.scavenging(t, func() {
		f.set(func(h *heapSample) { h.changes += 15_000 })
		time.Sleep(10 * time.Minute)
	})
	if len(at) != 1 || at[0] > 75*time.Second {
		t.Errorf("collections at %v: one is due in the 15 s after the leaves at 1m", at)
	}
}

func TestScavengeWithinSteadyChurn(t *testing.T) {
	f := &fakeHeap{now: heapSample{live: 8 * mebi}}
	at := f.scavenging(t, func() { f.connect(200, 10*time.Minute) })
	if len(at) < 10 || len(at) > 20 {
		t.Errorf("%d collections in 10 minutes of 200 sessions a second; want one in some 40 s", len(at))
	}
}

func TestScavengeOnlyForAGain(t *testing.T) {
	small := &fakeHeap{now: heapSample{live: 8 * mebi}}
	if at := small.scavenging(t, func() { small.connect(30, 10*time.Second); time.Sleep(time.Hour) }); len(at) > 0 {
		t.Errorf("collections at %v for 0.5 MiB", at)
	}
	large := &fakeHeap{now: heapSample{live: 1000 * mebi}}
	if at := large.scavenging(t, func() { large.connect(1000, 60*time.Second); time.Sleep(time.Hour) }); len(at) > 0 {
		t.Errorf("collections at %v for 59 MiB of 1000", at)
	}
}

// Garbage that no sessions made is collected too, but rarely.
func TestScavengeWithoutWave(t *testing.T) {
	f := &fakeHeap{now: heapSample{live: 8 * mebi}}
	at := f.scavenging(t, func() {
		for range 60 { // a scrape of the metrics every 15 s
			f.set(func(h *heapSample) { h.gain += mebi })
			time.Sleep(15 * time.Second)
		}
	})
	if len(at) < 10 || len(at) > 15 {
		t.Errorf("%d collections in 15 minutes of 4 MiB garbage a minute", len(at))
	}
}

// A collection that takes long is followed by a long pause.
func TestScavengePaysForItself(t *testing.T) {
	f := &fakeHeap{now: heapSample{live: 8 * mebi}, took: 2 * time.Second}
	at := f.scavenging(t, func() { f.connect(1000, time.Hour) })
	if len(at) < 5 {
		t.Fatalf("collections at %v", at)
	}
	if share := float64(len(at)) * f.took.Seconds() / time.Hour.Seconds(); share > scavengeShare {
		t.Errorf("collections take %.4f of the time; at most %v", share, scavengeShare)
	}
}

var garbageSink []byte

// The sample is taken from the runtime as it is: garbage is a gain, and a collection
// takes it away.
func TestScavengeReadsTheHeap(t *testing.T) {
	g, err := gateway.New(gateway.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	s := newScavenger(g, zerolog.Nop())
	s.collect()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the garbage has to last
	const garbage = 64 * mebi
	for range 64 {
		garbageSink = make([]byte, mebi)
	}
	garbageSink = nil
	before := s.sample()
	if before.gain < garbage/2 {
		t.Errorf("a gain of %d B with garbage of %d B", before.gain, garbage)
	}
	s.scavenge(before)
	if after := s.sample(); after.gain > garbage/2 {
		t.Errorf("a gain of %d B after the collection", after.gain)
	}
	if n := testutil.ToFloat64(s.returned); n < garbage/2 {
		t.Errorf("%v B are counted as returned of %d", n, garbage)
	}
}
