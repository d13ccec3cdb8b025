package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Objective is one comparison of a figure of a Summary with a bound:
//
//	p99(echo)<50ms  max(handshake)<=1s  errors<0.1%  early==0  open>=9000  rate(received)>=1000
//
// p50, p90, p99, p99.9 and max are of a latency; rate is of a count, per second
// (opened: while connecting; sent, received: while held). closed are connections that
// the server or the network ended. A bound in percent is of what the schedule asked
// for, but failed is of the handshakes begun and unanswered of the messages sent.
type Objective struct {
	Text           string
	function, name string
	op             string
	bound          float64 // milliseconds for a latency
	percent        bool
}

const (
	grammar = "p99(echo)<50ms, errors<0.1%, early==0, open>=9000 or rate(received)>=1000, separated by commas"
	names   = "errors, failed, closed, dropped, late, unanswered, early, unexpired, missing or open"
)

var (
	term      = regexp.MustCompile(`^(?:([a-z0-9.]+)\s*\(\s*([a-z]+)\s*\)|([a-z]+))\s*(<=|>=|==|!=|<|>)\s*(\S+)$`)
	quantiles = []string{"p50", "p90", "p99", "p99.9", "max"}
	latencies = []string{"connect", "handshake", "echo", "deliver", "expiry", "reconnect", "lag", "spread"}
	rates     = []string{"opened", "sent", "received"}
	counts    = []string{"errors", "failed", "closed", "dropped", "late", "unanswered", "early", "unexpired", "missing", "open"}
	shares    = []string{"errors", "failed", "dropped", "late", "unanswered"}
)

// ParseObjectives reads objectives separated by commas. An error names the term,
// its position (the first character is 1) and what is allowed.
func ParseObjectives(text string) ([]Objective, error) {
	var all []Objective
	position := 1
	for part := range strings.SplitSeq(text, ",") {
		trimmed := strings.TrimSpace(part)
		o, err := parseObjective(trimmed)
		if err != nil {
			at := position + len(part) - len(strings.TrimLeft(part, " \t"))
			return nil, fmt.Errorf("objective %q at position %d: %w", trimmed, at, err)
		}
		all = append(all, o)
		position += len(part) + 1
	}
	return all, nil
}

func parseObjective(text string) (Objective, error) {
	m := term.FindStringSubmatch(text)
	if m == nil {
		return Objective{}, fmt.Errorf("want %s", grammar)
	}
	o := Objective{Text: text, function: m[1], name: m[2] + m[3], op: m[4]}
	var err error
	switch {
	case slices.Contains(quantiles, o.function):
		if !slices.Contains(latencies, o.name) {
			return o, fmt.Errorf("%q is no latency: want one of %s", o.name, strings.Join(latencies, ", "))
		}
		d, fault := time.ParseDuration(m[5])
		if o.bound = ms(int64(d)); fault != nil || d < 0 {
			err = fmt.Errorf("%q is no time: want one of 0s or more, like 50ms", m[5])
		}
	case o.function == "rate":
		if !slices.Contains(rates, o.name) {
			return o, fmt.Errorf("%q has no rate: want one of %s", o.name, strings.Join(rates, ", "))
		}
		o.bound, err = number(m[5])
	case o.function != "":
		err = fmt.Errorf("%q: want rate or one of %s", o.function, strings.Join(quantiles, ", "))
	case !slices.Contains(counts, o.name):
		err = fmt.Errorf("%q: want %s", o.name, names)
	default:
		value, percent := strings.CutSuffix(m[5], "%")
		if o.percent = percent; percent && !slices.Contains(shares, o.name) {
			return o, fmt.Errorf("%q has no percentage: %s have", o.name, strings.Join(shares, ", "))
		}
		o.bound, err = number(value)
	}
	return o, err
}

func number(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1e15) {
		return 0, fmt.Errorf("%q is no number: want one of 0 to 1e15", text)
	}
	return v, nil
}

// Holds reports whether the comparison is true of s, and the figure s has. That s
// has no such figure is an error: what was not measured neither holds nor breaks.
func (o Objective) Holds(s Summary) (holds bool, got string, err error) {
	v, unit, err := o.value(s)
	if err != nil {
		return false, "", fmt.Errorf("objective %q: %w", o.Text, err)
	}
	switch o.op {
	case "<":
		holds = v < o.bound
	case "<=":
		holds = v <= o.bound
	case ">":
		holds = v > o.bound
	case ">=":
		holds = v >= o.bound
	case "==":
		holds = v == o.bound
	case "!=":
		holds = v != o.bound
	}
	return holds, strconv.FormatFloat(v, 'g', 6, 64) + unit, nil
}

func (o Objective) value(s Summary) (v float64, unit string, err error) {
	switch {
	case o.function == "rate":
		v = map[string]float64{"opened": s.ConnectRate, "sent": s.SentRate, "received": s.Received}[o.name]
		if s.Counts[record.Count(o.name)] == 0 {
			return 0, "", fmt.Errorf("the run %s nothing", o.name)
		}
		return v, "/s", nil
	case o.function != "":
		l, ok := s.Latencies[o.name]
		if !ok {
			return 0, "", fmt.Errorf("the run did not measure %s", o.name)
		}
		return l.quantile(o.function), "ms", nil
	}
	n, err := s.count(o.name)
	if err != nil || !o.percent {
		return float64(n), "", err
	}
	asked := s.asked(o.name)
	if asked == 0 {
		return 0, "", fmt.Errorf("the run has nothing that %s could be a share of", o.name)
	}
	return 100 * float64(n) / float64(asked), "%", nil
}

// asked is what a count is a share of: where that can be told, of its own kind alone, as
// many messages would make few failed handshakes of many.
func (s *Summary) asked(name string) int64 {
	switch name {
	case "failed":
		return s.Counts[record.Dialed]
	case "unanswered":
		return s.Counts[record.Sent]
	}
	return max(s.Counts[record.Due], s.Counts[record.Dialed])
}

func (l Latency) quantile(name string) float64 {
	return map[string]float64{"p50": l.P50, "p90": l.P90, "p99": l.P99, "p99.9": l.P999, "max": l.Max}[name]
}

func (s *Summary) count(name string) (int64, error) {
	switch name {
	case "errors":
		return s.ErrorCount, nil
	case "open":
		return int64(s.PeakOpen), nil
	case "missing":
		if s.Broadcasts == nil {
			return 0, fmt.Errorf("the run had no broadcasts")
		}
		return s.Broadcasts.Missing, nil
	case "early", "unexpired":
		if s.Expiry == nil {
			return 0, fmt.Errorf("the run did not measure expiry")
		}
	case "unanswered":
		if _, ok := s.Latencies[string(record.Echo)]; !ok && s.Counts[record.Unanswered] == 0 {
			return 0, fmt.Errorf("the run asked for no echo")
		}
	}
	return s.Counts[record.Count(name)], nil
}
