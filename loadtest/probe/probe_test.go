package probe_test

import (
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wheelgate/wheelgate/loadtest/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func needsProc(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
}

// TestSelfSeesWhatThisProcessDoes burns CPU and opens files.
func TestSelfSeesWhatThisProcessDoes(t *testing.T) {
	needsProc(t)
	before := probe.Self()
	files := make([]*os.File, 20)
	for i := range files {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	x := 1.0
	for i := range 50_000_000 {
		x = math.Sqrt(x + float64(i))
	}
	after := probe.Self()
	if x < 0 || after.CPU <= before.CPU || after.CPU-before.CPU > 1<<36 {
		t.Errorf("CPU %v, then %v", before.CPU, after.CPU)
	}
	if after.FDs < before.FDs+len(files) {
		t.Errorf("%d descriptors, then %d, with %d opened", before.FDs, after.FDs, len(files))
	}
	if after.RSS < 1<<20 || after.Delay < before.Delay || after.Delay < 0 || after.Goroutines < 1 || after.PID != os.Getpid() {
		t.Errorf("%+v", after)
	}
}

func TestOpenFilesIsTheLimit(t *testing.T) {
	needsProc(t)
	limit, _ := probe.Descriptors()
	if got := probe.OpenFiles(os.Getpid()); got != limit || got == 0 {
		t.Errorf("%d, want %d", got, limit)
	}
	if got := probe.OpenFiles(1 << 30); got != 0 {
		t.Errorf("%d for no process", got)
	}
}

func TestGoneProcessIsUnknown(t *testing.T) {
	if p := probe.Process(1 << 30); p.CPU != -1 || p.RSS != -1 || p.FDs != -1 || p.Delay != -1 {
		t.Errorf("%+v", p)
	}
}

func TestListenerIsFoundByItsAddress(t *testing.T) {
	needsProc(t)
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			if strings.HasPrefix(listen, "[") {
				continue // no IPv6 here
			}
			t.Fatal(err)
		}
		defer l.Close()
		addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(l.Addr().(*net.TCPAddr).Port))
		if pid, err := probe.Listener(addr); err != nil || pid != os.Getpid() {
			t.Errorf("%s: process %d, want %d: %v", listen, pid, os.Getpid(), err)
		}
		_ = l.Close()
		if pid, err := probe.Listener(addr); err == nil {
			t.Errorf("%s: process %d listens, though closed", listen, pid)
		}
	}
}

func TestScrape(t *testing.T) {
	page := `# TYPE sessions gauge
sessions 7
# TYPE closed counter
closed{reason="idle",code="4202"} 3
# TYPE late histogram
late_bucket{le="1"} 4
late_bucket{le="+Inf"} 5
late_sum 2.5
late_count 5
# TYPE odd gauge
odd NaN
`
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(page))
	}))
	defer server.Close()
	got, err := probe.Scrape(t.Context(), server.Client(), server.URL)
	want := map[string]float64{"sessions": 7, `closed{code="4202", reason="idle"}`: 3, "late_sum": 2.5, "late_count": 5}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", slices.Sorted(maps.Keys(got)), err, want)
	}
	page = "<html>"
	if _, err := probe.Scrape(t.Context(), server.Client(), server.URL); err == nil || !strings.Contains(err.Error(), "is no page of metrics") {
		t.Error(err)
	}
	status = http.StatusUnauthorized
	if _, err := probe.Scrape(t.Context(), server.Client(), server.URL); err == nil || !strings.Contains(err.Error(), "401") {
		t.Error(err)
	}
}

func TestMachineIsDescribed(t *testing.T) {
	needsProc(t)
	m := probe.Machine()
	if m.CPUs < 1 || m.Memory < 1<<20 || m.Descriptors < 16 || !strings.HasPrefix(m.OS, "linux ") || m.GoVersion == "" {
		t.Errorf("%+v", m)
	}
}

func TestSysctl(t *testing.T) {
	needsProc(t)
	if got := probe.Sysctl("net.ipv4.ip_local_port_range"); len(got) != 2 || got[0] < 1 || got[1] < got[0] {
		t.Errorf("ports %v", got)
	}
	for _, name := range []string{"net.nothing", "kernel.ostype"} {
		if got := probe.Sysctl(name); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}
