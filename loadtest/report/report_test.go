package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

var update = flag.Bool("update", false, "write the golden files")

// TestSpreadOfOlderRecords: there a worker's first receipt is the first that it read,
// and may have arrived after the last.
func TestSpreadOfOlderRecords(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		workers []record.Broadcast
		want    time.Duration
	}{
		{[]record.Broadcast{{First: 9 * ms, Last: 5 * ms, Receipts: 2}}, 4 * ms},
		{[]record.Broadcast{{First: 9 * ms, Last: 5 * ms, Receipts: 2}, {First: 2 * ms, Last: 2 * ms, Receipts: 1}}, 7 * ms},
		{[]record.Broadcast{{First: 3 * ms, Last: 4 * ms, Receipts: 2}, {First: 12 * ms, Last: 6 * ms, Receipts: 2}, {}}, 9 * ms},
	} {
		var file bytes.Buffer
		w := record.NewWriter(&file)
		w.Write(record.Line{Header: &record.Header{Version: record.Version}})
		for i, b := range c.workers {
			b.Worker, b.At = i, time.Second
			w.Write(record.Line{Broadcast: &b})
		}
		run, err := Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		if got := run.Broadcasts[0].Spread(); got != c.want {
			t.Errorf("%+v: a spread of %v, want %v", c.workers, got, c.want)
		}
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func encode(t rapid.TB, values ...int64) []byte {
	h := hdrhistogram.New(1000, int64(time.Hour), 3)
	for _, v := range values {
		if err := h.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func file(t rapid.TB, lines ...record.Line) string {
	var out bytes.Buffer
	for _, l := range lines {
		if err := json.NewEncoder(&out).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func header() record.Line {
	return record.Line{Header: &record.Header{
		Version: record.Version, Started: time.Unix(1e9, 0).UTC(), Workers: 2, Expiry: time.Minute, Tick: time.Second,
		Scenario: scenario.Scenario{Name: "test", Drain: &scenario.Drain{}},
	}}
}

// story has a figure of every kind, each known beforehand.
func story(t rapid.TB) []record.Line {
	const s, milli = time.Second, int64(time.Millisecond)
	process := func(cpu time.Duration, rss int64) *record.Process {
		return &record.Process{CPU: cpu, RSS: rss, FDs: 7, Goroutines: 5, Delay: -1}
	}
	return []record.Line{
		header(),
		{Server: &record.Server{Process: process(0, 1000)}},
		{Server: &record.Server{Target: record.WholeMachine, SocketMemory: 4096}},
		{Sample: &record.Sample{
			At: s, Worker: 0, Open: 3, Counts: map[record.Count]int64{record.Opened: 3, record.Dialed: 4, record.Due: 4, record.Failed: 1},
			Errors: map[string]int64{"reset": 1}, Process: *process(s/10, 500),
			Histograms: map[record.Measure][]byte{record.Handshake: encode(t, milli, 2*milli, 3*milli)},
		}},
		{Sample: &record.Sample{At: s, Worker: 1, Open: 7, Counts: map[record.Count]int64{record.Opened: 7, record.Dialed: 7, record.Due: 7}, Process: *process(s/10, 500)}},
		{Mark: &record.Mark{At: s, Text: "holding"}},
		{Server: &record.Server{At: s, Process: process(s/10, 3000)}},
		{Broadcast: &record.Broadcast{At: s, ID: 1, Worker: 0, First: 5 * s / 1000, Last: 9 * s / 1000, Receipts: 3, Expected: 3}},
		{Broadcast: &record.Broadcast{At: s, ID: 1, Worker: 1, First: 2 * s / 1000, Last: 7 * s / 1000, Receipts: 6, Expected: 7}},
		{Sample: &record.Sample{
			At: 2 * s, Worker: 0, Open: 3, Counts: map[record.Count]int64{record.Sent: 40, record.Received: 60}, Process: *process(s/5, 600),
			Histograms: map[record.Measure][]byte{record.Echo: encode(t, 50*milli), record.Expiry: encode(t, 500*milli, 1500*milli)},
		}},
		{Server: &record.Server{At: 2 * s, Process: process(s/5, 2000)}},
		{Server: &record.Server{At: 2 * s, Target: record.WholeMachine, SocketMemory: 24576}},
		{Mark: &record.Mark{At: 2 * s, Text: "waiting for the drain"}},
		{Sample: &record.Sample{At: 3 * s, Worker: 0, Counts: map[record.Count]int64{record.Closed: 3}, Closes: map[int]int64{4101: 3}, Process: *process(s/5, 600)}},
		{Sample: &record.Sample{At: 4 * s, Worker: 1, Counts: map[record.Count]int64{record.Closed: 7, record.Early: 1}, Closes: map[int]int64{4101: 7}, Process: *process(s/5, 600)}},
		{End: &record.End{At: 4 * s}},
	}
}

func readRun(t rapid.TB, text string) *Run {
	run, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func read(t rapid.TB, text string) Summary { return Summarize(readRun(t, text)) }

// TestLateSamples has the samples of a real run: each is taken a little after the
// second that it counts, and the last one ends with the run.
func TestLateSamples(t *testing.T) {
	const s = time.Second
	sample := func(at time.Duration, open int, counts map[record.Count]int64) record.Line {
		return record.Line{Sample: &record.Sample{At: at, Open: open, Counts: counts}}
	}
	run := readRun(t, file(t, header(),
		record.Line{Mark: &record.Mark{At: s * 6 / 10, Text: "holding"}},
		sample(s+2*time.Millisecond, 200, map[record.Count]int64{record.Opened: 200, record.Sent: 70}),
		sample(2*s+3*time.Millisecond, 200, map[record.Count]int64{record.Sent: 200}),
		record.Line{Mark: &record.Mark{At: s * 26 / 10, Text: "leaving"}},
		sample(s*27/10, 0, map[record.Count]int64{record.Sent: 130, record.Left: 200}),
		record.Line{End: &record.End{At: s * 27 / 10}},
	))
	for n, want := range []int64{70, 200, 130} {
		if got := run.Seconds[n].Counts[record.Sent]; got != want {
			t.Errorf("second %d: %d sent, want %d", n, got, want)
		}
	}
	if sum := Summarize(run); len(run.Seconds) != 3 || sum.PeakOpen != 200 || sum.ConnectRate != 200 || sum.SentRate != 200 {
		t.Errorf("%d seconds, %d open, %v connects and %v sent per second", len(run.Seconds), sum.PeakOpen, sum.ConnectRate, sum.SentRate)
	}

	short := read(t, file(t, header(), sample(s+2*time.Millisecond, 200, nil), sample(s*16/10, 0, nil)))
	if short.PeakOpen != 200 {
		t.Errorf("%d open at most in a run under two seconds, want 200", short.PeakOpen)
	}
}

// TestScrapesAreNotKept: each second's is some kilobytes, and no figure is made of it.
func TestScrapesAreNotKept(t *testing.T) {
	run := readRun(t, file(t, header(), record.Line{Server: &record.Server{Process: &record.Process{Goroutines: 5}, Metrics: map[string]float64{"sessions": 7}}}))
	if len(run.Servers) != 1 || run.Servers[0].Metrics != nil || run.Servers[0].Process.Goroutines != 5 {
		t.Errorf("%+v", run.Servers)
	}
}

func TestGolden(t *testing.T) {
	s := read(t, file(t, story(t)...))
	var text bytes.Buffer
	if err := Text(&text, s); err != nil {
		t.Fatal(err)
	}
	figures, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"summary.txt": text.Bytes(), "summary.json": figures} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, got\n%s", name, err, got)
		}
	}
}

func TestObjectives(t *testing.T) {
	s := read(t, file(t, story(t)...))
	for text, want := range map[string]bool{
		"p99(echo)<51ms": true, "p99(echo)<50ms": false, "max(handshake)<=4ms": true, "errors<9.0%": false, "errors<9.1%": true,
		"errors==1": true, "closed==0": false, "closed<=10": true, "early==0": false, "missing==1": true, "open>=10": true, "open > 10": false, "open!=10": false,
		"rate(received)>=60": true, "rate(sent)>40": false, "max(spread)<7ms": false, "max(spread) <= 7.01ms": true,
	} {
		all, err := ParseObjectives(text)
		if err != nil {
			t.Fatal(err)
		}
		if holds, got, err := all[0].Holds(s); err != nil || holds != want {
			t.Errorf("%s: %v, got %s, %v", text, holds, got, err)
		}
	}
	bare := read(t, file(t, record.Line{Header: &record.Header{Version: record.Version}}))
	for _, text := range []string{"p99(echo)<1h", "early==0", "missing==0", "rate(sent)>=0", "errors<1%", "unanswered==0"} {
		all, err := ParseObjectives(text)
		if err != nil {
			t.Fatal(err)
		}
		if holds, _, err := all[0].Holds(bare); err == nil || holds {
			t.Errorf("%s of a run without it: %v, %v", text, holds, err)
		}
	}
}

// TestSharesAreOfTheirOwnKind: the messages of a long run do not make few failed handshakes
// of many, nor do many connects so of echoes.
func TestSharesAreOfTheirOwnKind(t *testing.T) {
	s := Summary{ErrorCount: 30, Counts: map[record.Count]int64{
		record.Due: 3000, record.Dialed: 1000, record.Failed: 20, record.Sent: 500, record.Unanswered: 10, record.Dropped: 30,
	}}
	for _, text := range []string{"failed==2%", "unanswered==2%", "dropped==1%", "errors==1%"} {
		all, err := ParseObjectives(text)
		if err != nil {
			t.Fatal(err)
		}
		if holds, got, err := all[0].Holds(s); err != nil || !holds {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
	}
}

func TestBadObjectives(t *testing.T) {
	for text, want := range map[string]string{
		"": "position 1", "open>1, p99(echo)<5": `"5" is no time`, "open>1,  foo<1": "position 10", "p98(echo)<1s": "p99.9",
		"p99(errors)<1s": "no latency", "open<1%": "no percentage", "early==-1": "no number", "rate(early)>1": "no rate", "open>NaN": "no number",
	} {
		if _, err := ParseObjectives(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestBadRecords(t *testing.T) {
	good := file(t, header(), record.Line{Mark: &record.Mark{}})
	for text, want := range map[string]string{
		"": "line 1", "{}\n": "line 1: a record has one header", good + "nonsense\n" + "{}": "line 3", good + "{}\n": "line 3: none of",
		good + good: "line 3: a record has one header", good + file(t, record.Line{End: &record.End{}}, record.Line{Mark: &record.Mark{}}): "line 4",
		good + file(t, record.Line{Sample: &record.Sample{Histograms: map[record.Measure][]byte{"echo": {1, 2}}}}): `line 3: histogram "echo"`,
		good + file(t, record.Line{Sample: &record.Sample{At: 1 << 62}}):                                           "line 3: sample at",
		file(t, record.Line{Header: &record.Header{Version: 99}}):                                                  "version 99",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

// TestCutOff cuts a record at every byte after its header.
func TestCutOff(t *testing.T) {
	text := file(t, story(t)...)
	for n := strings.Index(text, "\n") + 1; n < len(text)-2; n++ {
		s := read(t, text[:n])
		if !s.CutOff || s.Valid {
			t.Fatalf("cut after %d of %d bytes: valid", n, len(text))
		}
	}
}

// TestSplit: whoever did the work, the figures are the same, and no value is lost.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(1000, int64(time.Hour)), 1, 50).Draw(t, "values")
		workers := rapid.IntRange(1, 5).Draw(t, "workers")
		parts := make([][]int64, workers)
		for _, v := range values {
			w := rapid.IntRange(0, workers-1).Draw(t, "worker")
			parts[w] = append(parts[w], v)
		}
		sample := func(worker int, values []int64) record.Line {
			n := int64(len(values))
			return record.Line{Sample: &record.Sample{
				At: time.Second, Worker: worker, Open: len(values), Counts: map[record.Count]int64{record.Opened: n},
				Closes: map[int]int64{1000: n}, Histograms: map[record.Measure][]byte{record.Echo: encode(t, values...)},
			}}
		}
		lines := []record.Line{header()}
		for w, part := range parts {
			lines = append(lines, sample(w, part))
		}
		split, one := read(t, file(t, lines...)), read(t, file(t, header(), sample(0, values)))
		if !reflect.DeepEqual(split, one) {
			t.Fatalf("%+v\nof one worker %+v", split, one)
		}
		if n := split.Latencies["echo"].Count; n != int64(len(values)) {
			t.Fatalf("%d values of %d", n, len(values))
		}
	})
}
