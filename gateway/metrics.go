package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// metrics are the gateway's own, in a registry of its own. Children of vectors
// are looked up once: that costs more than the increment.
type metrics struct {
	registry  *prometheus.Registry
	closed    [reasonCount]prometheus.Counter
	expired   prometheus.Counter
	duration  prometheus.Histogram
	lateness  prometheus.Histogram
	rejected  map[*rejection]prometheus.Counter
	received  prometheus.Counter
	sent      prometheus.Counter
	dropped   [reasonCount]prometheus.Counter
	broadcast prometheus.Histogram
	logLines  prometheus.Counter
	pongs     [pongKinds]prometheus.Counter
	pingRTT   prometheus.Histogram
}

// The kinds of pongs.
const (
	pongMatching    = iota // the answer to our last ping
	pongUnsolicited        // any other
	pongKinds
)

// nativeFactor makes buckets of native histograms at most a tenth wide.
const nativeFactor = 1.1

func newMetrics(g *Gateway) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		expired:  newCounter("sessions_expired_total", "Sessions closed for inactivity."),
		received: newCounter("messages_received_total", "Data messages received from clients."),
		sent:     newCounter("messages_sent_total", "Data messages accepted for sending to a client."),
		logLines: newCounter("log_lines_omitted_total", "Connect, disconnect and refusal lines left out of the log."),
		duration: newHistogram("session_duration_seconds", "Time from a session's handshake to the release of its socket.",
			prometheus.ExponentialBuckets(1, 4, 10)),
		lateness: newHistogram("expiry_lateness_seconds", "Time from a session's inactivity deadline to its close.",
			prometheus.ExponentialBuckets(0.005, 2, 12)),
		broadcast: newHistogram("broadcast_duration_seconds", "Time to put a broadcast into the sockets or outboxes of all sessions.",
			prometheus.ExponentialBuckets(0.0001, 4, 10)),
		pingRTT: newHistogram("ping_rtt_seconds", "Time from a ping of ours to its pong, and what the peer had to read before it.",
			prometheus.ExponentialBuckets(0.0005, 4, 9)),
		rejected: make(map[*rejection]prometheus.Counter),
	}
	m.registry.MustRegister(m.expired, m.received, m.sent, m.logLines, m.duration, m.lateness, m.broadcast, m.pingRTT)
	m.registerVectors()
	m.registerGauges(g)
	return m
}

func (m *metrics) registerVectors() {
	closed := newCounterVec("sessions_closed_total", "Sessions that ended, by reason.")
	dropped := newCounterVec("messages_dropped_total", "Data messages not delivered to a session, by the reason it ended for.")
	for r := ReasonNone + 1; r < reasonCount; r++ {
		m.closed[r] = closed.WithLabelValues(r.String())
		m.dropped[r] = dropped.WithLabelValues(r.String())
	}
	rejected := newCounterVec("handshakes_rejected_total", "Upgrade requests refused, by reason.")
	for _, no := range rejections {
		m.rejected[no] = rejected.WithLabelValues(no.label)
	}
	pongs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Name: "pongs_total",
		Help: "Pongs received: matching ones echo our last ping to the session for the first time, unsolicited are all others.",
	}, []string{"kind"})
	m.pongs = [pongKinds]prometheus.Counter{
		pongMatching:    pongs.WithLabelValues("matching"),
		pongUnsolicited: pongs.WithLabelValues("unsolicited"),
	}
	m.registry.MustRegister(closed, dropped, rejected, pongs)
}

func (m *metrics) registerGauges(g *Gateway) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, read))
	}
	counter := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, read))
	}
	gauge("sessions", "Sessions open now.", func() float64 { return float64(g.hub.count.Load()) })
	counter("sessions_opened_total", "Sessions that were opened.", func() float64 { return float64(g.hub.opened.Load()) })
	gauge("sessions_limit", "Most sessions that may be open; 0 is no limit.", func() float64 { return float64(g.hub.limit) })
	m.registerBudgets(gauge, g.budgets)
	gauge("wheel_entries", "Deadlines in the expiry wheel.", func() float64 { return float64(g.wheel.Stats().Entries) })
	gauge("wheel_queued", "Due deadlines waiting for their turn.", func() float64 { return float64(g.wheel.Stats().Queued) })
	counter("wheel_watchdog_total", "Timer engines replaced because a timer was a second late, by time in which the process ran.",
		func() float64 { return float64(g.wheel.Stats().Watchdog) })
	counter("wheel_panics_total", "Deadlines whose handling panicked.",
		func() float64 { return float64(g.wheel.Stats().Panics) })
	counter("wheel_paused_seconds_total", "Time that counts for no timeout because the process did not run.",
		func() float64 { return g.wheel.Stats().Paused.Seconds() })
}

func (m *metrics) registerBudgets(gauge func(name, help string, read func() float64), b *wsconn.Budgets) {
	gauge("partial_budget_used_bytes", "Memory of messages that have not arrived wholly.",
		func() float64 { return float64(b.Partials().Used) })
	gauge("partial_budget_bytes", "Most memory for messages that have not arrived wholly; 0 is no limit.",
		func() float64 { return float64(b.Partials().Limit) })
	gauge("outbox_bytes", "Memory of messages that wait for slow clients; a message that waits for several counts once.",
		func() float64 { return float64(b.Outboxes().Used) })
	gauge("outbox_budget_bytes", "Most memory for messages that wait for slow clients; 0 is no limit.",
		func() float64 { return float64(b.Outboxes().Limit) })
	gauge("sessions_backlogged", "Sessions whose client has not taken all that was sent to it.",
		func() float64 { return float64(b.Outboxes().Connections) })
}

// ended counts a session that is gone and the messages that went with it.
func (m *metrics) ended(r Reason, lasted time.Duration, unsent int) {
	m.closed[r].Inc()
	m.dropped[r].Add(float64(unsent))
	m.duration.Observe(lasted.Seconds())
}

const namespace = "wheelgate"

func newCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func newCounterVec(name, help string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{"reason"})
}

func newHistogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help,
		Buckets: buckets, NativeHistogramBucketFactor: nativeFactor, NativeHistogramMaxBucketNumber: 100,
	})
}
