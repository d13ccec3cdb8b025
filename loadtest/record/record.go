// Package record is what a load run leaves behind: one JSON object per line,
// raw, in the order things happened. Reports are computed from it, never kept
// in it, so that an old run can be read in a new way.
//
// A file begins with one Header, has any number of Samples, Broadcasts and
// Marks of all workers, and ends with one End; a file without End was cut off.
package record

import (
	"time"

	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// Version is the format's; it changes when an old reader would misread a new file.
const Version = 1

// Line is one line of a file: exactly one of its fields is set.
type Line struct {
	Header    *Header    `json:"header,omitempty"`
	Sample    *Sample    `json:"sample,omitempty"`
	Server    *Server    `json:"server,omitempty"`
	Broadcast *Broadcast `json:"broadcast,omitempty"`
	Mark      *Mark      `json:"mark,omitempty"`
	End       *End       `json:"end,omitempty"`
}

// Header says what was run, where and on what.
type Header struct {
	Version  int               `json:"version"`
	Started  time.Time         `json:"started"` // the zero of every At
	Command  []string          `json:"command"`
	Tool     string            `json:"tool"` // version and commit of the tool
	Scenario scenario.Scenario `json:"scenario"`
	Targets  []string          `json:"targets"` // URLs, without what their queries say
	Workers  int               `json:"workers"`
	Machine  Machine           `json:"machine"`
	// Expiry is the timeout that accuracy is measured against; 0: not measured.
	Expiry time.Duration `json:"expiry,omitempty"`
	// Tick is the server's expiry tick, if known: lateness is also told in ticks.
	Tick time.Duration `json:"tick,omitempty"`
}

// Machine is where the tool ran.
type Machine struct {
	OS          string `json:"os"` // with the kernel's version
	CPU         string `json:"cpu"`
	CPUs        int    `json:"cpus"`
	Memory      int64  `json:"memory"`      // bytes
	Descriptors uint64 `json:"descriptors"` // RLIMIT_NOFILE per process
	GoVersion   string `json:"go"`
}

// Sample is one worker's last second (the last one may be shorter).
type Sample struct {
	At     time.Duration `json:"at"`     // its end, since Header.Started
	Worker int           `json:"worker"` // or Coordinator
	Open   int           `json:"open"`   // connections at its end
	// Peak is the most that were open at one moment of it; absent in older files.
	Peak    int `json:"peak,omitempty"`
	Opening int `json:"opening"` // handshakes under way at its end
	// Counts are of this second only; see the Count constants.
	Counts map[Count]int64 `json:"counts,omitempty"`
	// Closes are sessions the server ended, by close code; 1006 is "no close frame".
	Closes map[int]int64 `json:"closes,omitempty"`
	// Errors are what went wrong, by kind ("refused 503", "reset", "timeout", ...).
	Errors map[string]int64 `json:"errors,omitempty"`
	// Histograms hold this second's values in nanoseconds, in HdrHistogram's
	// compressed V2 encoding (hdrhistogram-go Encode), by measure.
	Histograms map[Measure][]byte `json:"histograms,omitempty"`
	// Process is the worker itself.
	Process Process `json:"process"`
}

// Coordinator is Sample.Worker of the process that leads the workers: it has no
// connections, triggers broadcasts by HTTP, and counts those that were due, late,
// dropped and refused, with their lag.
const Coordinator = -1

// WholeMachine is Server.Target where the kernel's memory for sockets is told.
const WholeMachine = -1

// Count names something counted.
type Count string

// The counts.
const (
	Dialed        Count = "dialed"
	Opened        Count = "opened"
	Failed        Count = "failed"   // handshakes that did not succeed
	Closed        Count = "closed"   // ended by the server or the network
	Left          Count = "left"     // ended by the tool on purpose
	Sent          Count = "sent"     // messages
	Received      Count = "received" // messages
	SentBytes     Count = "sent_bytes"
	ReceivedBytes Count = "received_bytes"
	Due           Count = "due"        // work the schedule asked for
	Late          Count = "late"       // begun more than 1 ms after it was due
	Dropped       Count = "dropped"    // never begun: nobody was there to do it
	Unanswered    Count = "unanswered" // echoes that did not come, though the connection waited for them
	// Abandoned echoes were under way on connections that the scenario cut (storm,
	// half-open): nobody knows whether they would have come.
	Abandoned Count = "abandoned"
	// CutOff is what the run's end left undecided: handshakes under way, and reconnects
	// after a storm that were due later. All that is due is opened, failed, dropped or cut
	// off, or a message.
	CutOff   Count = "cut_off"
	Early    Count = "early"    // sessions that expired before they were due
	Expected Count = "expected" // deliveries a broadcast should have made
	// Unexpired sessions were open long after they should have expired: half the
	// timeout, or 10 s if that is more.
	Unexpired Count = "unexpired"
	// Vanished and Paused are the connections a scenario made half-open or slow.
	Vanished Count = "vanished"
	Paused   Count = "paused"
	// Kept are the connections open when the run's time was over.
	Kept Count = "kept"
)

// Measure names what a histogram holds, in nanoseconds.
type Measure string

// The measures. All that have a due time run from it, not from when the tool
// got round to it.
const (
	Connect   Measure = "connect"   // due until the TCP connection stands
	Handshake Measure = "handshake" // TCP connection until the 101
	Echo      Measure = "echo"      // due until the answer
	Deliver   Measure = "deliver"   // broadcast due until one receiver has it
	Expiry    Measure = "expiry"    // closed minus due; early ones are counted, not here
	Reconnect Measure = "reconnect" // lost until open again
	Lag       Measure = "lag"       // begun minus due, of the tool's own work
)

// Process is one process at one moment; a value that could not be read is -1.
type Process struct {
	PID        int           `json:"pid"`
	CPU        time.Duration `json:"cpu"` // since the process began
	RSS        int64         `json:"rss"` // bytes
	FDs        int           `json:"fds"`
	Goroutines int           `json:"goroutines"`
	// Delay is how long runnable threads waited for a CPU since the process
	// began (/proc/PID/schedstat, all threads).
	Delay time.Duration `json:"delay"`
}

// Server is the server under test at one moment.
type Server struct {
	At      time.Duration `json:"at"`
	Target  int           `json:"target"`            // index into Header.Targets, or WholeMachine
	Process *Process      `json:"process,omitempty"` // nil: not on this machine, or unknown
	// Metrics are its own, as scraped: name with labels to value.
	Metrics map[string]float64 `json:"metrics,omitempty"`
	// SocketMemory is the kernel's for TCP, of this network namespace, in bytes; 0: not readable.
	SocketMemory int64 `json:"socket_memory,omitempty"`
	// Slab is the kernel's memory for small objects, of the whole machine, in bytes: its
	// structures for sockets are there, and much else. 0: not readable.
	Slab int64 `json:"slab,omitempty"`
	// Sockets are the TCP sockets in use in this network namespace: each end of a
	// connection that is here is one.
	Sockets int `json:"sockets,omitempty"`
}

// Broadcast is one message to all, seen by one worker.
type Broadcast struct {
	At       time.Duration `json:"at"` // when it was due
	Worker   int           `json:"worker"`
	ID       int           `json:"id"`    // the same for all workers
	First    time.Duration `json:"first"` // of the worker's receivers, after At
	Last     time.Duration `json:"last"`
	Receipts int           `json:"receipts"`
	Expected int           `json:"expected"` // sessions open when it was due, but for those the tool ended before they got it
}

// Mark is the begin of a phase, or something worth a line in the plots.
type Mark struct {
	At   time.Duration `json:"at"`
	Text string        `json:"text"`
}

// End closes a file.
type End struct {
	At time.Duration `json:"at"`
	// Arrived is when the last handshake of the crowd's arrival had ended, well or not;
	// 0: some had not, or the file is older.
	Arrived time.Duration `json:"arrived,omitempty"`
	// Interrupted: the run was ended before its plan was.
	Interrupted bool `json:"interrupted,omitempty"`
	// Error is why the run failed, "" if it did not.
	Error string `json:"error,omitempty"`
	// Lost: no connection was left, in a scenario that did not ask for it. It says
	// what became of them; "" if that is not so.
	Lost string `json:"lost,omitempty"`
	// Saturated are the reasons why the tool, not the server, may have been
	// the bottleneck; a run with any is invalid.
	Saturated []string `json:"saturated,omitempty"`
}
