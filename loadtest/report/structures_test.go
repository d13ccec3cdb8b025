package report

import (
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// TestStructuresPerSocket: both ends of 1,000 connections are here, or one, and each
// socket takes 2,500 bytes; of few sockets, or where nothing is readable, nothing is said.
func TestStructuresPerSocket(t *testing.T) {
	const s = time.Second
	f := func(want float64, sockets int, slab int64) {
		t.Helper()
		look := func(at time.Duration, sockets int, slab int64) record.Line {
			return record.Line{Server: &record.Server{At: at, Target: record.WholeMachine, SocketMemory: 4096, Sockets: sockets, Slab: slab}}
		}
		sum := read(t, file(t, header(), look(0, 10, 1e6),
			record.Line{Mark: &record.Mark{At: s, Text: "holding"}}, look(s, sockets, slab-1000), look(2*s, sockets, slab+1000),
			record.Line{Mark: &record.Mark{At: 3 * s, Text: "leaving"}}, look(4*s, 20, 1e9),
			record.Line{Sample: &record.Sample{At: 4 * s, Open: 1000}},
			record.Line{End: &record.End{At: 4 * s}}))
		got := 0.0
		if sum.Server != nil {
			got = sum.Server.StructuresPerSocket
		}
		if got != want {
			t.Errorf("%d sockets and %d bytes: %v per socket, want %v", sockets, slab, got, want)
		}
	}
	f(2500, 2010, 1e6+2000*2500)
	f(2500, 1010, 1e6+1000*2500)
	f(0, 110, 1e6+100*2500)
	f(0, 0, 1e6+2000*2500)
	f(0, 2010, 0)
	f(0, 2010, 5e5) // it shrank for another reason
}
