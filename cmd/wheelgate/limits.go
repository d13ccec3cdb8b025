package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"
)

const (
	// adminFiles are for requests to the admin listener.
	adminFiles = 48
	// reservedFiles are for all that is no client.
	reservedFiles = adminFiles + 16
	// processorFiles are those of a processor: its event loop's three, and a ring for broadcasts.
	processorFiles = 4
)

// fileLimit is how many files the process may open, and has open.
type fileLimit struct{ most, open, processors int }

// taken is what sessions do not get.
func (l fileLimit) taken() int {
	return l.open + reservedFiles + processorFiles*l.processors + l.handshakes()
}

// handshakes is how many clients may be about to become sessions, or to be told there
// is no place: at a tenth of a second each, l.most/3 in a second.
func (l fileLimit) handshakes() int { return min(max(l.most/32, 16), 4096) }

// sessions is how many sessions l leaves room for: each is one file.
func (l fileLimit) sessions() int { return max(0, min(l.most-l.taken(), maxSessions)) }

// limitSessions lowers o's MaxSessions to what l can hold, and says so. It fails
// if that is nothing.
func limitSessions(o *options, l fileLimit, log zerolog.Logger) error {
	room := l.sessions()
	if room == 0 {
		return fmt.Errorf("max-sessions: the open-file limit of %d leaves no room for a session: raise it (ulimit -n) above %d",
			l.most, l.taken())
	}
	asked := o.gateway.MaxSessions
	if asked > room {
		log.Warn().Int("max_sessions", asked).Int("effective", room).Int("open_file_limit", l.most).
			Msg("The open-file limit is too low for max-sessions, which is lowered: raise the limit (ulimit -n)")
	}
	if asked == 0 || asked > room {
		o.gateway.MaxSessions = room
	}
	log.Info().Int("max_sessions", o.gateway.MaxSessions).Int("open_file_limit", l.most).
		Msgf("Can hold %d sessions", o.gateway.MaxSessions)
	return nil
}

// newBallast returns memory that counts as heap and is never touched, so that it takes
// none of the system's. The collector runs when the heap has doubled, and the heap of
// quiet sessions is so small that the garbage of a few hundred handshakes does that,
// which made a fifth of their cost. More of it would hide what sessions take behind garbage.
func newBallast() []byte { return make([]byte, 4<<20) }

// memoryShare is the part of the cgroup's memory that the Go heap may fill;
// socket buffers count in the cgroup too.
const memoryShare = 0.8

// limitMemory sets GOMEMLIMIT from the cgroup, unless the environment has it.
func limitMemory(log zerolog.Logger) {
	_, err := memlimit.Set(memlimit.WithRatio(memoryShare), memlimit.WithLogger(slog.New(newDebugHandler(log))))
	if err != nil && !errors.Is(err, memlimit.ErrNoCgroup) && !errors.Is(err, memlimit.ErrCgroupsNotSupported) {
		log.Warn().Err(err).Msg("Memory limit not set")
	}
}
