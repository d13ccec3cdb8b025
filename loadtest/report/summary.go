package report

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Summary is a run in figures. The names are stable and end in their unit: ms are
// milliseconds, per_s is per second. What a run has no figure for is absent.
type Summary struct {
	Scenario string         `json:"scenario"`
	Started  time.Time      `json:"started"`
	Tool     string         `json:"tool"`
	Machine  record.Machine `json:"machine"`
	Targets  []string       `json:"targets"`
	Workers  int            `json:"workers"`
	Seconds  float64        `json:"duration_s"`
	// Valid: the run ended as planned and the tool was not the bottleneck.
	Valid   bool     `json:"valid"`
	Reasons []string `json:"invalid_because,omitempty"`
	CutOff  bool     `json:"cut_off,omitempty"`

	// PeakOpen is the most connections open at once: see Second.Peak, which is exact of
	// one worker.
	PeakOpen int `json:"peak_open"`
	// Counts are the whole run's; see record.Count.
	Counts map[record.Count]int64 `json:"counts"`
	// Latencies are by measure: see record.Measure, and "spread", one value per broadcast.
	Latencies   map[string]Latency `json:"latencies"`
	ConnectRate float64            `json:"connects_per_s"`           // opened while connecting
	SentRate    float64            `json:"sent_per_s,omitempty"`     // while held
	Received    float64            `json:"received_per_s,omitempty"` // while held
	Closes      map[int]int64      `json:"closes_by_code,omitempty"`
	Errors      map[string]int64   `json:"errors_by_kind,omitempty"`
	ErrorCount  int64              `json:"errors"`

	Broadcasts *Broadcasts `json:"broadcasts,omitempty"`
	Expiry     *Expiry     `json:"expiry,omitempty"`
	Drain      *Drain      `json:"drain,omitempty"`
	Server     *Server     `json:"server,omitempty"`
	Itself     *Itself     `json:"tool_itself,omitempty"`
}

// Latency is a distribution, exact to 0.1 %.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
}

// Broadcasts sums the broadcasts of all workers.
type Broadcasts struct {
	Count      int   `json:"count"`
	Deliveries int64 `json:"deliveries"`
	Missing    int64 `json:"missing"` // deliveries expected and not made
}

// Expiry is how exactly the server ends silent sessions; how late is in Latencies.
type Expiry struct {
	Count     int64   `json:"count"`
	Early     int64   `json:"early"`             // each is a failure
	Unexpired int64   `json:"unexpired"`         // never ended
	TickMS    float64 `json:"tick_ms,omitempty"` // the server's; absent: unknown
	P50Ticks  float64 `json:"lateness_p50_ticks,omitempty"`
	P99Ticks  float64 `json:"lateness_p99_ticks,omitempty"`
	MaxTicks  float64 `json:"lateness_max_ticks,omitempty"`
}

// Drain is how evenly the server lets go, from the first close to the last, whenever that
// was; what broke before the drain began is not of it. Where one of the two is not known
// to the moment, as some are kept or the record is cut off, it is over whole seconds.
type Drain struct {
	Closes  int64   `json:"closes"`
	Kept    int64   `json:"kept,omitempty"` // open when the run's time was over
	Seconds float64 `json:"duration_s"`
	Max     int64   `json:"max_per_s"`
	Mean    float64 `json:"mean_per_s"`    // over a second at least
	Ratio   float64 `json:"max_over_mean"` // 1 is perfectly even
}

// Summarize computes the figures of a run.
func Summarize(r *Run) Summary {
	s := Summary{
		Scenario: r.Header.Scenario.Name, Started: r.Header.Started, Tool: r.Header.Tool,
		Machine: r.Header.Machine, Targets: r.Header.Targets, Workers: r.Header.Workers,
		Counts: map[record.Count]int64{}, Latencies: map[string]Latency{},
		Closes: map[int]int64{}, Errors: map[string]int64{},
	}
	s.verdict(r)
	for n := range r.Seconds {
		second := &r.Seconds[n]
		sum(s.Counts, second.Counts)
		sum(s.Closes, second.Closes)
		sum(s.Errors, second.Errors)
		s.PeakOpen = max(s.PeakOpen, second.Peak)
	}
	s.ConnectRate = r.connectRate()
	for _, n := range s.Errors {
		s.ErrorCount += n
	}
	for m, h := range r.Histograms {
		if h.TotalCount() > 0 {
			s.Latencies[string(m)] = latency(h)
		}
	}
	s.SentRate, s.Received = r.heldRate(record.Sent), r.heldRate(record.Received)
	s.broadcasts(r)
	s.expiry(r)
	s.Drain = r.drain(s.Counts[record.Kept])
	s.Server = r.server(s.PeakOpen)
	s.Itself = r.itself(s.PeakOpen)
	return s
}

func (s *Summary) verdict(r *Run) {
	if r.End == nil {
		s.CutOff = true
		s.Reasons = append(s.Reasons, "the record was cut off")
		s.Seconds = float64(len(r.Seconds))
	} else {
		s.Seconds = r.End.At.Seconds()
		s.Reasons = append(s.Reasons, r.End.Saturated...)
		if r.End.Interrupted {
			s.Reasons = append(s.Reasons, "the run was interrupted")
		}
		if r.End.Lost != "" {
			s.Reasons = append(s.Reasons, r.End.Lost)
		}
		if r.End.Error != "" {
			s.Reasons = append(s.Reasons, "the run failed: "+r.End.Error)
		}
	}
	s.Valid = len(s.Reasons) == 0
}

func ms(ns int64) float64 { return float64(ns) / float64(time.Millisecond) }

