package main

import "github.com/prometheus/client_golang/prometheus"

// doorMetrics are those of the listeners.
type doorMetrics struct {
	acceptErrors *prometheus.CounterVec // by listener and errno
}

func newDoorMetrics() *doorMetrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "wheelgate", Name: name, Help: help}, labels)
	}
	return &doorMetrics{
		acceptErrors: counters("accept_errors_total", "Accepts that failed and were tried again, by listener and errno.", "listener", "errno"),
	}
}

// register adds m to r.
func (m *doorMetrics) register(r *prometheus.Registry) { r.MustRegister(m.acceptErrors) }
