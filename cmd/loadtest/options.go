package main

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/scenario"
)

// options are what the flags of run say, read and checked.
type options struct {
	scenario scenario.Scenario

	urls         []string
	header       http.Header
	subprotocols []string
	insecure     bool
	sources      []netip.Addr
	handshake    time.Duration

	broadcastURLs    []string
	broadcastToken   string
	broadcastMessage string

	workers     int // 0: as many as needed
	remote      []string
	workerToken string

	metrics []string
	pids    []int

	out    string
	judge  *judge
	quiet  bool
	limits loadtest.Limits
}

// loadFlags are those of all that put load on a server.
func loadFlags() []cli.Flag {
	var all []cli.Flag
	add := func(category string, flags ...cli.Flag) { all = append(all, under(category, flags...)...) }
	add("Scenario",
		text("connections", "how many"),
		text("connect-rate", "connections begun per second; 0 is as fast as can be"),
		text("rate", "per second: of the scenario's messages, else its broadcasts, else its churn"),
		text("hold", "how long all stay connected"),
		text("duration", "another name for hold"),
		text("expiry", "the server's session timeout: the crowd falls silent after the hold, and is measured as it expires"),
		text("tick", "the server's expiry tick; lateness is told in ticks too"))
	add("Server",
		texts("url", "ws:// or wss:// URL; several, separated by commas or repeated, share the connections"),
		texts("header", `"Name: value" of the handshake; may be repeated`),
		texts("subprotocol", "offered in the handshake; may be repeated"),
		toggle("insecure", "take any certificate from wss:// servers"),
		text("handshake-timeout", "for TCP connection and upgrade together (default: 10s)"),
		texts("sources", "IP addresses of this machine to connect from, in turn, when one runs out of ports; not with workers on others"))
	add("Broadcasts",
		texts("broadcast-url", "broadcasts are asked for by POST of the payload to it; several are all asked"),
		text("broadcast-token", "bearer token for it; a flag shows in the process list, so rather set LOADTEST_BROADCAST_TOKEN"),
		text("broadcast-message", "broadcasts are asked for by this message from a client, in which "+loadtest.BroadcastPlace+" is the payload"))
	add("Workers",
		text("workers", "auto (as many processes as the descriptors ask for), a number, or host:port,... of loadtest worker (default: auto)"),
		text("worker-token", "token of workers on other machines; rather set LOADTEST_WORKER_TOKEN"),
		text("max-lag", "the run is invalid if 1 in 100 pieces of the tool's work begins later (default: 25ms)"))
	add("Server's resources",
		texts("metrics", "URL of the server's metrics in Prometheus' format; one for each url"),
		texts("server-pid", "process id of the server, if it cannot be found by its port; one for each url"))
	return all
}

func runFlags() []cli.Flag {
	return append(append(loadFlags(), under("Output",
		text("out", "file for the raw records; without it they are not kept"),
		toggle("quiet", "no progress"))...), outputFlags()...)
}

// readOptions reads and checks the command line of run.
func readOptions(cmd *cli.Command) (*options, error) {
	if cmd.Args().Len() != 1 {
		return nil, usagef("%s: needs one scenario, a name or a file, and not %d: see loadtest %s --help", cmd.Name, cmd.Args().Len(), cmd.Name)
	}
	sc, err := loadScenario(cmd.Args().First())
	if err != nil {
		return nil, err
	}
	r := &reader{cmd: cmd}
	o := &options{scenario: sc}
	r.overrides(&o.scenario)
	r.server(o)
	r.workers(o)
	o.out, _ = r.text("out")
	o.judge = r.judge()
	o.quiet = cmd.Bool("quiet")
	if r.fault != nil {
		return nil, r.fault
	}
	if err := o.scenario.Validate(); err != nil {
		return nil, usagef("scenario %s: %s", o.scenario.Name, oneLine(err))
	}
	return o, o.check()
}

// loadScenario reads a ready-made scenario or a file. What looks like a file's
// name is one.
func loadScenario(name string) (scenario.Scenario, error) {
	text, ready := scenario.Ready(name)
	if !ready {
		content, err := os.ReadFile(name)
		if err != nil {
			if path := (*fs.PathError)(nil); errors.As(err, &path) {
				err = path.Err
			}
			return scenario.Scenario{}, usagef("scenario: %q is no ready-made one (%s) and no readable file: %v",
				name, strings.Join(scenario.Names(), ", "), err)
		}
		text = content
	}
	s, err := scenario.Decode(text)
	if err != nil {
		return s, usagef("scenario %s: %s", name, oneLine(err))
	}
	return s, nil
}

