package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"github.com/wheelgate/wheelgate/wheel"
)

// Config is everything a Gateway can be told; it is checked once, by New. Start
// from DefaultConfig: a zero field means what its comment says, not "default".
type Config struct {
	// SessionTimeout is the inactivity after which a session is closed, unless
	// Hooks.Open or Session.SetTimeout says otherwise. At least two of wheel.MinTick.
	SessionTimeout time.Duration
	// Tick bounds how late a session expires: at most two ticks. From wheel.MinTick
	// to 1 minute; 0 is a twentieth of SessionTimeout, but from wheel.MinTick to 1 s.
	// Smaller ticks cost more wake-ups per second and save nobody anything.
	Tick time.Duration
	// Activity says what keeps a session: any of in, out and ping.
	Activity Activity

	// PingInterval is the silence after which the peer is pinged; 0 is never.
	PingInterval time.Duration
	// PongTimeout is how long a ping may stay unanswered.
	PongTimeout time.Duration
	// WriteTimeout ends a session with a backlog whose peer acknowledges no byte for so long.
	WriteTimeout time.Duration
	// MessageTimeout is how long a message may take to arrive, from its first byte.
	MessageTimeout time.Duration
	// CloseWait is how long a closed session's peer has to take what still waits
	// for it, and to hang up by itself.
	CloseWait time.Duration
	// HandshakeTimeout bounds the answer to a request. The server in front bounds the
	// request.
	HandshakeTimeout time.Duration

	// OutboxMessages and OutboxBytes bound what waits for one session's peer; a
	// session that would exceed either is closed as slow.
	OutboxMessages, OutboxBytes int
	// SendBuffer bounds what the kernel takes for one session's peer before anything waits
	// in the outbox, in bytes of payload about; 0 is the kernel's own bound.
	SendBuffer int
	// MaxMessage bounds a message in either direction, in bytes.
	MaxMessage int
	// PartialBudget bounds the memory of unfinished messages in all sessions, and
	// OutboxBudget that of messages that wait for their peers, in bytes; 0 is no bound.
	// Beyond either, the sessions that hold most are closed: see wsconn.NewBudgets. Choose
	// an OutboxBudget by the memory there is; DefaultConfig, which does not know it, has none.
	PartialBudget, OutboxBudget int
	// MaxSessions bounds the open sessions; 0 is no bound but the system's.
	MaxSessions int
	// ExpiryRate bounds how many due sessions are looked at in a second, so that
	// a storm does not take the processor from the others; 0 is no bound.
	ExpiryRate int
	// DrainWait is the time between the end of readiness and a drain, in which clients are
	// still accepted: balancers need it to notice.
	DrainWait time.Duration
	// DrainWindow is the time over which a drain spreads its closes; 0 is at once.
	DrainWindow time.Duration

	// Compression takes clients' offers of permessage-deflate (RFC 7692), without
	// context takeover: messages are compressed one by one, a broadcast once.
	Compression bool
	// CompressionThreshold is the least message that is sent compressed, in bytes.
	CompressionThreshold int

	// AllowHosts lists the hosts that requests may be for, in the form that CheckHost takes;
	// "*" is any, and so is an empty list. An entry without a port allows all ports. Where
	// AllowOrigins is empty, only this list keeps out pages of a name that somebody has
	// pointed at this machine (DNS rebinding): their origin is the request's own host.
	AllowHosts []string
	// AllowOrigins lists the origins whose pages may connect, in the form that
	// CheckOrigin takes; "*" is any. Empty is the origin of the request's own host only.
	// Requests without an Origin header, which no browser sends, always may.
	AllowOrigins []string
	// Transport is how plain TCP connections are carried: the zero value is the
	// event loop where there is one. TLS always has a goroutine per connection.
	Transport wsconn.Kind
	// IOUring has what several sessions get or have sent written or read by one system
	// call, io_uring_enter(2), where the event loop has them and the system allows it.
	IOUring bool
	// CloseCodes chooses the codes of close frames.
	CloseCodes CloseCodes
	// IdleReturn says that a client closed for inactivity may come back by itself
	// (4202); otherwise it should wait for its user (4500).
	IdleReturn bool

	// Node is this process's number in session ids; 0 draws one at random.
	Node uint32
	// Hooks are the embedding program's own.
	Hooks Hooks
	// Logger receives everything; the zero Logger is silent.
	Logger zerolog.Logger
}

// DefaultConfig is what wheelgate runs with when nothing is set.
func DefaultConfig() Config {
	return Config{
		SessionTimeout:       30 * time.Minute,
		Activity:             ActivityIn | ActivityOut | ActivityPing,
		PingInterval:         25 * time.Second,
		PongTimeout:          10 * time.Second,
		WriteTimeout:         10 * time.Second,
		MessageTimeout:       30 * time.Second,
		CloseWait:            2 * time.Second,
		HandshakeTimeout:     5 * time.Second,
		OutboxMessages:       64,
		OutboxBytes:          256 << 10,
		SendBuffer:           128 << 10,
		MaxMessage:           64 << 10,
		PartialBudget:        64 << 20,
		CompressionThreshold: 512,
		ExpiryRate:           100_000,
		DrainWindow:          30 * time.Second,
		IOUring:              true,
		IdleReturn:           true,
		Logger:               zerolog.Nop(),
	}
}

