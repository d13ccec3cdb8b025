package gateway

// action is what a session's deadline asks for.
type action uint8

const (
	actExpire         action = iota // inactive for its timeout
	actPing                         // nothing heard for a while: ask
	actMessageTimeout               // a message takes too long to arrive
	actPongTimeout                  // asked, and nothing heard since
	actAbort                        // told to close, and still there
)

// never is the instant of what has not happened: before step 0, the first.
const never = -1

// facts is all that a session's deadline depends on. Instants are steps of the
// wheel, waits are numbers of steps as wheel.Steps gives them.
type facts struct {
	opened int64 // when the session began
	heard  int64 // anything from the peer
	active int64 // what counts as activity, in either direction
	pinged int64 // our last ping, or never; answered if heard since
	begun  int64 // when the unfinished message began, or never
	closed int64 // when the close frame went out; never: the session is open

	idleWait, messageWait, pingWait, pongWait, closeWait int64 // pingWait 0: no pings

	// phase keeps sessions that connected, or answered, together from being
	// pinged together: it spreads the first ping over the whole wait and shortens
	// the later waits by up to an eighth.
	phase uint8
}

// next decides: the nearest of a session's deadlines, and what is to be done
// then. On a tie the one that ends the session wins.
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
	switch {
	case f.heard < f.pinged:
		return f.pinged + f.pongWait, actPongTimeout
	case f.heard == f.opened && f.pinged == never:
		return f.opened + 1 + (f.pingWait-1)*int64(f.phase)/256, actPing
	default:
		return f.heard + max(1, f.pingWait-f.pingWait*int64(f.phase)/(8*256)), actPing
	}
}
