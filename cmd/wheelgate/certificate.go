package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// certificate is a pair of PEM files that may be renewed while we run. Handshakes take
// what was read last and never look at files.
type certificate struct {
	watched[tls.Certificate]
	listener string    // "public" or "admin", for the log and the metric
	warned   time.Time // when its time was last warned of
}

// newCertificate keeps pair, read from these files, and warns if its time is bad.
func newCertificate(pair *tls.Certificate, certFile, keyFile, listener string, log zerolog.Logger) *certificate {
	log = log.With().Str("listener", listener).Logger()
	c := &certificate{
		listener: listener,
		watched:  watched[tls.Certificate]{kind: "Certificate", parse: parsePair, accept: acceptPair, log: log},
	}
	c.renew(pair, certFile, keyFile)
	return c
}

// renew makes pair, just read from these files, the current one.
func (c *certificate) renew(pair *tls.Certificate, certFile, keyFile string) {
	c.replace(pair, certFile, keyFile)
	c.warned = time.Time{}
	c.checkTime(time.Now())
}

// parsePair makes a pair of a certificate's and a key's file.
func parsePair(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// acceptPair refuses a pair outside its time in the place of one within.
func acceptPair(old, next *tls.Certificate) error {
	now := time.Now()
	if err := outOfTime(next, now); err != nil && outOfTime(old, now) == nil {
		return err
	}
	return nil
}

// outOfTime is nil while the certificate is valid.
func outOfTime(pair *tls.Certificate, now time.Time) error {
	switch leaf := pair.Leaf; {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the certificate expired at %s", leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// config is for HTTP/1.1 servers, the only kind that speaks WebSocket here. Without a
// certificate it is nil.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.value.Load(), nil },
	}
}

// look renews the pair if its files have changed, and warns of its time.
func (c *certificate) look(ctx context.Context) {
	if c.watched.look(ctx) {
		c.warned = time.Time{}
	}
	c.checkTime(time.Now())
}

const (
	day = 24 * time.Hour
	// expiresSoon is when a certificate's end is warned of, but at the earliest when a
	// seventh of its life is left: some live for a day.
	expiresSoon = 7 * day
)

// checkTime warns, once a day, of a certificate that is out of its time or soon will be.
func (c *certificate) checkTime(now time.Time) {
	if now.Sub(c.warned) < day {
		return
	}
	pair := c.value.Load()
	left, life := pair.Leaf.NotAfter.Sub(now), pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore)
	switch err := outOfTime(pair, now); {
	case err != nil:
		c.log.Error().Err(err).Msg("Clients will not accept the certificate")
	case left <= min(expiresSoon, life/7):
		c.log.Warn().Time("not_after", pair.Leaf.NotAfter).Msgf("The certificate expires in %.1f days", left.Hours()/24)
	default:
		return
	}
	c.warned = now
}

// metric tells when it expires.
func (c *certificate) metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "wheelgate", Name: "tls_certificate_expiry_timestamp_seconds",
		Help:        "When the certificate in use expires, in Unix time.",
		ConstLabels: prometheus.Labels{"listener": c.listener},
	}, func() float64 { return float64(c.value.Load().Leaf.NotAfter.Unix()) })
}