// MaxTimeout is the longest duration a Config takes: a year.
const MaxTimeout = 365 * 24 * time.Hour

// EffectiveTick is Tick, or what a Tick of 0 stands for.
func (c *Config) EffectiveTick() time.Duration {
	if c.Tick != 0 {
		return c.Tick
	}
	return max(wheel.MinTick, min(time.Second, c.SessionTimeout/20))
}

// Validate reports every fault of c, each naming its field, value and range.
func (c *Config) Validate() error {
	var faults []error
	fault := func(ok bool, field string, value any, allowed string) {
		if !ok {
			faults = append(faults, fmt.Errorf("gateway: Config.%s is %v: must be %s", field, value, allowed))
		}
	}
	within := func(field string, d, low time.Duration) {
		fault(d >= low && d <= MaxTimeout, field, d, fmt.Sprintf("from %v to %v", low, MaxTimeout))
	}
	within("SessionTimeout", c.SessionTimeout, 2*wheel.MinTick)
	if c.Tick != 0 {
		fault(c.Tick >= wheel.MinTick && c.Tick <= time.Minute, "Tick", c.Tick, fmt.Sprintf("0 or from %v to 1m", wheel.MinTick))
	}
	within("PingInterval", c.PingInterval, 0)
	within("PongTimeout", c.PongTimeout, wheel.MinTick)
	within("WriteTimeout", c.WriteTimeout, time.Millisecond)
	within("MessageTimeout", c.MessageTimeout, wheel.MinTick)
	within("CloseWait", c.CloseWait, wheel.MinTick)
	within("HandshakeTimeout", c.HandshakeTimeout, time.Millisecond)
	within("DrainWait", c.DrainWait, 0)
	within("DrainWindow", c.DrainWindow, 0)
	fault(c.Activity != 0 && c.Activity&^activityAll == 0, "Activity", c.Activity, "one or more of in, out, ping")
	fault(c.OutboxMessages >= 1, "OutboxMessages", c.OutboxMessages, "at least 1")
	fault(c.OutboxBytes >= 1<<10, "OutboxBytes", c.OutboxBytes, "at least 1024")
	fault(c.SendBuffer == 0 || c.SendBuffer >= 4<<10 && c.SendBuffer <= 1<<30, "SendBuffer", c.SendBuffer, "0 or from 4096 to 1073741824")
	fault(c.MaxMessage >= 1 && c.MaxMessage <= 1<<30, "MaxMessage", c.MaxMessage, "from 1 to 1073741824")
	fault(c.CompressionThreshold >= 0, "CompressionThreshold", c.CompressionThreshold, "at least 0")
	fault(c.PartialBudget >= 0, "PartialBudget", c.PartialBudget, "at least 0")
	fault(c.OutboxBudget >= 0, "OutboxBudget", c.OutboxBudget, "at least 0")
	fault(c.MaxSessions >= 0 && c.MaxSessions <= maxSlots, "MaxSessions", c.MaxSessions, fmt.Sprintf("from 0 to %d", maxSlots))
	fault(c.ExpiryRate >= 0, "ExpiryRate", c.ExpiryRate, "at least 0")
	fault(c.CloseCodes == CodesApp || c.CloseCodes == CodesRFC, "CloseCodes", c.CloseCodes, "app or rfc")
	for _, host := range c.AllowHosts {
		if err := CheckHost(host); err != nil {
			faults = append(faults, err)
		}
	}
	for _, origin := range c.AllowOrigins {
		if err := CheckOrigin(origin); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// Activity is the set of happenings that count against inactivity. A pong is
// never among them: it answers our own ping, and nothing would ever be idle.
type Activity uint8

// The members of an Activity.
const (
	ActivityIn   Activity = 1 << iota // messages the client sends
	ActivityOut                       // messages delivered to it, broadcasts included
	ActivityPing                      // pings the client sends of its own accord
	activityAll  = ActivityIn | ActivityOut | ActivityPing
)

var activityNames = []string{"in", "out", "ping"}

// ParseActivity reads a comma-separated list of in, out and ping.
func ParseActivity(s string) (Activity, error) {
	var a Activity
	for name := range strings.SplitSeq(s, ",") {
		i := slices.Index(activityNames, strings.TrimSpace(name))
		if i < 0 {
			return 0, fmt.Errorf("gateway: activity %q: must be a list of in, out, ping", name)
		}
		a |= 1 << i
	}
	return a, nil
}

// String is the form ParseActivity reads.
func (a Activity) String() string {
	var names []string
	for i, name := range activityNames {
		if a&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// Listen is how to listen for clients at the least cost per connection; any other
// net.Listener does as well. See net.ListenConfig.Listen.
func (cfg *Config) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return wsconn.Listen(ctx, network, address, &wsconn.Config{WriteTimeout: cfg.WriteTimeout, SendBuffer: cfg.SendBuffer})
}
