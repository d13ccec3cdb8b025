package loadtest

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

func TestMarks(t *testing.T) {
	prefix := []byte("wgl:0123abcd:")
	f := func(payload string, kind byte, k int, ok bool) {
		t.Helper()
		gotKind, gotK, got := marked(prefix, []byte(payload))
		if got != ok || (ok && (gotKind != kind || gotK != k)) {
			t.Errorf("%q: %c %d %v", payload, gotKind, gotK, got)
		}
	}
	f(string(Payload("0123abcd", kindEcho, 42, 64)), kindEcho, 42, true)
	f(`{"data":"`+string(BroadcastPayload("0123abcd", 123456789012, 40))+`"}`, kindBroadcast, 123456789012, true)
	f(string(Payload("0123abce", kindEcho, 42, 64)), 0, 0, false)
	f("wgl:0123abcd:e:00000000", 0, 0, false)
	f("wgl:0123abcd:e:00000000004x:", 0, 0, false)
	f("wgl:0123abcd:e:-00000000042:", 0, 0, false)
	f("", 0, 0, false)
	if p := Payload("0123abcd", kindEcho, 7, 100); len(p) != 100 || string(p[:29]) != "wgl:0123abcd:e:000000000007:." {
		t.Errorf("%d bytes: %s", len(p), p)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	total, payload, prefix := newTally(), Payload("0123abcd", kindEcho, 42, 64), []byte("wgl:0123abcd:")
	total.record(echo, time.Millisecond)
	wrapped := append([]byte("wrapped "), payload...)
	if n := testing.AllocsPerRun(1000, func() {
		total.counts[received]++
		total.record(echo, 42*time.Millisecond)
		number(payload, 43)
		if _, k, ok := marked(prefix, wrapped); !ok || k != 42 {
			t.Error("no mark")
		}
	}); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}

func TestTalliesAddUp(t *testing.T) {
	a, b := newTally(), newTally()
	a.counts[sent], b.counts[sent] = 2, 3
	a.closes[1000], b.closes[1006] = 1, 2
	b.errors["reset"] = 4
	a.record(lag, -time.Second)
	b.record(lag, 2*time.Hour)
	b.record(echo, time.Second)
	a.add(b)
	var s record.Sample
	if err := a.sample(&s); err != nil {
		t.Fatal(err)
	}
	if s.Counts[record.Sent] != 5 || s.Closes[1006] != 2 || s.Closes[1000] != 1 || s.Errors["reset"] != 4 || len(s.Counts) != 1 {
		t.Errorf("%+v", s)
	}
	h, err := hdrhistogram.Decode(s.Histograms[record.Lag])
	if err != nil || h.TotalCount() != 2 || h.Min() != 0 || h.Max() < most {
		t.Errorf("%v: %d values from %d to %d", err, h.TotalCount(), h.Min(), h.Max())
	}
	a.reset()
	s = record.Sample{}
	if err := a.sample(&s); err != nil || len(s.Counts)+len(s.Closes)+len(s.Errors)+len(s.Histograms) != 0 {
		t.Errorf("after reset: %v %+v", err, s)
	}
}

func TestNamesOfCountersAndMeasures(t *testing.T) {
	for _, name := range counterNames {
		if name == "" {
			t.Errorf("a counter without a name in %v", counterNames)
		}
	}
	if slices.Contains(measureNames[:], "") {
		t.Errorf("a measure without a name in %v", measureNames)
	}
	if counterNames[cutOff] != record.CutOff || counterNames[due] != record.Due || measureNames[lag] != record.Lag {
		t.Error("names are out of step")
	}
}

// TestOnlyTheSendersEchoCounts has the second of three lanes and seven senders in it.
func TestOnlyTheSendersEchoCounts(t *testing.T) {
	l := &lane{plan: scenario.Plan{
		Messages: scenario.Series{First: 1, Step: 3, Total: 100, Rate: 1},
		Senders:  scenario.Series{First: 1, Step: 3, Total: 20},
	}}
	for k := range 40 {
		for i := range 7 {
			want := k%3 == 1 && k/3%7 == i
			if got := l.asked(i, k); got != want {
				t.Errorf("message %d of session %d: %v", k, i, got)
			}
		}
	}
}

// TestSaturation feeds seconds of CPU and waiting, and lags, to the judge.
func TestSaturation(t *testing.T) {
	type second struct {
		cpu, delay, lag time.Duration
		paced           bool
	}
	f := func(want string, seconds ...second) {
		t.Helper()
		s := newSaturation(Limits{}, 2)
		var p record.Process
		s.observe(0, p, nil, true)
		for i, x := range seconds {
			p.CPU += x.cpu
			p.Delay += x.delay
			h := hdrhistogram.New(least, most, digits)
			for range 100 {
				_ = h.RecordValue(int64(x.lag))
			}
			s.observe(time.Duration(i+1)*time.Second, p, h, x.paced)
		}
		got := strings.Join(s.reasons(), "; ")
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	times := func(n int, s second) []second { return slices.Repeat([]second{s}, n) }
	f("", times(20, second{cpu: 1700 * time.Millisecond, delay: time.Second, lag: 24 * time.Millisecond, paced: true})...)
	f("it used more than 90% of 2 CPUs for 5s", times(5, second{cpu: 1900 * time.Millisecond, paced: true})...)
	f("", times(4, second{cpu: 1900 * time.Millisecond, paced: true})...)
	f("", append(times(4, second{cpu: 1900 * time.Millisecond, paced: true}), append(times(1, second{paced: true}), times(4, second{cpu: 2 * time.Second, paced: true})...)...)...)
	f("26ms late or more, and the limit is 25ms; its threads waited for a CPU longer than they ran, for 6s",
		times(6, second{cpu: 300 * time.Millisecond, delay: 400 * time.Millisecond, lag: 26 * time.Millisecond, paced: true})...)
	f("", times(6, second{cpu: 300 * time.Millisecond, delay: 400 * time.Millisecond, paced: true})...)
	f("", times(6, second{cpu: 10 * time.Millisecond, delay: 20 * time.Millisecond, paced: true})...)
	f("1 in 100 pieces of work began 26", times(3, second{lag: 26 * time.Millisecond, paced: true})...)
	f("", times(9, second{cpu: 2 * time.Second, lag: time.Second})...)
}

// TestUsableCPUs: a worker of several has loops for a part of the CPUs, and is short of
// them when that part is used up.
func TestUsableCPUs(t *testing.T) {
	all := runtime.GOMAXPROCS(4)
	defer runtime.GOMAXPROCS(all)
	f := func(want, loops int, urls ...string) {
		t.Helper()
		if got := (&Job{Targets: urls}).usable(loops); got != want {
			t.Errorf("%d loops to %v use %d CPUs, want %d", loops, urls, got, want)
		}
	}
	f(1, 1, "ws://a/", "ws://b/")
	f(4, 9, "ws://a/")
	f(4, 1, "ws://a/", "WSS://b/") // its connections have goroutines
}

func TestLagIsJudged(t *testing.T) {
	var l Lag
	if reason, taken := l.Reason(Limits{}), l.Take(); reason != "" || len(taken) != 0 {
		t.Errorf("of nothing: %q, %v", reason, taken)
	}
	for range 2 {
		for range 60 {
			l.Begun(30 * time.Millisecond)
		}
		h, err := hdrhistogram.Decode(l.Take()[record.Lag])
		if err != nil || h.TotalCount() != 60 {
			t.Errorf("%v, %v", h, err)
		}
	}
	if got := l.Reason(Limits{}); !strings.HasPrefix(got, "1 in 100 pieces of work began 30") {
		t.Errorf("%q", got)
	}
	if got := l.Reason(Limits{Lag: 31 * time.Millisecond}); got != "" {
		t.Errorf("%q", got)
	}
}
