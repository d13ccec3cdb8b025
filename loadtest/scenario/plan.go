package scenario

import (
	"math"
	"time"
)

// Series is work by schedule in the open model: its item k is due k/Rate after
// the begin, whatever became of the others. It is a share of the whole series:
// every Step-th item, from First on, so that workers interleave.
type Series struct {
	First, Step int
	Total       int     // items of the whole series
	Rate        float64 // of the whole series, per second; 0: all are due at once
}

// Len is how many items the share has.
func (s Series) Len() int {
	if s.Step == 0 || s.First >= s.Total {
		return 0
	}
	return (s.Total - s.First + s.Step - 1) / s.Step
}

// Index is the number of the share's item n in the whole series.
func (s Series) Index(n int) int { return s.First + n*s.Step }

// Due is when the share's item n is due, after the begin.
func (s Series) Due(n int) time.Duration { return s.DueIndex(s.Index(n)) }

// DueIndex is when item k of the whole series is due, after the begin, to the nanosecond.
func (s Series) DueIndex(k int) time.Duration {
	if s.Rate == 0 {
		return 0
	}
	return time.Duration(math.Round(float64(k) / s.Rate * float64(time.Second)))
}

// Split is part i of of parts of the share: it takes every of-th of its items.
func (s Series) Split(i, of int) Series {
	s.First += i * s.Step
	s.Step *= of
	return s
}

// Plan is a scenario as series, whole or a worker's or loop's share of them.
type Plan struct {
	Connections Series // after the run's begin
	Senders     Series // the connections that talk: no schedule
	// After the hold's begin:
	Messages   Series
	Broadcasts Series // whole in every share: all receive them
	Churn      Series
	Storms     Series // whole in every share
}

// Plan makes the whole plan.
func (s *Scenario) Plan() Plan {
	hold := s.Hold.Std().Seconds()
	series := func(rate float64) Series {
		all := Series{Step: 1, Total: int(math.Ceil(rate * hold)), Rate: rate}
		if last := all.Total - 1; last >= 0 && all.DueIndex(last) >= s.Hold.Std() {
			all.Total = last // the product was rounded up: 8.3 times 30 is a little more than 249
		}
		return all
	}
	p := Plan{Connections: Series{Step: 1, Total: s.Connections, Rate: s.Connect.Rate}}
	if m := s.Messages; m != nil {
		p.Messages = series(m.Rate)
		p.Senders = Series{Step: 1, Total: s.Connections}
		if m.Senders > 0 {
			p.Senders.Total = m.Senders
		}
	}
	if b := s.Broadcasts; b != nil {
		p.Broadcasts = series(b.Rate)
	}
	if c := s.Churn; c != nil {
		p.Churn = series(c.Rate)
	}
	if st := s.Storm; st != nil && hold > 0 {
		p.Storms = Series{Step: 1, Total: st.Times, Rate: float64(st.Times) / hold}
	}
	return p
}

// Split is part i of of parts. Where there are fewer senders than parts, only
// those that have a sender have messages.
func (p Plan) Split(i, of int) Plan {
	talking := min(of, p.Senders.Len())
	if i < talking {
		p.Messages = p.Messages.Split(i, talking)
	} else {
		p.Messages = Series{}
	}
	p.Connections = p.Connections.Split(i, of)
	p.Senders = p.Senders.Split(i, of)
	p.Churn = p.Churn.Split(i, of)
	return p
}

// Spread is a number from 0 up to 1 for item k, such that those of any run of
// items are spread evenly (the golden ratio's multiples).
func Spread(k int) float64 {
	_, fraction := math.Modf(float64(k) * 0.6180339887498949)
	return fraction
}
