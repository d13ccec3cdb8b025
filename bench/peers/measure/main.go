//go:build linux

// Command measure compares wheelgate with other WebSocket servers, each in a
// process of its own, and prints a table. README.md says what is measured and how.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	n, busy, messages, broadcasts, repeats, rounds int
	paced, idle                                    time.Duration
	impls                                          []string
	pinned                                         bool
}

// clientThreads may run Go code at a time, also on one core: so a POST need not
// wait for epoll.
const clientThreads = 2

func init() {
	// The main thread starts the servers, on their core, and outlives them: they
	// are killed when it ends.
	runtime.LockOSThread()
}

func main() {
	o := parseFlags()
	if v := os.Getenv(playerVar); v != "" {
		play(o, v)
		return
	}
	cores, err := usableCores()
	if o.pinned {
		cores, err = pinSelf()
	}
	if err != nil {
		fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, cores)
	stop()
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "measure:", err)
	os.Exit(1)
}

func parseFlags() options {
	var o options
	flag.IntVar(&o.n, "n", 10_000, "sessions per server")
	flag.IntVar(&o.busy, "busy", 200, "sessions that echo at a time, one message each")
	flag.IntVar(&o.messages, "messages", 50_000, "messages echoed in a turn")
	flag.IntVar(&o.broadcasts, "broadcasts", 12, "broadcasts back to back in a turn")
	flag.DurationVar(&o.paced, "paced", time.Second, "duration of the paced echoes, and broadcasts, in a turn")
	flag.DurationVar(&o.idle, "idle", 3*time.Second, "duration of the idle measurement")
	flag.IntVar(&o.repeats, "repeats", 6, "turns that a server has for each CPU cost")
	flag.IntVar(&o.rounds, "rounds", 2, "times that all is done, with servers started anew")
	flag.BoolVar(&o.pinned, "pinned", false, "a core for the server and one for the client, instead of all cores for both")
	impls := flag.String("impls", "gws,gws1k,gorilla,nbio,wheelgate", "servers, in order; wheelgate is each of its transports, wheelgate=DIR another checkout of it")
	short := flag.Bool("short", false, "a quick look: 2,000 sessions, a fifth of the messages, two turns, one round")
	flag.Parse()
	if *short {
		o.n, o.messages, o.broadcasts, o.repeats, o.rounds = 2_000, 10_000, 6, 2, 1
		o.paced, o.idle = time.Second, time.Second
	}
	o.impls = strings.Split(*impls, ",")
	o.busy = min(o.busy, o.n)
	return o
}

// run measures every server in every round and prints the report.
func run(ctx context.Context, o options, cores []int) error {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	targets, err := buildAll(ctx, dir, o.impls, cores)
	if err != nil {
		return err
	}
	r := newReport(o, cores, targets)
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, o.rounds)
		if err := playRound(ctx, targets, cores, r); err != nil {
			return err
		}
	}
	r.print(os.Stdout)
	if slices.ContainsFunc(targets, func(t target) bool { return r.failed[t.Name] != nil }) {
		return fmt.Errorf("not all could be measured")
	}
	return nil
}
