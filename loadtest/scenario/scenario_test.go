package scenario_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

func TestReadyScenariosAreGoodAndNamedAsTheirFiles(t *testing.T) {
	files, err := filepath.Glob("ready/*.yaml")
	if err != nil || len(files) != len(scenario.Names()) {
		t.Fatalf("%d files, %d names, %v", len(files), len(scenario.Names()), err)
	}
	for _, name := range scenario.Names() {
		text, ok := scenario.Ready(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		s, err := scenario.Parse(text)
		if err != nil || s.Name != name || s.Description == "" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if _, ok := scenario.Ready("../scenario"); ok {
		t.Error("a name that is none was found")
	}
}

func TestJSONIsReadAndWrittenBack(t *testing.T) {
	text, _ := scenario.Ready("mixed")
	s, err := scenario.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	again, err := scenario.Parse(encoded)
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("%v: %+v, want %+v\n%s", err, again, s, encoded)
	}
	if !strings.Contains(string(encoded), `"hold": "1m0s"`) {
		t.Errorf("hold is not written as a duration: %s", encoded)
	}
	var plain scenario.Scenario
	if err := json.Unmarshal(encoded, &plain); err != nil || !reflect.DeepEqual(plain, s) {
		t.Errorf("by encoding/json: %v: %+v", err, plain)
	}
}

func TestFaultsNameLineFieldAndWhatIsAllowed(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := scenario.Parse([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
	const good = "name: a\nconnections: 10\nhold: 1s\n"
	if _, err := scenario.Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	f(good+"conections: 3\n", `line 4: unknown field "conections" in the scenario: must be one of name, description, connections, connect, hold, messages, broadcasts, churn, storm, slow_readers, half_open, expire, drain`)
	f(good+"messages:\n  rat: 3\n", `line 5: unknown field "rat" in messages: must be one of rate, bytes, senders, echo`)
	f("name: a\nconnections: many\n", `line 2: "many" is not allowed here: must be a whole number`)
	f("name: a\nconnections: 10\nhold: 5\n", `line 3: "5" is no duration such as 30s or 1m30s`)
	f("name: a\nconnections: 1\nhold: [1s]\n", `line 3: "" is not allowed here: must be a duration such as 30s or 1m30s`)
	f("name: a\nname: b\n", `line 2: mapping key "name" already defined at line 1`)
	f("name: 'a b'\nconnections: 0\n", `name: "a b" is not allowed: must be 1 to 64 letters, digits, dots, dashes and underscores; connections: 0 is not allowed: must be a whole number from 1 to 10000000`)
	f(good+"connect: {rate: -1, parallel: 100001}\n", "connect.rate: -1 is not allowed: must be a number per second from 0 to 10000000; connect.parallel: 100001 is not allowed: must be a whole number from 0 to 100000")
	f(good+"connect: {rate: .nan}\n", "connect.rate: NaN is not allowed: must be a number per second from 0 to 10000000")
	f(good+"messages: {rate: 0, bytes: 8, senders: 11}\n", "messages.rate: 0 is not allowed: must be a number per second above 0 and up to 10000000; messages.bytes: 8 is not allowed: must be a whole number from 40 to 1048576; messages.senders: 11 is not allowed: must be a whole number from 0 to 10")
	f(good+"slow_readers: {share: 1.5}\n", "slow_readers.share: 1.5 is not allowed: must be above 0 and up to 1")
	f(good+"storm: {times: 1, jitter: -1s}\n", "storm.jitter: -1s is not allowed: must be a duration from 0s to 24h0m0s")
	f(good+"expire: {timeout: 0s, activity: out}\n", `expire.timeout: 0s is not allowed: must be a duration from 1ms to 24h0m0s; expire.activity: "out" is not allowed: must be in or in,out`)
	f(good+"drain: {within: 1m}\nexpire: {timeout: 1m}\n", "drain: together with expire is not allowed: must be in a scenario of its own")
	f("name: a\nconnections: 10\nchurn: {rate: 1}\n", "hold: 0s is not allowed: must be above 0s, since that is when messages, broadcasts, churn, storms, slow readers and half-open connections happen")
	for _, text := range []string{"", "{", "name: a\n---\nname: b\n", "- 1\n", "\x00"} {
		if _, err := scenario.Parse([]byte(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestSharesTogetherAreTheWhole splits a plan among workers and again among their
// loops: each item is in just one share, and due when the whole plan has it due.
func TestSharesTogetherAreTheWhole(t *testing.T) {
	s := scenario.Scenario{
		Connections: 1001, Connect: scenario.Connect{Rate: 300}, Hold: scenario.Duration(3 * time.Second),
		Messages: &scenario.Messages{Rate: 333, Senders: 5}, Churn: &scenario.Churn{Rate: 7.5},
		Broadcasts: &scenario.Broadcasts{Rate: 2}, Storm: &scenario.Storm{Times: 3},
	}
	for _, pick := range []func(scenario.Plan) scenario.Series{
		func(p scenario.Plan) scenario.Series { return p.Connections },
		func(p scenario.Plan) scenario.Series { return p.Senders },
		func(p scenario.Plan) scenario.Series { return p.Messages },
		func(p scenario.Plan) scenario.Series { return p.Churn },
	} {
		whole, seen := pick(s.Plan()), []int(nil)
		for worker := range 3 {
			for loop := range 4 {
				share := pick(s.Plan().Split(worker, 3).Split(loop, 4))
				for n := range share.Len() {
					seen = append(seen, share.Index(n))
					if due := share.Due(n); due != whole.Due(share.Index(n)) {
						t.Errorf("item %d is due %v, want %v", share.Index(n), due, whole.Due(share.Index(n)))
					}
				}
			}
		}
		slices.Sort(seen)
		if unique := slices.Compact(slices.Clone(seen)); len(seen) != whole.Total || len(unique) != whole.Total || seen[len(seen)-1] != whole.Total-1 {
			t.Errorf("%d items, %d different, want %d", len(seen), len(unique), whole.Total)
		}
	}
	p := s.Plan().Split(2, 3)
	if p.Broadcasts.Len() != 6 || p.Broadcasts.Due(1) != 500*time.Millisecond || p.Storms.Due(2) != 2*time.Second {
		t.Errorf("broadcasts %+v, storms %+v", p.Broadcasts, p.Storms)
	}
	if due := s.Plan().Connections.Due(1000); due.Round(time.Microsecond) != 3333333*time.Microsecond {
		t.Errorf("the last of 1001 is due at %v", due)
	}
}

// TestNoItemIsDueAtTheHoldsEnd: what is due then can only be dropped. All that is due
// before is there.
func TestNoItemIsDueAtTheHoldsEnd(t *testing.T) {
	f := func(rate float64, hold time.Duration, want int) {
		t.Helper()
		s := scenario.Scenario{Connections: 1, Hold: scenario.Duration(hold), Messages: &scenario.Messages{Rate: rate}}
		m := s.Plan().Messages
		if m.Total != want || m.Total > 0 && m.DueIndex(m.Total-1) >= hold || m.DueIndex(m.Total) < hold {
			t.Errorf("%v per second for %v: %d, the last due at %v, want %d", rate, hold, m.Total, m.DueIndex(m.Total-1), want)
		}
	}
	f(8.3, 30*time.Second, 249)
	f(8.3, 30*time.Second+1, 250)
	f(1000, time.Second, 1000)
	f(0.5, time.Second, 1)
	f(0.1, 10*time.Second+time.Millisecond, 2)
	f(5, 0, 0)
}

// TestNobodyTalksWithoutASender gives two senders to five parts.
func TestNobodyTalksWithoutASender(t *testing.T) {
	s := scenario.Scenario{Connections: 100, Hold: scenario.Duration(time.Second), Messages: &scenario.Messages{Rate: 10, Senders: 2}}
	total := 0
	for i := range 5 {
		p := s.Plan().Split(i, 5)
		total += p.Messages.Len()
		if p.Senders.Len() == 0 && p.Messages.Len() > 0 {
			t.Errorf("part %d has %d messages and no sender", i, p.Messages.Len())
		}
	}
	if total != 10 {
		t.Errorf("%d messages, want 10", total)
	}
}

func TestSpreadIsEven(t *testing.T) {
	const n = 1000
	var tenths [10]int
	for k := 5000; k < 5000+n; k++ {
		tenths[int(scenario.Spread(k)*10)]++
	}
	for i, got := range tenths {
		if got < n/10-3 || got > n/10+3 {
			t.Errorf("tenth %d has %d of %d", i, got, n)
		}
	}
}

func ExampleParse() {
	_, err := scenario.Parse([]byte("name: mine\nconnections: 10\nhold: 1 minute\n"))
	_, _ = os.Stdout.WriteString(err.Error())
	// Output: line 3: "1 minute" is no duration such as 30s or 1m30s
}
