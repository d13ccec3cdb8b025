package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
)

const (
	scavengeInterval = 5 * time.Second
	// scavengeSpacing is the least time between two collections, and scavengeShare
	// the most of the time that they may take in all.
	scavengeSpacing = 2 * scavengeInterval
	scavengeShare   = 1. / 200
	// quietSpacing is scavengeSpacing where no wave of sessions made the garbage.
	quietSpacing = time.Minute
	// leastWave is the least number of sessions that came or went to be a wave.
	leastWave = 256
	// leastGain and leastQuietGain are the least memory that is worth a collection, in bytes.
	leastGain, leastQuietGain = 1 << 20, 4 << 20
	// sessionBytes is what a session that left has given back to the heap, in bytes.
	sessionBytes = 340
)

// scavenger returns memory to the system when a wave of connects or leaves is over.
// Handshakes leave garbage, and the runtime keeps as much heap again as is in use:
// twice the memory of the sessions themselves. On an idle gateway nothing would
// collect the garbage for hours, because idle sessions allocate nothing.
type scavenger struct {
	// Static after newScavenger.
	log      zerolog.Logger
	sample   func() heapSample
	collect  func()
	returns  prometheus.Counter
	returned prometheus.Counter

	// Owned by run.
	seen  int64         // changes at the last look
	wave  int64         // changes since the last collection
	last  time.Time     // end of the last collection
	pause time.Duration // before the next, by what the last one took
}

// heapSample is what a collection is judged by.
type heapSample struct {
	changes int64 // sessions opened and sessions closed, in all
	live    int64 // bytes that the last collection found in use
	gain    int64 // bytes allocated since or free, and not returned to the system: the most to win
}

func newScavenger(g *gateway.Gateway, log zerolog.Logger) *scavenger {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "wheelgate", Name: name, Help: help})
		g.Registry().MustRegister(c)
		return c
	}
	return &scavenger{
		log:      log,
		sample:   func() heapSample { return readHeap(g.Stats()) },
		collect:  debug.FreeOSMemory,
		returns:  counter("memory_returns_total", "Collections made to return free memory to the system, as a rule after a wave of sessions."),
		returned: counter("memory_returned_bytes_total", "Memory returned to the system by the collections of memory_returns_total, in bytes."),
	}
}

// readHeap takes the sample of this moment.
func readHeap(st gateway.Stats) heapSample {
	read := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(read)
	live, objects, free := int64(read[0].Value.Uint64()), int64(read[1].Value.Uint64()), int64(read[2].Value.Uint64())
	return heapSample{changes: 2*st.Opened - int64(st.Sessions), live: live, gain: max(0, objects-live) + free}
}

// run looks at the heap every scavengeInterval until ctx ends.
func (s *scavenger) run(ctx context.Context) {
	ticker := time.NewTicker(scavengeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if before := s.sample(); s.due(time.Now(), before) {
			s.scavenge(before)
		}
	}
}

// due reports whether a collection is worth its cost now. A wave is over when less than
// an eighth of it came in the last interval, so that sessions which come and go for
// ever at one pace are a wave that ends every eight intervals.
func (s *scavenger) due(now time.Time, h heapSample) bool {
	changes := h.changes - s.seen
	s.seen = h.changes
	s.wave += changes
	since := now.Sub(s.last)
	switch {
	case since < s.pause:
		return false
	case s.wave < leastWave:
		return since >= quietSpacing && h.gain >= max(leastQuietGain, h.live/2)
	}
	// A session that left was in use when the heap was collected last.
	gain := h.gain + s.wave*sessionBytes
	return changes <= s.wave/8 && since >= scavengeSpacing && gain >= max(leastGain, h.live/8)
}

// scavenge collects the garbage and returns what is free. It blocks for as long as the
// runtime marks the heap, which goes on beside everything else.
func (s *scavenger) scavenge(before heapSample) {
	start := time.Now()
	s.collect()
	s.last = time.Now()
	took := s.last.Sub(start)
	s.pause = time.Duration(float64(took) / scavengeShare)
	after := s.sample()
	gained := max(0, before.live+before.gain-after.live-after.gain)
	s.returns.Inc()
	s.returned.Add(float64(gained))
	s.log.Debug().Int64("sessions_changed", s.wave).Int64("bytes", gained).Float64("took_seconds", took.Seconds()).
		Msg("Returned free memory to the system")
	s.wave = 0
}
