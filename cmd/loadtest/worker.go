package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest/fleet"
)

func workerCommand(s streams) *cli.Command {
	return &cli.Command{
		Name:  "worker",
		Usage: "work for a run that is led from another machine",
		Flags: []cli.Flag{
			text("listen", "host:port to take jobs at; off loopback only with a token"),
			text("token", "bearer token that is asked for; a flag shows in the process list, so rather set LOADTEST_WORKER_TOKEN"),
			&cli.BoolFlag{Name: "stdio", Hidden: true, Usage: "talk by stdin and stdout, for the process that started it"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			r := &reader{cmd: cmd}
			token := r.token("token", "LOADTEST_WORKER_TOKEN")
			listen, given := r.text("listen")
			switch {
			case r.fault != nil:
				return r.fault
			case cmd.Args().Present():
				return usagef("worker: unexpected argument %q: see loadtest worker --help", cmd.Args().First())
			case cmd.Bool("stdio"):
				return workForParent(ctx, s)
			case !given:
				return usagef("--listen: needed: where jobs are taken, such as --listen 127.0.0.1:7070")
			}
			return serveWorker(ctx, s, listen, token)
		},
	}
}

// workForParent does the one job that comes by stdin. A Ctrl-C on the terminal
// goes to the whole group of processes, and is for the parent to act on.
func workForParent(ctx context.Context, s streams) error {
	signal.Ignore(os.Interrupt)
	return fleet.Work(ctx, s.in, s.out)
}

// serveWorker takes jobs until the first SIGTERM or SIGINT, ends the one under way
// in order then, and ends at once at the second.
func serveWorker(ctx context.Context, s streams, listen, token string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return usagef("--listen: bad value %q: must be host:port", listen)
	}
	if ip := net.ParseIP(host); token == "" && host != "localhost" && !ip.IsLoopback() {
		return usagef("--listen: %q is not a loopback address: set LOADTEST_WORKER_TOKEN or --token, or listen on 127.0.0.1", listen)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return usagef("--listen: %s", oneLine(err))
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{
		Handler: fleet.Handler(token), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	fmt.Fprintln(s.err, "loadtest: taking jobs at", l.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		stop() // a second signal ends at once
		last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = server.Shutdown(last)
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
