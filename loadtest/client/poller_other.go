//go:build !linux

package client

import (
	"errors"
	"time"
)

// hasEpoll: every connection is a link.
const hasEpoll = false

// poller only waits: for time to pass and for wake.
type poller struct{ woken chan struct{} }

func newPoller(*Loop) (*poller, error) { return &poller{woken: make(chan struct{}, 1)}, nil }

func (p *poller) wake() {
	select {
	case p.woken <- struct{}{}:
	default:
	}
}

func (p *poller) wait(due time.Time) {
	if due.IsZero() {
		<-p.woken
		return
	}
	left := time.Until(due)
	if left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-p.woken:
	case <-timer.C:
	}
}

func (p *poller) nap(time.Time) {}
func (p *poller) look() bool    { return false }
func (p *poller) serve()        {}
func (p *poller) shut()         {}

var errNoSilence = errors.New("this system has no socket filter: the client only stops reading")

func (p *poller) dial(*Conn, *Target) error        { return errors.ErrUnsupported }
func (p *poller) write(*Conn, []byte) (int, error) { return 0, errors.ErrUnsupported }
func (p *poller) watch(*Conn)                      {}
func (p *poller) close(*Conn, bool)                {}
func (p *poller) vanish(*Conn) error               { return errNoSilence }

func leavePortOpen(int) {}

func silence(int) error { return errNoSilence }
