package main

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
	"github.com/wheelgate/wheelgate/wheel"
)

// options is what the settings say, read and checked.
type options struct {
	gateway gateway.Config

	listen, adminListen        string
	healthListen               string // "": on adminListen only
	maxAdminConnections        int
	trustedProxies             []netip.Prefix
	adminToken, adminTokenFile string
	tokens                     []string // of either; nil: none are needed
	tlsCert, tlsKey            string
	adminTLSCert, adminTLSKey  string
	pair, adminPair            *tls.Certificate // nil: no TLS
	echo                       bool
	logLevel                   zerolog.Level
	logFormat                  string
	envFile                    string // "": none was read
}

// setting is one row of the table below: everything there is to know about a
// setting but its value.
type setting struct {
	name    string // of the flag, without dashes
	value   string // the default, in the form set reads
	group   string // heading in the help
	meaning string // one line, without a full stop
	rule

	noFile   bool                    // not read from the .env file
	secret   bool                    // never printed
	optional bool                    // may be empty, which means "none"
	toggle   bool                    // the flag alone means true
	list     bool                    // a repeated flag adds to it
	alias    *alias                  // an older variable
	show     func(o *options) string // the effective value, if not the text
}

// alias is another program's variable that we read too.
type alias struct {
	variable string
	value    string // the default in the alias's form
	allowed  string
	// convert turns the alias's form into the setting's; ok is false if it is bad.
	convert func(text string) (_ string, ok bool)
}

// variable is the name of the environment variable, and in the .env file.
func (s *setting) variable() string { return variableOf(s.name) }

const variablePrefix = "WHEELGATE_"

