package client

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Config of a Crowd. The zero value is usable.
type Config struct {
	Loops            int           // event loops; 0: GOMAXPROCS. One costs less where the server shares the cores
	Sources          []netip.Addr  // local addresses to dial from, in turn; none: the kernel's choice. See LoopbackSources
	HandshakeTimeout time.Duration // of TCP connect, TLS and upgrade together; 0: 10 s
	CloseTimeout     time.Duration // of the answer to our close frame, and of the server's end of TCP after it; 0: 5 s
	MaxMessage       int           // bytes of one inbound message; 0: 1 MiB
	MaxBacklog       int           // bytes a connection may queue when its socket is full; 0: 64 KiB
	ReceiveBuffer    int           // SO_RCVBUF in bytes, small for slow readers; 0: the kernel's choice
	TLS              *tls.Config   // for wss:// targets; nil: the system's roots
}

func (c *Config) validate() error {
	for _, f := range []struct {
		name    string
		value   *int
		initial int
	}{
		{"Loops", &c.Loops, runtime.GOMAXPROCS(0)},
		{"MaxMessage", &c.MaxMessage, 1 << 20},
		{"MaxBacklog", &c.MaxBacklog, 64 << 10},
		{"ReceiveBuffer", &c.ReceiveBuffer, 0},
	} {
		if *f.value < 0 {
			return fmt.Errorf("client: %s is %d; it must not be negative", f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.initial
		}
	}
	if c.HandshakeTimeout < 0 || c.CloseTimeout < 0 {
		return errors.New("client: a negative timeout")
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.CloseTimeout == 0 {
		c.CloseTimeout = 5 * time.Second
	}
	for _, a := range c.Sources {
		if !a.IsValid() {
			return errors.New("client: an empty address among Sources")
		}
	}
	c.Sources = slices.Clone(c.Sources)
	return nil
}

// Handler is told what happens to a crowd's connections, on the loop that owns the
// connection: never concurrently for one loop, and never from within a method of
// Conn or Loop. It must not block.
type Handler interface {
	// Opened: the handshake succeeded. connected is how long TCP, and TLS, took;
	// upgraded from then until the server's 101 was read.
	Opened(c *Conn, connected, upgraded time.Duration)
	// Failed: the handshake did not succeed, or was ended by a method of c. No call
	// for c follows.
	Failed(c *Conn, err *Error)
	// Message: a whole message, or a pong. at is when its last byte arrived, by the
	// kernel (ws:// on Linux), or else was read; payload
	// is valid during the call. Pings are answered by the client itself.
	Message(c *Conn, op Opcode, payload []byte, at time.Time)
	// Closed: an open connection ended; once, and no call for c follows. code and
	// reason are the server's, 1005 for a close frame without code, 1006 if none came.
	// err is nil when the server began the closing with a close frame. at is when that
	// arrived, as for Message, or else when the end was noticed.
	Closed(c *Conn, code int, reason string, err *Error, at time.Time)
}

// Crowd is many client connections on few goroutines.
type Crowd struct {
	cfg     Config
	handler Handler
	loops   []*Loop
	running sync.WaitGroup // loops and the goroutines of links
	closing chan struct{}
	once    sync.Once
}

// New starts a crowd's loops. Close ends them.
func New(cfg Config, h Handler) (*Crowd, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Crowd{cfg: cfg, handler: h, closing: make(chan struct{})}
	for i := range cfg.Loops {
		l := &Loop{crowd: c, index: i, source: i * len(cfg.Sources) / cfg.Loops, links: make(map[*link]struct{})}
		_, _ = rand.Read(l.key[:]) // never fails
		p, err := newPoller(l)
		if err != nil {
			for _, l := range c.loops {
				l.poller.shut()
			}
			return nil, err
		}
		l.poller = p
		c.loops = append(c.loops, l)
	}
	for _, l := range c.loops {
		c.running.Go(l.run)
	}
	return c, nil
}

// Loops returns the crowd's loops, by index.
func (c *Crowd) Loops() []*Loop { return c.loops }

// Close drops all connections without a close frame (by RST, so that no local port stays
// in TIME_WAIT) and waits for the loops. No call of the handler, of what was
// posted or of a timer begins after it; connections that were open get no Closed. It
// must not be called on a loop.
func (c *Crowd) Close() {
	c.once.Do(func() {
		close(c.closing)
		for _, l := range c.loops {
			l.stop()
		}
	})
	c.running.Wait()
}
