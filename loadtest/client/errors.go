package client

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
)

// Kinds of Error. The list is closed, so that a report can count by them; for an
// upgrade that was refused the status is part of the kind: "refused 503".
const (
	KindConnectionRefused = "connection refused" // nobody listens there
	KindReset             = "reset"              // by the server's side
	KindTimeout           = "timeout"            // of the handshake, of the answer to our close frame, or TCP's own
	KindUnreachable       = "unreachable"        // no route to the host or network
	KindNoPorts           = "no ports"           // no free local port: see Room
	KindNoDescriptors     = "no descriptors"     // too many open files: see Room
	KindRefused           = "refused"            // with the status after it
	KindBadHandshake      = "bad handshake"      // the answer is no HTTP, too long, or no upgrade to WebSocket
	KindWrongAccept       = "wrong accept"       // Sec-WebSocket-Accept does not fit our key
	KindProtocol          = "protocol"           // the server broke RFC 6455
	KindTooBig            = "too big"            // a message beyond Config.MaxMessage
	KindSlow              = "slow"               // the server does not take our answers to its pings
	KindHungUp            = "hung up"            // the server's end of TCP closed without a close frame
	KindTLS               = "tls"                // handshake, certificate or record
	KindNetwork           = "network"            // any other error of the socket
	KindClosed            = "closed"             // by Conn.Close
	KindAborted           = "aborted"            // by Conn.Abort
	KindVanished          = "vanished"           // by Conn.Vanish
	KindNotVanished       = "not vanished"       // by Conn.Vanish, which could only stop reading
)

// Error says why a handshake or a connection ended.
type Error struct {
	Kind   string // one of the kinds above
	Status int    // HTTP status of the server's answer, 0 when there was none to judge
	Err    error  // the cause, nil when the kind says all
}

// Error is the kind and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Kind
	}
	return e.Kind + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrNotOpen is what methods say of a connection that is not, or no longer, open.
	ErrNotOpen = errors.New("client: the connection is not open")
	// ErrFull says that the socket and the backlog are full; nothing was sent.
	ErrFull = errors.New("client: the connection's backlog is full")
)

func refused(status int) *Error {
	return &Error{Kind: KindRefused + " " + strconv.Itoa(status), Status: status}
}

// kindOf names what the system or TLS reports.
func kindOf(err error) string {
	var errno syscall.Errno
	var deadline interface{ Timeout() bool }
	switch {
	case errors.As(err, &errno):
		return kindOfErrno(errno)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return KindTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return KindHungUp
	case isTLS(err):
		return KindTLS
	case errors.As(err, &deadline) && deadline.Timeout():
		return KindTimeout
	}
	return KindNetwork
}

func kindOfErrno(errno syscall.Errno) string {
	switch errno {
	case syscall.ECONNREFUSED:
		return KindConnectionRefused
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED:
		return KindReset
	case syscall.ETIMEDOUT:
		return KindTimeout
	case syscall.ENETUNREACH, syscall.EHOSTUNREACH:
		return KindUnreachable
	case syscall.EADDRNOTAVAIL, syscall.EADDRINUSE:
		return KindNoPorts
	case syscall.EMFILE, syscall.ENFILE:
		return KindNoDescriptors
	}
	return KindNetwork
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var certificate *tls.CertificateVerificationError
	var op *net.OpError
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &certificate) ||
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") // crypto/tls calls its alerts so
}

func failure(err error) *Error { return &Error{Kind: kindOf(err), Err: err} }
