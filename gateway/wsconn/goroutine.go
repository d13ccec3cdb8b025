package wsconn

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lxzan/gws"
)

const (
	// readBuffer is gws's read buffer per connection, in bytes; longer payloads
	// are read into the message itself.
	readBuffer = 1024
	// writeChunk is what one write of a flusher hands over at most, in bytes: one TLS record.
	writeChunk = 16 << 10
)

// Goroutine is the transport that reads each connection in a goroutine of its
// own. It serves whatever net/http can hijack: TCP, TLS, net.Pipe.
//
// Goroutines: one reader per connection, from Upgrade until Handler.Closed has
// returned; one flusher per connection while its outbox is not empty.
type Goroutine struct {
	cfg      Config
	upgrader *gws.Upgrader
	running  sync.WaitGroup // upgrades, readers and flushers

	open    atomic.Int64  // connections
	opened  atomic.Uint32 // ever
	traffic [trafficShards]traffic
}

// NewGoroutine returns a transport whose connections are bounded by cfg.
func NewGoroutine(cfg Config) *Goroutine {
	if cfg.Budgets == nil {
		cfg.Budgets = new(Budgets)
	}
	return &Goroutine{cfg: cfg, upgrader: newUpgrader(&cfg)}
}

func newUpgrader(cfg *Config) *gws.Upgrader {
	option := &gws.ServerOption{
		// The guard bounds data messages; gws would apply a bound below 125 to
		// control frames too.
		ReadMaxPayloadSize: max(cfg.maxIncoming(), maxControl),
		ReadBufferSize:     readBuffer,
		NewSession:         noSession,
		Logger:             silent{},
		Recovery:           func(gws.Logger) {}, // Config.guarded recovers
	}
	if cfg.Compression {
		option.PermessageDeflate = perMessageDeflate(max(1, cfg.CompressionThreshold))
	}
	return gws.NewUpgrader(events{}, option)
}

// maxIncoming is the longest message as it comes in: what does not deflate gets
// longer by it, five bytes per block, and is still one of MaxMessage. Zlib's blocks
// are of 127 bytes where it is given the least memory, mostly of 2 KiB or more.
func (cfg *Config) maxIncoming() int {
	if !cfg.Compression {
		return cfg.MaxMessage
	}
	return cfg.MaxMessage + cfg.MaxMessage>>4 + 64
}

// Upgrade takes the connection of r over from net/http and answers r with 101
// (RFC 6455 section 4.2.2). The caller has validated r: what gws still refuses
// gets no answer, only the end of the connection. Upgrade blocks until the 101
// is written, for Config.HandshakeTimeout at most, and the caller may return
// from its HTTP handler afterwards; nothing of r or w is kept.
//
// Open is called once, before the 101 is written, with the new connection and
// returns its Handler, not nil. What it sends is held until the 101 is out.
//
// An error means that there is no connection. If open has not been called, w
// can still be answered. If it has, w is spent, the socket is closed and
// Handler.Closed has been called. A panic of open closes the socket and goes on.
func (t *Goroutine) Upgrade(w http.ResponseWriter, r *http.Request, open func(Conn) Handler) error {
	conn, early, err := takeOver(w)
	if err != nil {
		return err
	}
	return t.serve(conn, early, r, open)
}

// serve is Upgrade for a connection that is taken over already.
func (t *Goroutine) serve(conn net.Conn, early []byte, r *http.Request, open func(Conn) Handler) error {
	t.running.Add(1) // Closed may be called from here
	defer t.running.Done()
	t.open.Add(1)
	setSocketOptions(conn, &t.cfg)
	conn = bare(conn)
	c := newGoroutineConn(t, conn)
	c.early = early
	w := &wire{c: c, answer: c.guard.negotiated(&t.cfg, r)}
	_ = conn.SetDeadline(time.Time{}) // net/http's; a dead connection shows when the 101 is written
	c.openWith(open)
	socket, err := t.upgrader.UpgradeFromConn(w, bufio.NewReaderSize(w, readBuffer), r)
	if err != nil {
		c.readErr = err
		c.finish()
		return answerError(err)
	}
	c.established = true
	c.unhold()
	t.running.Go(func() { c.read(socket) })
	return nil
}

func answerError(err error) error { return fmt.Errorf("wsconn: answering the handshake: %w", err) }

// SendAll is conn.Send(f) for all of conns, which are t's; errs, as long as conns, gets
// what it returned for each. It may be called from any goroutine, and it does not block.
func (t *Goroutine) SendAll(f *Frame, conns []Conn, errs []error) {
	for i, c := range conns {
		errs[i] = c.Send(f)
	}
}

// Pulses appends nothing: there is no loop.
func (t *Goroutine) Pulses(dst []Pulse) []Pulse { return dst }

// Wait blocks until every connection has ended and its Handler.Closed has
// returned. It ends none: the owner does, with Abort. No Upgrade may follow it.
func (t *Goroutine) Wait() { t.running.Wait() }

// openWith calls open; a panic must not leave the socket, which net/http has
// given away, open.
func (c *goroutineConn) openWith(open func(Conn) Handler) {
	defer func() {
		if c.handler == nil {
			c.Abort()
			c.mu.Lock()
			c.out.discard()
			c.mu.Unlock()
			c.transport.open.Add(-1)
		}
	}()
	c.handler = open(c)
	if c.handler == nil {
		panic(errors.New("wsconn: open returned no Handler"))
	}
}

// takeOver takes the connection from net/http, with what was read of it beyond
// the request, nil if nothing: the first frames may share a packet with it.
func takeOver(w http.ResponseWriter) (conn net.Conn, early []byte, err error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("wsconn: taking the connection over: %w", err)
	}
	if n := buffered.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		_, _ = buffered.Reader.Read(early) // one Read gives all that is buffered
	}
	return conn, early, nil
}
