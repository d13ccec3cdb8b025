package gateway

import "math"

// action is what a session's deadline asks for.
type action uint8

const (
	actExpire         action = iota // inactive for its timeout
	actPing                         // nothing heard, or no pong, for a while: ask
	actMessageTimeout               // a message takes too long to arrive
	actPongTimeout                  // asked, and no answer since
	actAbort                        // told to close, and still there
)

// never is the instant of what has not happened: before step 0, the first.
const never = -1

// facts is all that a session's deadline depends on. Instants are steps of the
// wheel, waits are numbers of steps as wheel.Steps gives them.
type facts struct {
	opened   int64 // when the session began
	heard    int64 // anything from the peer
	active   int64 // what counts as activity, in either direction
	pinged   int64 // our last ping; opened: there was none
	answered int64 // the last pong that echoed what was then our last ping; opened: there was none
	begun    int64 // when the unfinished message began, or never
	ended    int64 // when the last one that was unfinished for a while ended; 0: there was none
	closed   int64 // when the close frame went out; never: the session is open

	idleWait, messageWait, pingWait, pongWait, closeWait int64 // pingWait 0: no pings

	// phase keeps sessions that connected, or answered, together from being
	// pinged together: it spreads the first ping over the whole wait and shortens
	// the later waits by up to an eighth.
	phase uint8
}

// next decides: the nearest of a session's deadlines, and what is to be done
// then. On a tie the one that ends the session wins. A ping wait is the ping interval
// less what phase takes.
//
//	state                              deadline                         then
//	open                               active + idle wait               expire
//	open, a message has begun          begun + message wait             message timeout
//	open, just connected               opened + a part of a ping wait   ping
//	open                               heard + ping wait                ping
//	open, and it talks                 answered + two ping waits        ping, to be answered by its pong
//	open, pinged, not heard since      pinged + pong wait               pong timeout
//	open, pong due, not amid a message the later of pinged and          pong timeout
//	                                   ended + pong wait
//	open, pong due, amid a message     pinged + message and pong wait   pong timeout
//	closing                            closed + close wait              abort
//
// Bytes of any kind answer a ping that asked a silent peer. A peer that talks may
// never read, so it is asked for a pong: nobody can echo what it has not read. A
// pong cannot overtake the message that its sender is amid, so it may come a pong
// wait after that message, and a message wait later in all.
//
// The wheel notices by itself when a deadline has become later. These events make
// one earlier, and reschedule; all others make it later or leave it:
//
//	event                                            why                                 where
//	first bytes after a ping of a silent peer        the next ping, not the pong timeout hear
//	the pong that is due                             the next ping, not the pong timeout Pong
//	a message begins                                 its message timeout                 Unfinished
//	a message ends while a pong is due               the pong cannot be behind it        Unfinished
//	the session is closed                            its close wait                      end
//	a shorter timeout                                its idle wait                       SetTimeout
//
// A ping makes it earlier too, but only the wheel sends one, and asks afterwards.
// A broadcast, like all activity, only makes it later.
func (f facts) next() (deadline int64, do action) {
	if f.closed != never {
		return f.closed + f.closeWait, actAbort
	}
	deadline, do = f.active+f.idleWait, actExpire
	if f.begun != never && f.begun+f.messageWait < deadline {
		deadline, do = f.begun+f.messageWait, actMessageTimeout
	}
	at, act := f.liveness()
	if f.pingWait != 0 && at < deadline {
		return at, act
	}
	return deadline, do
}

func (f facts) liveness() (deadline int64, do action) {
	wait := f.ownWait()
	switch {
	case f.heard < f.pinged:
		return f.pinged + f.pongWait, actPongTimeout
	case f.pongDue():
		return f.pongBy(), actPongTimeout
	case f.heard == f.opened && f.pinged == f.opened:
		return f.opened + 1 + (wait-1)*int64(f.phase)/256, actPing
	default:
		return min(f.heard+wait, f.proofBy()), actPing
	}
}

// ownWait is the ping wait less the session's part of an eighth.
func (f facts) ownWait() int64 { return max(1, f.pingWait-f.pingWait*int64(f.phase)/(8*256)) }

// proofBy is when the peer is to be asked for a pong at the latest. The bound keeps
// what a session remembers in 32 bits apart; it is 248 days at the shortest step.
func (f facts) proofBy() int64 { return f.answered + min(2*f.ownWait(), math.MaxInt32) }

// pongDue reports whether only a pong answers the last ping.
func (f facts) pongDue() bool { return f.answered < f.pinged && f.pinged >= f.proofBy() }

// pongBy is when that pong must be there.
func (f facts) pongBy() int64 {
	last := f.pinged + f.messageWait + f.pongWait
	if f.begun != never {
		return last
	}
	return min(max(f.pinged, f.ended)+f.pongWait, last)
}
