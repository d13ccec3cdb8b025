// Package report turns the raw records of a load run into figures and plots. It
// reads no clock and no socket: the same file gives the same report.
package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Run is a whole record, its workers merged by second.
type Run struct {
	Header     record.Header
	Seconds    []Second        // without gaps, from the run's begin
	Broadcasts []Broadcast     // by ID
	Servers    []record.Server // without their own metrics
	Marks      []record.Mark
	// End is nil if the file was cut off.
	End *record.End
	// Histograms are those of the whole run, in nanoseconds.
	Histograms map[record.Measure]*hdrhistogram.Histogram

	open    map[int]map[int]opens // worker, second
	sampled map[int]time.Duration // worker: its latest sample
}

// Second is what all workers counted in one second of the run.
type Second struct {
	Open, Opening int // at its end
	// Peak is the most that were open at once in it: exact of one worker. Of several it
	// is the sum of each one's own, which need not have been at the same moment, and
	// so may be more where the number is not steady; never more than were asked for.
	Peak      int
	Counts    map[record.Count]int64
	Closes    map[int]int64
	Errors    map[string]int64
	Processes map[int]record.Process // by worker, at its end
	encoded   map[record.Measure][][]byte
}

// opens are a worker's connections in one second.
type opens struct{ open, opening, peak int }

// Histogram is a second's values of one measure over all workers, nil if it has none.
// It is decoded anew at each call: a whole run's would take hundreds of megabytes.
func (s *Second) Histogram(m record.Measure) *hdrhistogram.Histogram {
	into := map[record.Measure]*hdrhistogram.Histogram{}
	for _, encoded := range s.encoded[m] {
		_ = merge(into, m, encoded) // Read has checked it
	}
	return into[m]
}

// Broadcast is one message to all, as all workers together saw it.
type Broadcast struct {
	ID                 int
	At                 time.Duration // when it was due
	First, Last        time.Duration // receipts, since the run's begin
	Receipts, Expected int
}

// Spread is the time from the first receiver to the last.
func (b Broadcast) Spread() time.Duration { return b.Last - b.First }

// Read reads a record to its end. A file that was cut off, its last line perhaps
// in the middle, gives a Run without End; any other line that is wrong is an
// error that names its number.
func Read(r io.Reader) (*Run, error) {
	run := &Run{
		Histograms: map[record.Measure]*hdrhistogram.Histogram{},
		open:       map[int]map[int]opens{},
		sampled:    map[int]time.Duration{},
	}
	in := bufio.NewReaderSize(r, 1<<16)
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		last := err == io.EOF
		if err != nil && !last {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			var line record.Line
			if err := json.Unmarshal(text, &line); err != nil {
				if last && number > 1 {
					break // cut off in the middle of a line
				}
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			if err := run.add(&line, number == 1); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
		}
		if last {
			if number == 1 && len(text) == 0 {
				return nil, fmt.Errorf("line 1: the record is empty")
			}
			break
		}
	}
	run.finish()
	return run, nil
}

func (r *Run) add(l *record.Line, first bool) error {
	if first != (l.Header != nil) {
		return fmt.Errorf("a record has one header, in its first line")
	}
	if r.End != nil {
		return fmt.Errorf("a record ends with its end line")
	}
	switch {
	case l.Header != nil:
		if l.Header.Version != record.Version {
			return fmt.Errorf("record version %d: this tool reads %d", l.Header.Version, record.Version)
		}
		r.Header = *l.Header
	case l.Sample != nil:
		return r.sample(l.Sample)
	case l.Server != nil:
		l.Server.Metrics = nil // no figure is made of them, and a day of them is a gigabyte
		r.Servers = append(r.Servers, *l.Server)
	case l.Broadcast != nil:
		r.broadcast(l.Broadcast)
	case l.Mark != nil:
		r.Marks = append(r.Marks, *l.Mark)
	case l.End != nil:
		r.End = l.End
	default:
		return fmt.Errorf("none of header, sample, server, broadcast, mark and end")
	}
	return nil
}