func variableOf(name string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// The groups of the help, which sorts them by name.
const (
	groupListen   = "Clients"
	groupAdmin    = "Administration"
	groupSession  = "Sessions"
	groupLimit    = "Limits"
	groupLog      = "Logs"
	groupSettings = "Settings"
)

// The longest and shortest of things that gateway.Config leaves open.
const (
	maxSessions = 1 << 28 // what gateway.Config takes
	maxCount    = 1_000_000_000
	maxSize     = 1 << 30
	maxTick     = time.Minute
)

// settings is the one table: flags, variables, .env lines, the help, README's
// table, .env.example and `wheelgate config` all come from it.
var settings = []setting{
	{
		name: "listen", value: ":8080", group: groupListen,
		meaning: "where clients connect (`/ws`)",
		rule:    address(func(o *options) *string { return &o.listen }),
	},
	{
		name: "tls-cert", group: groupListen, optional: true,
		meaning: "PEM file with the certificate chain; with it clients connect by wss; a renewed file is read automatically",
		rule:    path(func(o *options) *string { return &o.tlsCert }),
	},
	{
		name: "tls-key", group: groupListen, optional: true,
		meaning: "PEM file with the private key of `tls-cert`",
		rule:    path(func(o *options) *string { return &o.tlsKey }),
	},
	{
		name: "allow-origin", group: groupListen, optional: true, list: true,
		meaning: "origins whose pages may connect, separated by commas; none is the request's own host, `*` is any",
		rule:    origins(func(o *options) *[]string { return &o.gateway.AllowOrigins }),
	},
	{
		name: "allow-host", group: groupListen, optional: true, list: true,
		meaning: "names that a request's Host header may have, as host or host:port, separated by commas; empty or `*` allows any name and leaves DNS rebinding possible",
		rule:    hosts(func(o *options) *[]string { return &o.gateway.AllowHosts }),
	},
	{
		name: "trusted-proxies", group: groupListen, optional: true, list: true,
		meaning: "addresses or CIDRs of proxies and load balancers in front, separated by commas; the limit of handshakes per address does not apply to them",
		rule:    networks(func(o *options) *[]netip.Prefix { return &o.trustedProxies }),
	},
	{
		name: "echo", value: "false", group: groupListen, toggle: true,
		meaning: "also serve `/echo`, which sends back what it gets",
		rule:    boolean(func(o *options) *bool { return &o.echo }),
	},
	{
		name: "compression", value: "false", group: groupListen, toggle: true,
		meaning: "compress messages for clients that offer permessage-deflate (RFC 7692), and take theirs",
		rule:    boolean(func(o *options) *bool { return &o.gateway.Compression }),
	},
	{
		name: "compression-threshold", value: "512", group: groupListen,
		meaning: "least message that is sent compressed, in bytes",
		rule:    size(0, maxSize, func(o *options) *int { return &o.gateway.CompressionThreshold }),
	},
	{
		name: "transport", value: "auto", group: groupListen,
		meaning: "how connections are carried: loop (event loops, no goroutine for an idle session; Linux, not TLS), goroutine, or auto (loop where it can)",
		rule:    transport(func(o *options) *wsconn.Kind { return &o.gateway.Transport }),
	},
	{
		name: "io-uring", value: "true", group: groupListen, toggle: true,
		meaning: "read from and write to several connections with one system call where the system allows io_uring (event loop only)",
		rule:    boolean(func(o *options) *bool { return &o.gateway.IOUring }),
	},
	{
		name: "admin-listen", value: "127.0.0.1:8081", group: groupAdmin,
		meaning: "where the API, metrics and health are served; off loopback only with a token",
		rule:    address(func(o *options) *string { return &o.adminListen }),
	},
	{
		name: "health-listen", group: groupAdmin, optional: true,
		meaning: "additional address that serves only `/livez` and `/readyz`, by http and without a token; if empty, only `admin-listen` serves them",
		rule:    address(func(o *options) *string { return &o.healthListen }),
	},
	{
		name: "max-admin-connections", value: "48", group: groupAdmin,
		meaning: "most connections to `admin-listen`, a quarter of them kept for health checks; further ones wait until another ends or is idle for a second",
		rule:    count(4, 4096, func(o *options) *int { return &o.maxAdminConnections }),
	},
	{
		name: "admin-token", group: groupAdmin, optional: true, secret: true,
		meaning: "bearer token that everything but health asks for; a flag shows in the process list, so rather use a file",
		rule:    token(func(o *options) *string { return &o.adminToken }),
	},
	{
		name: "admin-token-file", group: groupAdmin, optional: true,
		meaning: "file with bearer tokens, one per line, each of which is valid; a changed file is read automatically",
		rule:    path(func(o *options) *string { return &o.adminTokenFile }),
	},
	{
		name: "admin-tls-cert", group: groupAdmin, optional: true,
		meaning: "PEM file with the certificate chain of `admin-listen`; with it that address serves https; a renewed file is read automatically",
		rule:    path(func(o *options) *string { return &o.adminTLSCert }),
	},
	{
		name: "admin-tls-key", group: groupAdmin, optional: true,
		meaning: "PEM file with the private key of `admin-tls-cert`",
		rule:    path(func(o *options) *string { return &o.adminTLSKey }),
	},
	{
		name: "session-timeout", value: "30m", group: groupSession,
		meaning: "inactivity after which a session is closed; `SESSION_TIMEOUT_MINUTES`, if set too, must not say otherwise",
		rule:    duration(2*wheel.MinTick, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.SessionTimeout }),
		alias:   &sessionTimeoutMinutes,
	},
	{
		name: "tick", value: "0s", group: groupSession,
		meaning: "precision: a session is closed at most two ticks late; 0s is a twentieth of the timeout, but from 20ms to 1s",
		rule:    durationOrZero(wheel.MinTick, maxTick, func(o *options) *time.Duration { return &o.gateway.Tick }),
		show:    showTick,
	},
	{
		name: "activity", value: "in,out,ping", group: groupSession, list: true,
		meaning: "what keeps a session: messages in, messages out, the client's pings",
		rule:    activity(func(o *options) *gateway.Activity { return &o.gateway.Activity }),
	},
	{
		name: "ping-interval", value: "25s", group: groupSession,
		meaning: "silence after which a client is pinged; a client that sends messages is pinged every second interval; 0s is never",
		rule:    durationOrZero(wheel.MinTick, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.PingInterval }),
	},
	{
		name: "pong-timeout", value: "10s", group: groupSession,
		meaning: "how long a ping may stay unanswered",
		rule:    duration(wheel.MinTick, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.PongTimeout }),
	},
	{
		name: "close-wait", value: "2s", group: groupSession,
		meaning: "how long a closed session's client has to hang up by itself",
		rule:    duration(wheel.MinTick, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.CloseWait }),
	},
	{
		name: "close-codes", value: "app", group: groupSession,
		meaning: "codes of close frames: app (4xxx, but 1002, 1007, 1009 and 1011 where they apply) or rfc (only those of RFC 6455 and IANA)",
		rule:    closeCodes(func(o *options) *gateway.CloseCodes { return &o.gateway.CloseCodes }),
	},
	{
		name: "idle-reconnect", value: "true", group: groupSession, toggle: true,
		meaning: "tell clients closed for inactivity that they may come back by themselves (4202, otherwise 4500)",
		rule:    boolean(func(o *options) *bool { return &o.gateway.IdleReturn }),
	},
	{
		name: "drain-wait", value: "0s", group: groupSession,
		meaning: "time between SIGTERM or SIGINT and the drain, in which `/readyz` fails and clients are still accepted; set some seconds behind a load balancer",
		rule:    durationOrZero(time.Millisecond, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.DrainWait }),
	},
	{
		name: "drain-window", value: "30s", group: groupSession,
		meaning: "time over which SIGTERM or SIGINT spreads the closing of all sessions; 0s is at once",
		rule:    durationOrZero(time.Millisecond, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.DrainWindow }),
	},
	{
		name: "handshake-timeout", value: "5s", group: groupLimit,
		meaning: "how long a client may take from its connect to its session, TLS included; a slower one is disconnected",
		rule:    duration(time.Millisecond, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.HandshakeTimeout }),
	},
	{
		name: "write-timeout", value: "10s", group: groupLimit,
		meaning: "how long messages may wait for a client that acknowledges no byte; then it is closed as slow",
		rule:    duration(time.Millisecond, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.WriteTimeout }),
	},
	{
		name: "outbox-messages", value: "64", group: groupLimit,
		meaning: "messages that may wait for one client; beyond, it is closed as slow",
		rule:    count(1, maxCount, func(o *options) *int { return &o.gateway.OutboxMessages }),
	},
	{
		name: "outbox-bytes", value: "256KiB", group: groupLimit,
		meaning: "bytes that may wait for one client; beyond, it is closed as slow",
		rule:    size(1<<10, maxSize, func(o *options) *int { return &o.gateway.OutboxBytes }),
	},
	{
		name: "send-buffer", value: "128KiB", group: groupLimit,
		meaning: "bytes that the kernel buffers for one client before messages wait in its outbox (SO_SNDBUF); 0 is the kernel's own limit, often 4 MiB",
		rule:    sizeOrZero(4<<10, maxSize, func(o *options) *int { return &o.gateway.SendBuffer }),
	},
	{
		name: "max-message", value: "64KiB", group: groupLimit,
		meaning: "longest message, in either direction",
		rule:    size(1, maxSize, func(o *options) *int { return &o.gateway.MaxMessage }),
	},
	{
		name: "message-timeout", value: "30s", group: groupLimit,
		meaning: "how long a message may take to arrive",
		rule:    duration(wheel.MinTick, gateway.MaxTimeout, func(o *options) *time.Duration { return &o.gateway.MessageTimeout }),
	},
	{
		name: "partial-budget", value: "64MiB", group: groupLimit,
		meaning: "most memory for incomplete incoming messages, in all sessions together; beyond it, the sessions that hold most are closed",
		rule:    size(1<<10, maxSize, func(o *options) *int { return &o.gateway.PartialBudget }),
	},
	{
		name: "outbox-budget", value: "0", group: groupLimit,
		meaning: "most memory for messages that wait for slow clients, in all sessions together; beyond it, the sessions with the longest queues are closed; 0 is an eighth of the memory limit, from 8MiB to 1GiB",
		rule:    sizeOrZero(1<<20, maxSize, func(o *options) *int { return &o.gateway.OutboxBudget }),
		show:    showOutboxBudget,
	},
	{
		name: "max-sessions", value: "0", group: groupLimit,
		meaning: "most sessions at a time; 0 is as many as the open-file limit and half of the memory allow",
		rule:    count(0, maxSessions, func(o *options) *int { return &o.gateway.MaxSessions }),
		show:    showMaxSessions,
	},
	{
		name: "expiry-rate", value: "100000", group: groupLimit,
		meaning: "most due sessions looked at in a second; 0 is no limit",
		rule:    count(0, maxCount, func(o *options) *int { return &o.gateway.ExpiryRate }),
	},
	{
		name: "log-level", value: "info", group: groupLog,
		meaning: "least level that is logged",
		rule:    logLevel(func(o *options) *zerolog.Level { return &o.logLevel }),
	},
	{
		name: "log-format", value: "auto", group: groupLog,
		meaning: "form of the log on stderr: json, console, or auto (console on a terminal)",
		rule:    oneOf([]string{"auto", "json", "console"}, func(o *options) *string { return &o.logFormat }),
	},
	{
		name: envFile, value: defaultEnvFile, group: groupSettings, optional: true, noFile: true,
		meaning: "file of variables, read if it exists; one named here has to exist; empty reads none",
		rule:    path(func(o *options) *string { return &o.envFile }),
		show:    showEnvFile,
	},
}

// The setting that says where others are read from, and its default.
const (
	envFile        = "env-file"
	defaultEnvFile = ".env"
)

// find returns the row with this name, which must exist.
func find(name string) *setting {
	for i := range settings {
		if settings[i].name == name {
			return &settings[i]
		}
	}
	panic("no setting " + name)
}
