//go:build linux && !race

package bench_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	crypto "crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/probe"
)

// calmness is what the program holds when its clients have gone. The heap is what may
// be in use before the next collection.
type calmness struct {
	descriptors, goroutines, memory, heap int
	gauges                                map[string]float64
}

func (c calmness) String() string {
	return fmt.Sprintf("%d descriptors, %d goroutines, %.1f MiB resident, %.1f MiB of heap",
		c.descriptors, c.goroutines, float64(c.memory)/(1<<20), float64(c.heap)/(1<<20))
}

// gaugesOf are the program's own values that tell what is there now. Times are not
// among them, nor what only grows.
func gaugesOf(values map[string]float64) map[string]float64 {
	gauges := maps.Clone(values)
	maps.DeleteFunc(gauges, func(name string, _ float64) bool {
		name, _, _ = strings.Cut(name, "{")
		return !strings.HasPrefix(name, "wheelgate_") || slices.ContainsFunc([]string{"_total", "_count", "_sum", "_seconds"},
			func(end string) bool { return strings.HasSuffix(name, end) })
	})
	return gauges
}

// lull waits until nothing of the clients is left, which is no more than there was
// before, and judges what the program has counted. The first, without a before, waits
// until it gets no less.
func (s *tempest) lull(before *calmness) (now calmness) {
	heap := 0 // is not asked for the first time
	if before != nil {
		heap = s.collect()
	}
	var left string
	least := calmness{descriptors: math.MaxInt, goroutines: math.MaxInt}
	for same, end := 0, time.Now().Add(30*time.Second); time.Now().Before(end) && !s.gone(); pause(s.ctx, 50*time.Millisecond) {
		values := s.measure()
		s.closes = closesOf(values)
		now = calmness{s.descriptors(), int(values["go_goroutines"]), int(values["process_resident_memory_bytes"]), heap, gaugesOf(values)}
		if left = leftOver(now, before, values); left != "" {
			continue
		}
		if same++; now.descriptors < least.descriptors || now.goroutines < least.goroutines {
			same = 0
		}
		least = calmness{min(least.descriptors, now.descriptors), min(least.goroutines, now.goroutines), now.memory, heap, now.gauges}
		if before != nil || same == 5 {
			return least
		}
	}
	s.harm("after the wave %s; now %v, before %v", left, now, before)
	return now
}

// closesOf is how many sessions ended for each reason.
func closesOf(values map[string]float64) map[string]int {
	closes := map[string]int{}
	for name, value := range values {
		if reason, ok := strings.CutPrefix(name, `wheelgate_sessions_closed_total{reason="`); ok && value > 0 {
			closes[strings.TrimSuffix(reason, `"}`)] = int(value)
		}
	}
	return closes
}

// collect has the program collect its garbage some times: what the clients left is gone
// then, pools included. It returns how large the heap may become, by the least of them.
func (s *tempest) collect() (heap int) {
	o := s.newOperator(rand.New(rand.NewPCG(s.seed, 0)))
	defer o.client.CloseIdleConnections()
	heap = math.MaxInt
	for range 5 {
		if _, ok := o.call(s.ctx, http.MethodGet, "/debug/pprof/heap?gc=1", "", 200); !ok || s.gone() {
			break
		}
		heap = min(heap, int(s.measure()["go_memstats_next_gc_bytes"]))
	}
	return heap
}

// leftOver says what is there that should have gone.
func leftOver(now calmness, before *calmness, values map[string]float64) string {
	for _, gauge := range []string{"wheelgate_sessions", "wheelgate_wheel_entries", "wheelgate_wheel_queued"} {
		if values[gauge] != 0 {
			return fmt.Sprintf("%s is %v", gauge, values[gauge])
		}
	}
	opened, closed := int(values["wheelgate_sessions_opened_total"]), 0
	closes := closesOf(values)
	for _, n := range closes {
		closed += n
	}
	switch {
	case opened != closed:
		return fmt.Sprintf("%d sessions were opened and %d closed", opened, closed)
	case values["wheelgate_wheel_panics_total"] != 0:
		return "a deadline's handling has panicked"
	case closes["internal"] != 0:
		return "a session was closed as internal"
	// The call that measures has a descriptor and goroutines, and the one before may.
	case before != nil && now.descriptors > before.descriptors+1:
		return "descriptors are left"
	case before != nil && now.goroutines > before.goroutines+2:
		return "goroutines are left"
	}
	if before == nil {
		return ""
	}
	for name, value := range now.gauges {
		if value > before.gauges[name] {
			return fmt.Sprintf("%s is %v and was %v", name, value, before.gauges[name])
		}
	}
	return ""
}

// measure has all values of a page of metrics by name and labels, nil if there is none.
func (s *tempest) measure() map[string]float64 {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	values, err := probe.Scrape(s.ctx, client, "http://"+s.admin+"/metrics")
	if err != nil {
		s.harm("no metrics: %v", err)
		pause(s.ctx, time.Second)
	}
	return values
}

func (s *tempest) descriptors() int {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Process.Pid))
	if err != nil {
		s.harm("%v", err)
	}
	return len(all)
}

// judgeMemory compares what the two waves left: in the first the runtime finds its size.
// What the race detector takes for itself is no matter.
func (s *tempest) judgeMemory(after []calmness) {
	first, last := after[0], after[len(after)-1]
	if s.plain && last.memory > first.memory*11/10+2<<20 || last.heap > first.heap*11/10+1<<20 {
		s.harm("memory grew from wave to wave: %v", after)
	}
}

// judgeEnd looks at how the program ended.
func (s *tempest) judgeEnd() {
	<-s.ended
	if code := s.ProcessState.ExitCode(); code != 0 {
		s.harm("exit code %d (66: a data race)", code)
	}
	if n := s.harms.Load(); n > 20 {
		s.Errorf("%d more", n-20)
	}
	if s.Failed() {
		s.Logf("-seed %d; the log ends so:\n%s", s.seed, strings.Join(s.log, "\n"))
	}
}

// hear judges a line of the log. Those that are no JSON are the runtime's, the race
// detector's, or a panic.
func (s *tempest) hear(line []byte) {
	var entry struct{ Level, Message string }
	err := json.Unmarshal(line, &entry)
	if err != nil || entry.Level == "error" || entry.Level == "fatal" || entry.Level == "panic" {
		s.harm("the log has: %s", line)
	}
	if entry.Message != "WebSocket connected" && entry.Message != "WebSocket disconnected" {
		s.log = append(s.log, string(line))
		s.log = s.log[max(0, len(s.log)-200):]
	}
}

// certify writes a self-signed certificate and its key.
func certify(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crypto.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	cert, err := x509.CreateCertificate(crypto.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