func latency(h *hdrhistogram.Histogram) Latency {
	q := func(p float64) float64 { return ms(h.ValueAtPercentile(p)) }
	return Latency{h.TotalCount(), q(50), q(90), q(99), q(99.9), ms(h.Max())}
}

// held is the whole seconds between the marks "holding" and the next, or all if there is
// none.
func (r *Run) held() (from, to int) {
	if from, to, ok := r.hold(); ok {
		return from, to
	}
	return 0, len(r.Seconds)
}

// hold is held, or not ok if the hold had no whole second.
func (r *Run) hold() (from, to int, ok bool) {
	begin, end := r.span()
	from, to = upward(begin), min(len(r.Seconds), int(end/time.Second))
	return from, to, from < to
}

// span is from the mark "holding" to the next or the run's end; 0, 0 if there is none.
func (r *Run) span() (begin, end time.Duration) {
	for i, m := range r.Marks {
		if m.Text != "holding" {
			continue
		}
		switch {
		case i+1 < len(r.Marks):
			return m.At, r.Marks[i+1].At
		case r.End != nil:
			return m.At, r.End.At
		}
		return m.At, time.Duration(len(r.Seconds)) * time.Second
	}
	return 0, 0
}

// upward is a time in seconds, of which one that has begun is whole.
func upward(t time.Duration) int { return int((t + time.Second - 1) / time.Second) }

// heldRate is a count per second while held: of the hold's whole seconds or, if it has
// none, of all that it touched, for as long as it was.
func (r *Run) heldRate(c record.Count) float64 {
	if from, to, ok := r.hold(); ok {
		return r.rate(c, from, to)
	}
	begin, end := r.span()
	if end <= begin {
		return r.rate(c, 0, len(r.Seconds))
	}
	to := min(len(r.Seconds), upward(end))
	from := min(to, int(begin/time.Second))
	return r.rate(c, from, to) * float64(to-from) / (end - begin).Seconds()
}

// connectRate is how fast the crowd came, those left out who came back later: until all
// had arrived or, if that is not known, in the seconds from the first with one to the last.
func (r *Run) connectRate() float64 {
	until := len(r.Seconds)
	for _, m := range r.Marks {
		if m.Text == "holding" {
			until = min(until, second(m.At)+1)
		}
	}
	var opened int64
	first, last := -1, -1
	for n := range until {
		if came := r.Seconds[n].Counts[record.Opened]; came > 0 {
			if opened += came; first < 0 {
				first = n
			}
			last = n
		}
	}
	if r.End != nil && r.End.Arrived > 0 {
		return float64(min(opened, int64(r.Header.Scenario.Connections))) / r.End.Arrived.Seconds()
	}
	return float64(opened) / float64(last-first+1)
}

func (r *Run) rate(c record.Count, from, to int) float64 {
	var n int64
	for i := from; i < to; i++ {
		n += r.Seconds[i].Counts[c]
	}
	return float64(n) / float64(max(1, to-from))
}

func (s *Summary) broadcasts(r *Run) {
	if len(r.Broadcasts) == 0 {
		return
	}
	s.Broadcasts = &Broadcasts{Count: len(r.Broadcasts)}
	for _, b := range r.Broadcasts {
		s.Broadcasts.Deliveries += int64(b.Receipts)
		s.Broadcasts.Missing += int64(max(0, b.Expected-b.Receipts))
	}
	if h := r.spread(); h.TotalCount() > 0 {
		s.Latencies[spread] = latency(h)
	}
}

// spread has one value for each broadcast that anybody got.
func (r *Run) spread() *hdrhistogram.Histogram {
	h := hdrhistogram.New(int64(time.Microsecond), int64(time.Hour), 3)
	for _, b := range r.Broadcasts {
		if b.Receipts > 0 {
			_ = h.RecordValue(min(int64(b.Spread()), int64(time.Hour)))
		}
	}
	return h
}

func (s *Summary) expiry(r *Run) {
	if r.Header.Expiry == 0 {
		return
	}
	late := s.Latencies[string(record.Expiry)]
	e := &Expiry{Count: late.Count, Early: s.Counts[record.Early], Unexpired: s.Counts[record.Unexpired]}
	if e.TickMS = ms(int64(r.Header.Tick)); e.TickMS > 0 && late.Count > 0 {
		e.P50Ticks, e.P99Ticks, e.MaxTicks = late.P50/e.TickMS, late.P99/e.TickMS, late.Max/e.TickMS
	}
	s.Expiry = e
}

func (r *Run) drain(kept int64) *Drain {
	if r.Header.Scenario.Drain == nil {
		return nil
	}
	from, begun := 0, time.Duration(0)
	for _, m := range r.Marks {
		if m.Text == "draining" {
			// A sample is taken a little after its second, so what closed right
			// after the turn of the second counts for the one before.
			from, begun = max(0, int(m.At/time.Second)-1), m.At
		}
	}
	d, first, last := &Drain{Kept: kept}, -1, -1
	for n := from; n < len(r.Seconds); n++ {
		closed := r.Seconds[n].Counts[record.Closed]
		if closed == 0 {
			continue
		}
		if first < 0 {
			first = n
		}
		last = n
		d.Closes += closed
		d.Max = max(d.Max, closed)
	}
	if first < 0 {
		return d
	}
	d.Seconds = float64(last - first + 1)
	if begun > 0 && kept == 0 && r.End != nil { // the last close ends the run
		d.Seconds = (r.End.At - begun).Seconds()
	}
	d.Mean = float64(d.Closes) / max(1, d.Seconds)
	d.Ratio = max(1, float64(d.Max)/d.Mean)
	return d
}
