package main

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// An accept that fails is tried again after firstRetry, then after twice as long each
// time, up to lastRetry.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = time.Second
)

// persistent is a listener that only Close ends. What else makes an accept fail passes:
// a lack of memory, buffers or descriptors, a firewall's rule, a broken client.
// net/http gives up on most of these errors.
type persistent struct {
	net.Listener
	failures *prometheus.CounterVec
	log      zerolog.Logger
	logged   rate.Sometimes
	done     chan struct{}
	once     sync.Once
}

// persist makes l, whose setting is name, persistent. Failures are counted by listener
// and errno.
func persist(l net.Listener, name string, failures *prometheus.CounterVec, log zerolog.Logger) *persistent {
	return &persistent{
		Listener: l, log: log.With().Str("listener", name).Logger(), done: make(chan struct{}),
		failures: failures.MustCurryWith(prometheus.Labels{"listener": name}), logged: rate.Sometimes{Interval: 10 * time.Second},
	}
}

// Accept implements net.Listener. The only error is that of a closed listener.
func (l *persistent) Accept() (net.Conn, error) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		conn, err := l.Listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		l.failed(err)
		select {
		case <-time.After(wait):
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
}

func (l *persistent) failed(err error) {
	name, errno := "other", syscall.Errno(0)
	if errors.As(err, &errno) {
		name = errnoName(errno)
	}
	l.failures.WithLabelValues(name).Inc()
	l.logged.Do(func() {
		l.log.Warn().Err(err).Str("errno", name).Msg("Cannot accept a connection; trying again")
	})
}

// Close implements net.Listener.
func (l *persistent) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
