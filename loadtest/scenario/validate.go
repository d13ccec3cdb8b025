package scenario

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// What is allowed. MinBytes holds a message's mark, by which it is recognised.
const (
	MaxConnections = 10_000_000
	MaxRate        = 10_000_000
	MinBytes       = 40
	MaxBytes       = 1 << 20
	MaxHold        = 24 * time.Hour
)

// faults collects what is wrong with a scenario.
type faults []error

func (f *faults) add(field string, value any, allowed string) {
	*f = append(*f, fmt.Errorf("%s: %v is not allowed: must be %s", field, value, allowed))
}

func (f *faults) count(field string, n, low, high int) {
	if n < low || n > high {
		f.add(field, n, fmt.Sprintf("a whole number from %d to %d", low, high))
	}
}

// rate checks a rate, which is above zero unless zero has a meaning.
func (f *faults) rate(field string, rate float64, zero bool) {
	allowed := fmt.Sprintf("a number per second above 0 and up to %d", MaxRate)
	if zero {
		allowed = fmt.Sprintf("a number per second from 0 to %d", MaxRate)
	}
	if math.IsNaN(rate) || rate < 0 || rate > MaxRate || (rate == 0 && !zero) {
		f.add(field, rate, allowed)
	}
}

func (f *faults) duration(field string, d Duration, low, high time.Duration) {
	if d.Std() < low || d.Std() > high {
		f.add(field, d.Std(), fmt.Sprintf("a duration from %s to %s", low, high))
	}
}

func (f *faults) share(field string, s *Share) {
	if s != nil && !(s.Share > 0 && s.Share <= 1) {
		f.add(field, s.Share, "above 0 and up to 1")
	}
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate returns all faults in one error of one line.
func (s *Scenario) Validate() error {
	var f faults
	if !goodName.MatchString(s.Name) {
		f.add("name", fmt.Sprintf("%q", s.Name), "1 to 64 letters, digits, dots, dashes and underscores")
	}
	f.count("connections", s.Connections, 1, MaxConnections)
	f.rate("connect.rate", s.Connect.Rate, true)
	f.count("connect.parallel", s.Connect.Parallel, 0, 100_000)
	f.duration("hold", s.Hold, 0, MaxHold)
	s.checkTraffic(&f)
	s.checkEnding(&f)
	return joined(f)
}

func (s *Scenario) checkTraffic(f *faults) {
	if m := s.Messages; m != nil {
		f.rate("messages.rate", m.Rate, false)
		f.count("messages.bytes", m.Bytes, MinBytes, MaxBytes)
		f.count("messages.senders", m.Senders, 0, max(s.Connections, 0))
	}
	if b := s.Broadcasts; b != nil {
		f.rate("broadcasts.rate", b.Rate, false)
		f.count("broadcasts.bytes", b.Bytes, MinBytes, MaxBytes)
	}
	if c := s.Churn; c != nil {
		f.rate("churn.rate", c.Rate, false)
	}
	if st := s.Storm; st != nil {
		f.count("storm.times", st.Times, 1, 1000)
		f.duration("storm.jitter", st.Jitter, 0, MaxHold)
	}
	f.share("slow_readers.share", s.SlowReaders)
	f.share("half_open.share", s.HalfOpen)
	if s.Storm != nil && s.Churn != nil {
		f.add("storm", "together with churn", "in a scenario of its own, since both replace connections")
	}
	busy := s.Messages != nil || s.Broadcasts != nil || s.Churn != nil || s.Storm != nil || s.SlowReaders != nil || s.HalfOpen != nil
	if busy && s.Hold == 0 {
		f.add("hold", s.Hold.Std(), "above 0s, since that is when messages, broadcasts, churn, storms, slow readers and half-open connections happen")
	}
}

func (s *Scenario) checkEnding(f *faults) {
	if e := s.Expire; e != nil {
		f.duration("expire.timeout", e.Timeout, time.Millisecond, MaxHold)
		f.duration("expire.tick", e.Tick, 0, time.Hour)
		if e.Activity != "" && e.Activity != "in" && e.Activity != "in,out" {
			f.add("expire.activity", fmt.Sprintf("%q", e.Activity), "in or in,out")
		}
		if s.SlowReaders != nil || s.HalfOpen != nil {
			f.add("expire", "together with slow_readers or half_open", "without them, since these cannot be told that they expired")
		}
	}
	if d := s.Drain; d != nil {
		f.duration("drain.within", d.Within, time.Second, MaxHold)
		if s.Expire != nil {
			f.add("drain", "together with expire", "in a scenario of its own")
		}
	}
}

func joined(f faults) error {
	if len(f) == 0 {
		return nil
	}
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

// parts are the types a field can be unknown in.
var parts = []reflect.Type{
	reflect.TypeFor[Scenario](), reflect.TypeFor[Connect](), reflect.TypeFor[Messages](), reflect.TypeFor[Broadcasts](),
	reflect.TypeFor[Churn](), reflect.TypeFor[Storm](), reflect.TypeFor[Share](), reflect.TypeFor[Expire](), reflect.TypeFor[Drain](),
}

// fields are the names that a part may have in a file.
func fields(part string) []string {
	var all []string
	for _, t := range parts {
		for i := 0; t.Name() == part && i < t.NumField(); i++ {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			all = append(all, name)
		}
	}
	return all
}

// place is a part's name as a reader of the file knows it.
func place(part string) string {
	switch part {
	case "Scenario":
		return "the scenario"
	case "Share":
		return "slow_readers or half_open"
	}
	return strings.ToLower(part)
}
