package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// transportFigures is a collector, so that a scrape asks the transport once.
type transportFigures struct {
	transport wsconn.Transport
	descs     map[string]*prometheus.Desc
}

func newTransportFigures(t wsconn.Transport) *transportFigures {
	f := &transportFigures{t, make(map[string]*prometheus.Desc)}
	for name, help := range map[string][2]string{
		"received_bytes_total":      {"Bytes received from clients after their handshakes, within TLS.", ""},
		"sent_bytes_total":          {"Bytes sent to clients after their handshakes, within TLS.", ""},
		"sessions_by_transport":     {"Sessions open now, by what carries them.", "transport"},
		"transport_fallbacks_total": {"Connections that no event loop could take, by reason.", "reason"},
		"io_uring_enabled":          {"1 if event loops use io_uring; 0 before the first session.", ""},
	} {
		var labels []string
		if help[1] != "" {
			labels = []string{help[1]}
		}
		f.descs[name] = prometheus.NewDesc(namespace+"_"+name, help[0], labels, nil)
	}
	return f
}

// Describe implements prometheus.Collector.
func (f *transportFigures) Describe(to chan<- *prometheus.Desc) {
	for _, d := range f.descs {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (f *transportFigures) Collect(to chan<- prometheus.Metric) {
	now := f.transport.Figures()
	tell := func(name string, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(f.descs[name], kind, value, labels...)
	}
	tell("received_bytes_total", prometheus.CounterValue, float64(now.Received))
	tell("sent_bytes_total", prometheus.CounterValue, float64(now.Sent))
	tell("sessions_by_transport", prometheus.GaugeValue, float64(now.OnLoops), "loop")
	tell("sessions_by_transport", prometheus.GaugeValue, float64(now.OnGoroutines), "goroutine")
	for _, why := range wsconn.Fallbacks() {
		tell("transport_fallbacks_total", prometheus.CounterValue, float64(now.Fallbacks[why]), why.String())
	}
	uring := 0.0
	if now.IOUring {
		uring = 1
	}
	tell("io_uring_enabled", prometheus.GaugeValue, uring)
}

// loopTimes are histograms of the event loops. They are there before the transport is.
type loopTimes struct{ turn, lag prometheus.Histogram }

func newLoopTimes() loopTimes {
	buckets := prometheus.ExponentialBuckets(0.00001, 4, 11) // 10 us to 10 s
	return loopTimes{
		turn: newHistogram("loop_turn_seconds",
			"Time of an event loop from one look for events to the next, of one in 16.", buckets),
		lag: newHistogram("loop_lag_seconds",
			"Time until an event loop looks for events, from a moment once in a second; 0 if it waits for them.", buckets),
	}
}
