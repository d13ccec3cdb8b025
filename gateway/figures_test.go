package gateway_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lxzan/gws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// TestTransportMetrics: bytes with their frames' headers, and who carries the sessions.
func TestTransportMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := start(t, nil)
		c := f.dial("/echo")
		for range 10 {
			if err := c.WriteMessage(gws.OpcodeText, []byte(strings.Repeat("x", 100))); err != nil {
				t.Fatal(err)
			}
			<-c.messages
		}
		synctest.Wait() // what a loop has counted it tells when it looks for more
		onLoop := 0.0
		if transport == wsconn.KindLoop {
			onLoop = 1
		}
		for name, want := range map[string]float64{
			"wheelgate_received_bytes_total":                  10 * 106,
			"wheelgate_sent_bytes_total":                      10 * 102,
			"wheelgate_sessions_by_transport/loop":            onLoop,
			"wheelgate_sessions_by_transport/goroutine":       1 - onLoop,
			"wheelgate_transport_fallbacks_total/tls":         0,
			"wheelgate_transport_fallbacks_total/descriptors": 0,
			"wheelgate_io_uring_enabled":                      0, // over memory
		} {
			if got := figure(t, f.Registry(), name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
	})
}

// figure is the value of the metric with this name, and label behind a slash.
func figure(t *testing.T, r prometheus.Gatherer, name string) float64 {
	t.Helper()
	name, label, _ := strings.Cut(name, "/")
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
