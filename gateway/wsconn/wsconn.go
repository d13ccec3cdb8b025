// Package wsconn carries WebSocket connections (RFC 6455) and hides how: above
// it nobody may assume a goroutine, a buffer or a *gws.Conn per connection. It
// is the only importer of github.com/lxzan/gws, which does the protocol.
//
// A transport takes a connection over from net/http and from then on tells its
// Handler what arrives; the Handler's owner sends and closes through Conn. No
// close code is chosen here: a transport reports what happened and the owner
// answers with Close.
package wsconn

import (
	"errors"
	"net"
	"time"
)

// Opcode is the kind of a frame (RFC 6455 section 5.2).
type Opcode uint8

// The opcodes that reach a Handler or are sent by an owner.
const (
	Text   Opcode = 0x1
	Binary Opcode = 0x2
	Ping   Opcode = 0x9
	Pong   Opcode = 0xA
)

// NoStatus is the close code of a close frame without one (RFC 6455 section 7.1.5).
const NoStatus = 1005

// Errors of Conn.Send and NewFrame.
var (
	// ErrFull: the frame would exceed the outbox's bounds; nothing was queued.
	ErrFull = errors.New("wsconn: outbox is full")
	// ErrClosed: Close, CloseNow or Abort came first, or the connection is lost or to end.
	ErrClosed = errors.New("wsconn: connection is closed")
	// ErrInvalidUTF8: the payload of a text frame is not UTF-8.
	ErrInvalidUTF8 = errors.New("wsconn: text is not valid UTF-8")
	// ErrControlTooLong: the payload of a ping or pong exceeds 125 bytes.
	ErrControlTooLong = errors.New("wsconn: control frame payload exceeds 125 bytes")
	// ErrWriteTimeout: the peer acknowledged nothing for Config.WriteTimeout, with a backlog.
	ErrWriteTimeout = errors.New("wsconn: no write progress within the write timeout")
	// ErrOutboxBudget: the budget of outboxes had no room for what waited for the peer.
	ErrOutboxBudget = errors.New("wsconn: outboxes exceed their budget")
)

// Violation says how a peer (or, for Internal, a handler) broke the rules.
type Violation uint8

// The violations, with the close code RFC 6455 section 7.4.1 names for each.
const (
	Protocol         Violation = iota // 1002
	InvalidUTF8                       // 1007
	TooBig                            // 1009
	Internal                          // 1011: a handler panicked
	OverBudget                        // 1013: no room for unfinished messages, see Budgets
	OutboxOverBudget                  // 1013: none for what waited for the peer, which is dropped
)

// Conn is one connection, seen from its owner. All methods may be called from
// any goroutine, also from within the Handler, and none blocks on the network.
type Conn interface {
	// Send writes f at once as far as the socket takes it and queues the rest. While
	// the Handler is called it may be soon after the call has returned.
	// It returns ErrFull when the queue would exceed the outbox's bounds (an
	// empty queue takes a frame of any size) and ErrClosed after a close, or when the
	// queue was dropped because it did not fit in Config.Budgets.
	Send(f *Frame) error
	// SendMessage is Send of a frame of its own; payload may be reused at once. It
	// returns NewFrame's errors too.
	SendMessage(op Opcode, payload []byte) error
	// Close queues a close frame behind what is queued already, then half-closes
	// the connection for writing. Input is still read, and dropped, until the
	// peer hangs up, so that no reset destroys the close frame on its way; the
	// owner ends the wait with Abort. No Handler call but Closed begins after it.
	// Only the first of Close and CloseNow counts. NoStatus sends a frame without
	// code and reason; a reason longer than 123 bytes is cut.
	Close(code uint16, reason string)
	// CloseNow is Close, but frames queued and not yet begun are dropped.
	CloseNow(code uint16, reason string)
	// Abort closes the socket without a word. Handler.Closed follows.
	Abort()
	// Backlogged reports whether something waits that the socket has not taken yet.
	Backlogged() bool
	// RemoteAddr is the peer's address as the socket knows it.
	RemoteAddr() net.Addr
}

// Handler is told what happens on one connection. Calls never overlap, come in
// wire order and must not block: other connections may share the caller.
type Handler interface {
	// Heard says that bytes came in, whole messages or not; events of theirs follow.
	Heard()
	// Unfinished says that a message, or a ping or pong between messages, has begun and
	// did not end with what came (true), and that none is under way any more (false).
	// It is called when that changes, also from one message to another.
	Unfinished(begun bool)
	// Message delivers a whole data message; payload is valid during the call only.
	Message(op Opcode, payload []byte)
	// Ping delivers a ping; the owner answers it. payload as for Message.
	Ping(payload []byte)
	// Pong delivers a pong, asked for or not. payload as for Message.
	Pong(payload []byte)
	// Violation reports input that ends the session, or that a budget has no room for
	// what the connection holds; no input follows.
	Violation(v Violation)
	// PeerClosed reports the peer's close frame; no input follows. Code is
	// NoStatus when the frame had none. Answer with Close from within the call:
	// a peer that has hung up its direction as well ends the session after it.
	PeerClosed(code uint16, reason string)
	// Closed is the last call, exactly once, when the descriptor is released.
	Closed(end End)
}

// End is how a connection ended, for Handler.Closed.
type End struct {
	// Err is ErrWriteTimeout, ErrOutboxBudget, the network's error, io.EOF, or nil after Abort.
	Err error
	// Unsent counts the data frames that were accepted and not wholly written.
	Unsent int
}

// Config bounds what one connection may use. The zero value of a field is an
// error of the caller's: the gateway has the defaults.
type Config struct {
	MaxMessage       int           // bytes of one inbound message, fragments added up, inflated
	OutboxMessages   int           // frames queued per connection
	OutboxBytes      int           // bytes queued per connection
	WriteTimeout     time.Duration // without any write progress
	HandshakeTimeout time.Duration // for writing the 101
	SendBuffer       int           // bytes that the kernel may hold of what a connection is sent; 0 is its own bound

	// Budgets bound what all connections use together; nil is no bound.
	Budgets *Budgets

	// Compression takes clients' offers of permessage-deflate (RFC 7692).
	Compression bool
	// CompressionThreshold is the least payload that is sent compressed, in bytes.
	CompressionThreshold int

	// IOUring has what several connections get or have sent at a time written or read by
	// one system call, io_uring_enter(2), where the system allows that; if not, it is ignored.
	IOUring bool

	// Turn is told how long a loop took from one look for events to the next, of one in
	// 16; Lag, when Pulses is called, how long it then takes to look. Nil is allowed.
	Turn, Lag func(time.Duration)

	// OnPanic is told what a Handler panicked with, on the goroutine that
	// recovered it, before Violation(Internal). Nil, which is allowed, drops it.
	OnPanic func(value any, stack []byte)
}