// longest is a run's: a time beyond it is a damaged file, not a reason for memory.
const longest = 30 * 24 * time.Hour

func second(at time.Duration) int { return max(0, int((at-1)/time.Second)) }

// secondOf is the second that a sample counts for: that of its middle, as it is
// taken a little after the second that it counts has ended.
func (r *Run) secondOf(s *record.Sample) int {
	covers := min(max(0, s.At-r.sampled[s.Worker]), time.Second)
	r.sampled[s.Worker] = s.At
	return int((s.At - covers/2) / time.Second)
}

func (r *Run) sample(s *record.Sample) error {
	if s.At < 0 || s.At > longest {
		return fmt.Errorf("sample at %v: allowed are 0s to %v", s.At, longest)
	}
	n := r.secondOf(s)
	for len(r.Seconds) <= n {
		r.Seconds = append(r.Seconds, Second{
			Counts: map[record.Count]int64{}, Closes: map[int]int64{}, Errors: map[string]int64{},
			Processes: map[int]record.Process{}, encoded: map[record.Measure][][]byte{},
		})
	}
	into := &r.Seconds[n]
	sum(into.Counts, s.Counts)
	sum(into.Closes, s.Closes)
	sum(into.Errors, s.Errors)
	for m, encoded := range s.Histograms {
		if err := merge(r.Histograms, m, encoded); err != nil {
			return fmt.Errorf("histogram %q: %w", m, err)
		}
		into.encoded[m] = append(into.encoded[m], encoded)
	}
	if r.open[s.Worker] == nil {
		r.open[s.Worker] = map[int]opens{}
	}
	r.open[s.Worker][n] = opens{s.Open, s.Opening, max(s.Open, s.Peak, r.open[s.Worker][n].peak)}
	into.Processes[s.Worker] = s.Process
	return nil
}

func sum[K comparable](into, from map[K]int64) {
	for k, v := range from {
		into[k] += v
	}
}

// merge adds an encoded histogram; it is an error if any value would be lost.
func merge(into map[record.Measure]*hdrhistogram.Histogram, m record.Measure, encoded []byte) error {
	h, err := hdrhistogram.Decode(encoded)
	if err != nil {
		return err
	}
	if into[m] == nil {
		into[m] = h
		return nil
	}
	if dropped := into[m].Merge(h); dropped > 0 {
		return fmt.Errorf("%d values are out of the range of the ones before", dropped)
	}
	return nil
}

func (r *Run) broadcast(b *record.Broadcast) {
	i, found := slices.BinarySearchFunc(r.Broadcasts, b.ID, func(b Broadcast, id int) int { return cmp.Compare(b.ID, id) })
	if !found {
		r.Broadcasts = slices.Insert(r.Broadcasts, i, Broadcast{ID: b.ID, At: b.At})
	}
	all := &r.Broadcasts[i]
	if b.Receipts > 0 {
		// In older records they are the first and the last that were read, in an order
		// that arrival does not have; either may be the later one.
		first, last := b.At+min(b.First, b.Last), b.At+max(b.First, b.Last)
		if all.Receipts == 0 {
			all.First, all.Last = first, last
		}
		all.First, all.Last = min(all.First, first), max(all.Last, last)
	}
	all.Receipts += b.Receipts
	all.Expected += b.Expected
}

// finish sums what is open. A worker whose sample came a little late for its second
// has what it had before.
func (r *Run) finish() {
	for _, seconds := range r.open {
		at := slices.Sorted(maps.Keys(seconds))
		var open opens
		for n := at[0]; n <= at[len(at)-1]; n++ {
			if now, ok := seconds[n]; ok {
				open = now
			} else {
				open.peak = open.open
			}
			r.Seconds[n].Open += open.open
			r.Seconds[n].Opening += open.opening
			r.Seconds[n].Peak += open.peak
		}
	}
	slices.SortStableFunc(r.Marks, func(a, b record.Mark) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(r.Servers, func(a, b record.Server) int { return cmp.Compare(a.At, b.At) })
	r.open, r.sampled = nil, nil
}
