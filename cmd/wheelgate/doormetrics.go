package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

// doorMetrics are those of the listeners.
type doorMetrics struct {
	acceptErrors *prometheus.CounterVec // by listener and errno
	refused      *prometheus.CounterVec // by reason
	tlsFailures  *prometheus.CounterVec // by cause
	evicted      *prometheus.CounterVec // by reason
}

func newDoorMetrics() *doorMetrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "wheelgate", Name: name, Help: help}, labels)
	}
	return &doorMetrics{
		acceptErrors: counters("accept_errors_total", "Accepts that failed and were tried again, by listener and errno.", "listener", "errno"),
		refused: counters("connections_refused_total",
			"Clients' connections closed before they became a session or got an answer, by reason.", "reason"),
		tlsFailures: counters("tls_handshake_failures_total", "TLS handshakes with clients that failed, by cause.", "cause"),
		evicted: counters("admin_connections_evicted_total",
			"Admin connections that gave way to others, by reason.", "reason"),
	}
}

// register adds m and the gauges of both listeners to r.
func (m *doorMetrics) register(r *prometheus.Registry, public *handshakes, admin *lobby) {
	gauge := func(name, help string, read func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "wheelgate", Name: name, Help: help},
			func() float64 { return float64(read()) })
	}
	r.MustRegister(m.acceptErrors, m.refused, m.tlsFailures, m.evicted,
		gauge("handshakes_in_progress", "Clients' connections that are no session yet.", public.inProgress),
		gauge("handshakes_limit", "Most clients' connections that may be no session yet; others wait.", func() int { return public.most }),
		gauge("admin_connections", "Connections to the admin listener.", admin.taken),
		gauge("admin_connections_limit", "Most connections to the admin listener; others wait.", func() int { return admin.most }),
	)
	for _, reason := range []string{refusedShare, refusedDeadline} {
		m.refused.WithLabelValues(reason)
	}
	for _, reason := range []string{evictedIdle, evictedHeader, evictedAnswered, evictedWaiting} {
		m.evicted.WithLabelValues(reason)
	}
	for _, cause := range []string{tlsDeadline, tlsHungUp, tlsNoTLS, tlsAlert, tlsProtocol} {
		m.tlsFailures.WithLabelValues(cause)
	}
}

// The causes of failed TLS handshakes.
const (
	tlsDeadline = "deadline" // only we close what is in a handshake
	tlsHungUp   = "hung_up"
	tlsNoTLS    = "no_tls"
	tlsAlert    = "alert"    // the client refuses: our certificate, as a rule
	tlsProtocol = "protocol" // no version or cipher suite in common, or a broken client
)

// tlsCause is a coarse name for why a client's TLS handshake failed.
func tlsCause(err error) string {
	var plain tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.Is(err, net.ErrClosed):
		return tlsDeadline
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return tlsHungUp
	case errors.As(err, &plain):
		return tlsNoTLS
	case errors.As(err, &op) && op.Op == "remote error":
		return tlsAlert
	}
	return tlsProtocol
}
