package loadtest

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// Job is one worker's part of a run.
type Job struct {
	Run      string            `json:"run"` // 8 hexadecimal digits, in every message's mark
	Scenario scenario.Scenario `json:"scenario"`
	Worker   int               `json:"worker"` // from 0
	Workers  int               `json:"workers"`

	Targets      []string     `json:"targets"` // URLs; connection c goes to c modulo their number
	Header       http.Header  `json:"header,omitempty"`
	Subprotocols []string     `json:"subprotocols,omitempty"`
	Insecure     bool         `json:"insecure,omitempty"` // wss without a look at the certificate
	Sources      []netip.Addr `json:"sources,omitempty"`
	// HandshakeTimeout is for TCP connection and upgrade; 0: 10 s.
	HandshakeTimeout time.Duration `json:"handshake_timeout,omitempty"`
	// BroadcastMessage has worker 0 send it, by schedule, from one of its
	// connections; the first BroadcastPlace in it becomes the payload. "": others
	// trigger broadcasts, with BroadcastPayload.
	BroadcastMessage string `json:"broadcast_message,omitempty"`
	Loops            int    `json:"loops,omitempty"` // 0: one per CPU
	Limits           Limits `json:"limits"`
}

// BroadcastPlace stands for the payload in Job.BroadcastMessage.
const BroadcastPlace = "{payload}"

// Spare is how many descriptors a worker needs beyond its connections: pipes,
// epoll sets, and connections that are closing while their successors open.
const Spare = 200

// DefaultHandshakeTimeout is Job.HandshakeTimeout's default.
const DefaultHandshakeTimeout = 10 * time.Second

// config is the crowd's.
func (j *Job) config() client.Config {
	c := client.Config{
		Loops:            j.Loops,
		Sources:          j.Sources,
		HandshakeTimeout: j.HandshakeTimeout,
		CloseTimeout:     leaveWait - time.Second,
		MaxMessage:       2*scenario.MaxBytes + 4096, // wrapped and escaped by the server
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if j.Insecure {
		c.TLS = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // asked for, for test servers
	}
	return c
}

// Dials resolves the targets, once per run.
func (j *Job) dials() ([]*client.Target, error) {
	targets := make([]*client.Target, len(j.Targets))
	for i, url := range j.Targets {
		t, err := client.NewTarget(url, j.Header, j.Subprotocols)
		if err != nil {
			return nil, err
		}
		targets[i] = t
	}
	return targets, nil
}