// overrides changes a scenario by flags.
func (r *reader) overrides(s *scenario.Scenario) {
	r.whole("connections", 1, scenario.MaxConnections, &s.Connections)
	if s.Messages != nil {
		s.Messages.Senders = min(s.Messages.Senders, s.Connections)
	}
	r.number("connect-rate", &s.Connect.Rate)
	var rate float64
	if r.number("rate", &rate) {
		if rate == 0 {
			r.bad("rate", r.cmd.String("rate"), "a number per second above 0 and up to "+strconv.Itoa(scenario.MaxRate))
		}
		switch {
		case s.Messages != nil:
			s.Messages.Rate = rate
		case s.Broadcasts != nil:
			s.Broadcasts.Rate = rate
		case s.Churn != nil:
			s.Churn.Rate = rate
		default:
			r.fail("--rate: scenario %s has no messages, broadcasts or churn: --connect-rate is for connections", s.Name)
		}
	}
	hold := r.duration("hold", 0, scenario.MaxHold, (*time.Duration)(&s.Hold))
	if r.duration("duration", 0, scenario.MaxHold, (*time.Duration)(&s.Hold)) && hold {
		r.fail("--duration: is another name for --hold: set one of them")
	}
	var timeout, tick time.Duration
	if r.duration("expiry", time.Millisecond, scenario.MaxHold, &timeout) {
		if s.Expire == nil {
			s.Expire = &scenario.Expire{}
		}
		s.Expire.Timeout = scenario.Duration(timeout)
	}
	if r.duration("tick", time.Millisecond, time.Hour, &tick) {
		if s.Expire == nil {
			r.fail("--tick: is for runs with --expiry")
			return
		}
		s.Expire.Tick = scenario.Duration(tick)
	}
}

func (r *reader) fail(format string, args ...any) {
	if r.fault == nil {
		r.fault = usagef(format, args...)
	}
}

func (r *reader) server(o *options) {
	o.urls = r.urls("url", "ws", "wss")
	if len(o.urls) == 0 {
		r.fail("--url: needed: the server's, such as --url ws://127.0.0.1:8080/ws")
	}
	o.header = r.header("header")
	o.subprotocols = r.list("subprotocol")
	for _, p := range o.subprotocols {
		if p == "" || !printable(p, `"(),/:;<=>?@[\]{} `) {
			r.bad("subprotocol", p, "a name without spaces")
		}
	}
	o.insecure = r.cmd.Bool("insecure")
	r.duration("handshake-timeout", time.Millisecond, time.Hour, &o.handshake)
	o.sources = r.addresses("sources")
	o.broadcastURLs = r.urls("broadcast-url", "http", "https")
	o.broadcastToken = r.token("broadcast-token", "LOADTEST_BROADCAST_TOKEN")
	o.broadcastMessage, _ = r.text("broadcast-message")
	o.metrics = r.urls("metrics", "http", "https")
	for _, text := range r.list("server-pid") {
		pid, err := strconv.Atoi(text)
		if err != nil || pid < 1 {
			r.bad("server-pid", text, "a process id")
		}
		o.pids = append(o.pids, pid)
	}
}

// token reads a secret from its flag or, better, a variable.
func (r *reader) token(name, variable string) string {
	value, given := r.text(name)
	if !given {
		value = os.Getenv(variable)
	}
	if !printable(value, " ") {
		where := "--" + name
		if !given {
			where = variable
		}
		r.fail("%s: bad value (secret): must be printable ASCII without spaces", where)
	}
	return value
}

func (r *reader) workers(o *options) {
	o.workerToken = r.token("worker-token", "LOADTEST_WORKER_TOKEN")
	r.duration("max-lag", time.Microsecond, time.Hour, &o.limits.Lag)
	value, given := r.text("workers")
	switch n, err := strconv.Atoi(value); {
	case !given || value == "auto":
	case err == nil:
		if n < 1 || n > 1000 {
			r.bad("workers", value, "auto, a number from 1 to 1000, or host:port,... of workers")
		}
		o.workers = n
	default:
		for addr := range strings.SplitSeq(value, ",") {
			host, port, err := net.SplitHostPort(strings.TrimSpace(addr))
			if _, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil {
				r.bad("workers", value, "auto, a number from 1 to 1000, or host:port,... of workers")
			}
			o.remote = append(o.remote, strings.TrimSpace(addr))
		}
	}
}

// check finds the faults that no single flag has.
func (o *options) check() error {
	asks := len(o.broadcastURLs) > 0 || o.broadcastMessage != ""
	switch {
	case o.scenario.Broadcasts != nil && !asks:
		return usagef("--broadcast-url: scenario %s has broadcasts: say with --broadcast-url or --broadcast-message how they are asked for", o.scenario.Name)
	case o.scenario.Broadcasts == nil && asks:
		return usagef("--broadcast-url: scenario %s has no broadcasts", o.scenario.Name)
	case len(o.broadcastURLs) > 0 && o.broadcastMessage != "":
		return usagef("--broadcast-message: and --broadcast-url are both set: set one of them")
	case o.broadcastMessage != "" && !strings.Contains(o.broadcastMessage, loadtest.BroadcastPlace):
		return usagef("--broadcast-message: bad value %q: must contain %s", o.broadcastMessage, loadtest.BroadcastPlace)
	case len(o.metrics) > len(o.urls):
		return usagef("--metrics: %d of them for %d --url: must be at most one for each", len(o.metrics), len(o.urls))
	case len(o.pids) > len(o.urls):
		return usagef("--server-pid: %d of them for %d --url: must be at most one for each", len(o.pids), len(o.urls))
	case len(o.sources) > 0 && len(o.remote) > 0:
		return usagef("--sources: are addresses of this machine, and --workers names others: set one of them")
	case o.workers > o.scenario.Connections:
		return usagef("--workers: %d for %d connections: must be at most as many", o.workers, o.scenario.Connections)
	}
	return nil
}
