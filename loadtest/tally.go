package loadtest

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// counter is a record.Count as an index.
type counter int

const (
	dialed counter = iota
	opened
	failed
	closed
	left
	sent
	received
	sentBytes
	receivedBytes
	due
	late
	dropped
	unanswered
	early
	expected
	unexpired
	vanished
	paused
	kept
	abandoned
	cutOff
	counters
)

var counterNames = [counters]record.Count{
	record.Dialed, record.Opened, record.Failed, record.Closed, record.Left, record.Sent, record.Received,
	record.SentBytes, record.ReceivedBytes, record.Due, record.Late, record.Dropped, record.Unanswered,
	record.Early, record.Expected, record.Unexpired, record.Vanished, record.Paused, record.Kept,
	record.Abandoned, record.CutOff,
}

// measure is a record.Measure as an index.
type measure int

const (
	connect measure = iota
	handshake
	echo
	deliver
	expiry
	reconnect
	lag
	measures
)

var measureNames = [measures]record.Measure{
	record.Connect, record.Handshake, record.Echo, record.Deliver, record.Expiry, record.Reconnect, record.Lag,
}

// The range of histograms, in nanoseconds, and their precision: 0.1 %.
const (
	least  = int64(time.Microsecond)
	most   = int64(time.Hour)
	digits = 3
)

// tally is what was counted since the last sample. It belongs to one goroutine at
// a time. A histogram is there once its measure has been seen.
type tally struct {
	counts     [counters]int64
	histograms [measures]*hdrhistogram.Histogram
	closes     map[int]int64
	errors     map[string]int64
}

func newTally() *tally {
	return &tally{closes: map[int]int64{}, errors: map[string]int64{}}
}

// record adds one value; what is out of range counts as the range's end.
func (t *tally) record(m measure, d time.Duration) {
	h := t.histograms[m]
	if h == nil {
		h = hdrhistogram.New(least, most, digits)
		t.histograms[m] = h
	}
	_ = h.RecordValue(min(max(int64(d), 0), most)) // in range: no error
}

// add adds other to t.
func (t *tally) add(other *tally) {
	for i, n := range other.counts {
		t.counts[i] += n
	}
	for m, h := range other.histograms {
		if h == nil || h.TotalCount() == 0 {
			continue
		}
		if t.histograms[m] == nil {
			t.histograms[m] = hdrhistogram.New(least, most, digits)
		}
		t.histograms[m].Merge(h)
	}
	for code, n := range other.closes {
		t.closes[code] += n
	}
	for kind, n := range other.errors {
		t.errors[kind] += n
	}
}

func (t *tally) reset() {
	clear(t.counts[:])
	for _, h := range t.histograms {
		if h != nil {
			h.Reset()
		}
	}
	clear(t.closes)
	clear(t.errors)
}

// sample writes what there is into s.
func (t *tally) sample(s *record.Sample) error {
	s.Counts = map[record.Count]int64{}
	for i, n := range t.counts {
		if n != 0 {
			s.Counts[counterNames[i]] = n
		}
	}
	s.Closes, s.Errors = t.closes, t.errors
	s.Histograms = map[record.Measure][]byte{}
	for m, h := range t.histograms {
		if h == nil || h.TotalCount() == 0 {
			continue
		}
		encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			return err
		}
		s.Histograms[measureNames[m]] = encoded
	}
	return nil
}
