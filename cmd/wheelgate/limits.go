package main

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

const (
	// healthFiles are for connections to a listener for health checks alone.
	healthFiles = 16
	// reservedFiles are for all that is no connection: listeners, certificates, epoll.
	reservedFiles = 16
	// processorFiles are those of a processor: its event loop's three, and a ring for broadcasts.
	processorFiles = 4
)

// fileLimit is how many files the process may open, and has open; those of admin are
// for connections of operators and their programs.
type fileLimit struct{ most, open, processors, admin int }

// taken is what sessions do not get.
func (l fileLimit) taken() int {
	return l.open + reservedFiles + l.admin + processorFiles*l.processors + l.handshakes()
}

// handshakes is how many clients may be about to become sessions, or to be told there
// is no place: at a tenth of a second each, l.most/3 in a second.
func (l fileLimit) handshakes() int { return min(max(l.most/32, 16), 4096) }

// sessions is how many sessions l leaves room for: each is one file.
func (l fileLimit) sessions() int { return max(0, min(l.most-l.taken(), maxSessions)) }

// files is the limit, and what of it connections that are no client's may take.
func (o *options) files() fileLimit {
	limit := openFiles()
	limit.admin = o.adminFiles()
	return limit
}

// adminFiles is how many connections there may be that are no client's.
func (o *options) adminFiles() int {
	if o.healthListen == "" {
		return o.maxAdminConnections
	}
	return o.maxAdminConnections + healthFiles
}

// What an idle session takes of memory, in bytes: resident after 4,000 to 6,000 connects
// without a forced collection (1,800, 9,300 and 20,100), and 5,000 of the kernel's for
// the socket (half of what its slabs grow by for a connection with both ends on one machine).
const (
	loopCost      = 7 << 10
	goroutineCost = 14 << 10
	tlsCost       = 25 << 10
)

// sessionShare is the part of the memory that idle sessions may take by default. The rest
// is for messages on their way, garbage, the system and its socket buffers.
const sessionShare = 0.5

// sessionCost is what an idle session takes on the transport that o leads to.
func sessionCost(o *options) uint64 {
	switch {
	case o.pair != nil:
		return tlsCost
	case o.gateway.Transport == wsconn.KindGoroutine || runtime.GOOS != "linux":
		return goroutineCost
	}
	return loopCost
}

// capacity is how many sessions there is room for.
type capacity struct {
	files    fileLimit
	memory   uint64 // in bytes; 0: not known
	byMemory int
}

func newCapacity(o *options, files fileLimit, memory uint64) capacity {
	c := capacity{files: files, memory: memory, byMemory: maxSessions}
	if memory > 0 {
		c.byMemory = int(max(1, min(uint64(float64(memory)*sessionShare)/sessionCost(o), maxSessions)))
	}
	return c
}

// sessions is what of the asked number (0: as many as can be) is granted, and what bounds it. Files are
// a hard bound; memory is an estimate, which an operator may know better.
func (c capacity) sessions(asked int) (n int, bound string) {
	files := c.files.sessions()
	switch {
	case asked > 0 && asked <= files:
		return asked, "max-sessions"
	case asked == 0 && c.byMemory < files:
		return c.byMemory, fmt.Sprintf("the memory of %d MiB", c.memory>>20)
	}
	return files, fmt.Sprintf("the open-file limit %d", c.files.most)
}

// limitSessions makes o's MaxSessions what c can hold, and says so. It fails if that
// is nothing.
func limitSessions(o *options, c capacity, log zerolog.Logger) error {
	if c.files.sessions() == 0 {
		return fmt.Errorf("max-sessions: the open-file limit of %d leaves no room for a session: raise it (ulimit -n) above %d, of which %d are for max-admin-connections and health-listen",
			c.files.most, c.files.taken(), c.files.admin)
	}
	asked := o.gateway.MaxSessions
	n, bound := c.sessions(asked)
	if n < asked {
		log.Warn().Int("max_sessions", asked).Int("effective", n).Int("open_file_limit", c.files.most).
			Msg("The open-file limit is too low for max-sessions, which is lowered: raise the limit (ulimit -n)")
	}
	if n > c.byMemory {
		log.Warn().Int("max_sessions", n).Int("by_memory", c.byMemory).Uint64("memory_mib", c.memory>>20).
			Msg("Idle sessions alone may take more than half of the memory: lower max-sessions, or add memory")
	}
	o.gateway.MaxSessions = n
	log.Info().Int("max_sessions", n).Int("open_file_limit", c.files.most).Uint64("memory_mib", c.memory>>20).
		Str("bound", bound).Msgf("Can hold %d sessions", n)
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
