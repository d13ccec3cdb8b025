package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/fleet"
	"github.com/wheelgate/wheelgate/loadtest/probe"
	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/report"
)

func runCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "run a scenario, ready-made or from a file", ArgsUsage: "SCENARIO|FILE",
		Flags: runFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			o, err := readOptions(cmd)
			if err != nil {
				return err
			}
			return runScenario(ctx, o, s)
		},
	}
}

// runScenario runs and reports. A first SIGINT or SIGTERM ends the run in order, a
// second one at once and without a report. One that comes when the run has ended does
// what signals do: a report that hangs can be left.
func runScenario(ctx context.Context, o *options, s streams) error {
	ctx, kill, release := withSignals(ctx)
	defer release()
	if err := o.judge.check(o.out); err != nil {
		return err
	}
	file, err := newRecordFile(o.out)
	if err != nil {
		return err
	}
	defer file.close()
	err = o.execute(ctx, kill, file, s)
	release()
	if err != nil {
		return err
	}
	run, err := report.Read(file.read())
	if err != nil {
		return fmt.Errorf("the raw records: %w", err)
	}
	return errors.Join(file.lost(), o.judge.report(run, s))
}

// execute runs and records, and returns when all has ended that it started. Its
// error is why there is no record; a run that failed midway has one.
func (o *options) execute(ctx, kill context.Context, file *recordFile, s streams) error {
	config, err := o.config()
	if err != nil {
		return err
	}
	if err := config.Job.Try(ctx); err != nil {
		return unbegun(ctx, usagef("--url: %s", o.explain(err)))
	}
	config.Servers = o.servers()
	if err := o.look(ctx, config.Servers); err != nil {
		return unbegun(ctx, err)
	}
	shown := newProgress(o, s.err)
	config.Emit = func(line record.Line) {
		file.Write(line)
		shown.observe(line)
	}
	_, err = fleet.Run(ctx, kill, config)
	shown.end()
	if code := exitCode(0); errors.As(context.Cause(kill), &code) {
		return code
	}
	if err != nil { // a *fleet.SetupError
		return unbegun(ctx, err)
	}
	if err := file.Err(); err != nil {
		return fmt.Errorf("the raw records: %w", err)
	}
	return nil
}

// unbegun is why there was no run.
func unbegun(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted before the run began")
	}
	return usagef("%s", oneLine(err))
}

// withSignals returns contexts that end at the first and second signal; the cause
// of the second's end is the exit code. After release, which may be called again, signals
// do what they did before.
func withSignals(parent context.Context) (ctx, kill context.Context, release func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	kill, killed := context.WithCancelCause(context.WithoutCancel(parent))
	ctx, stop := context.WithCancel(parent)
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case got := <-signals:
				if ctx.Err() != nil {
					number, _ := got.(syscall.Signal)
					killed(exitCode(128 + int(number)))
				}
				stop()
			}
		}
	}()
	return ctx, kill, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(ended)
		stop()
		killed(nil)
	})
}

// config is the run as the fleet takes it.
func (o *options) config() (fleet.Config, error) {
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	job := loadtest.Job{
		Run: hex.EncodeToString(id[:]), Scenario: o.scenario, Targets: o.urls, Header: o.header,
		Subprotocols: o.subprotocols, Insecure: o.insecure, Sources: o.sources, HandshakeTimeout: o.handshake,
		BroadcastMessage: o.broadcastMessage, Limits: o.limits,
	}
	c := fleet.Config{
		Job: job, Remote: o.remote, Token: o.workerToken,
		Header: record.Header{Command: withoutSecrets(os.Args), Tool: buildVersion(), Machine: probe.Machine()},
	}
	for _, url := range o.urls {
		c.Header.Targets = append(c.Header.Targets, withoutValues(url))
	}
	if e := o.scenario.Expire; e != nil {
		c.Header.Expiry, c.Header.Tick = e.Timeout.Std(), e.Tick.Std()
	}
	if len(o.broadcastURLs) > 0 {
		c.Trigger = &fleet.Trigger{URLs: o.broadcastURLs, Token: o.broadcastToken}
	}
	if len(o.remote) > 0 {
		return c, nil
	}
	if len(o.sources) == 0 {
		c.Job.Sources = loopbackSources(o.urls, o.scenario.Connections)
	}
	program, err := os.Executable()
	if err != nil {
		return c, err
	}
	c.Command = []string{program, "worker", "--stdio"}
	c.Local, err = o.localWorkers()
	return c, err
}

// withoutSecrets is a command line that may be kept in a file.
func withoutSecrets(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		flag, _, joined := strings.Cut(args[i], "=")
		switch strings.TrimLeft(flag, "-") {
		case "worker-token", "broadcast-token", "header":
			kept = append(kept, flag, "(hidden)")
			if !joined {
				i++
			}
		default:
			kept = append(kept, withoutValues(args[i]))
		}
	}
	return kept
}

// withoutValues hides what the queries of URLs say, which may be tokens, and leaves the
// names. Text without a URL stays as it is; several have commas between them.
func withoutValues(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	urls := strings.Split(text, ",")
	for i, url := range urls {
		before, query, has := strings.Cut(url, "?")
		if !has {
			continue
		}
		parts := strings.Split(query, "&")
		for n, part := range parts {
			parts[n] = "(hidden)"
			if name, _, has := strings.Cut(part, "="); has {
				parts[n] = name + "=(hidden)"
			}
		}
		urls[i] = before + "?" + strings.Join(parts, "&")
	}
	return strings.Join(urls, ",")
}

// localWorkers is how many processes the descriptors ask for, or what was asked
// for if that is enough.
func (o *options) localWorkers() (int, error) {
	limit, used := probe.Descriptors()
	room := int(min(limit, 1<<30)) - used - loadtest.Spare
	if room < 1 {
		return 0, usagef("--connections: the limit of %d descriptors per process leaves no room: raise RLIMIT_NOFILE (ulimit -n)", limit)
	}
	needed := (o.scenario.Connections + room - 1) / room
	switch {
	case o.workers == 0:
		return needed, nil
	case o.workers < needed:
		return 0, usagef("--workers: %d have descriptors for %d connections (the limit is %d per process), not %d: must be at least %d, or raise RLIMIT_NOFILE (ulimit -n)",
			o.workers, o.workers*room, limit, o.scenario.Connections, needed)
	}
	return o.workers, nil
}

// look says what cannot be seen of what the user asked to look at, before a run that
// would be without it.
func (o *options) look(ctx context.Context, servers []fleet.Server) error {
	for _, pid := range o.pids {
		if probe.Process(pid).RSS < 0 {
			return usagef("--server-pid: bad value \"%d\": must be a process of this machine that can be looked at (/proc)", pid)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, s := range servers {
		if s.Metrics == "" {
			continue
		}
		if _, err := probe.Scrape(ctx, client, s.Metrics); err != nil {
			return usagef("--metrics: %s", oneLine(err))
		}
	}
	return nil
}

// servers is where to look at the targets: those of this machine are found by
// their port.
func (o *options) servers() []fleet.Server {
	servers := make([]fleet.Server, len(o.urls))
	for i, text := range o.urls {
		if i < len(o.metrics) {
			servers[i].Metrics = o.metrics[i]
		}
		if i < len(o.pids) {
			servers[i].PID = o.pids[i]
			continue
		}
		if addr, ok := loopback(text); ok {
			servers[i].PID, _ = probe.Listener(addr) // 0: it may be another user's
		}
	}
	return servers
}
