// Command wheelgate runs a WebSocket gateway whose sessions expire by a timing
// wheel. This package owns the process: settings, listeners, signals, exit codes;
// what happens to a session is in package gateway.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v3"
)

// Exit codes; that of a second signal is 128 and its number.
const (
	exitDone    = 0 // a drain that ended, help, version, config
	exitFailure = 1 // the system said no: a port taken
	exitUsage   = 2 // a bad flag, value or variable, or a bad file that one of them names
)

// exitCode is an error that has been reported already.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() {
	signal.Ignore(syscall.SIGHUP) // from the start, which may take filePatience for each file
	os.Exit(run(context.Background(), os.Args, os.Environ(), os.Stdout, os.Stderr))
}

// run is the whole program: it returns the exit code, and before that only when
// all it started has ended, unless a second signal asks for less. The end of ctx
// is like a first SIGTERM. Logs and the one line of an error go to stderr, which may
// stall: it delays nothing but the end, by logPatience at most.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	out := newLogWriter(stderr)
	defer out.close()
	defer log.SetOutput(log.Writer())
	log.SetOutput(out) // libraries that print
	err := newCommand(environ, stdout, out).Run(ctx, args)
	code, usage := exitCode(0), usageError("")
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(out, "wheelgate:", err)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

const (
	usageText = `wheelgate [settings]            serve until SIGTERM or SIGINT, then drain
wheelgate [settings] config     print the effective settings and their sources`
	description = `Every setting is a flag, a variable and a line of the .env file. Flags win over
variables, variables over the file, the file over the defaults. An empty value is
an error, except where it means "none". Unknown WHEELGATE_ variables are errors.`
)

// newCommand describes the command line. cli prints help and the version; it
// neither prints errors nor exits, and it reads no variable: resolve does.
func newCommand(environ []string, stdout io.Writer, stderr *logWriter) *cli.Command {
	flags := newFlags()
	type reading = func(context.Context) (*resolved, error)
	action := func(do func(context.Context, *resolved, reading) error) cli.ActionFunc {
		return func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usagef("unexpected argument %s: see wheelgate --help", quote(cmd.Args().First()))
			}
			again := func(ctx context.Context) (*resolved, error) { return resolve(ctx, flagTexts(flags), environ) }
			r, err := again(ctx)
			if err != nil {
				return err
			}
			return do(ctx, r, again)
		}
	}
	return &cli.Command{
		Name:            "wheelgate",
		Usage:           "a WebSocket gateway whose sessions expire by a timing wheel",
		UsageText:       usageText,
		Description:     description,
		Version:         buildVersion(),
		Flags:           flags,
		HideHelpCommand: true,
		Writer:          stdout,
		ErrWriter:       stderr,
		OnUsageError:    onUsageError,
		ExitErrHandler:  func(context.Context, *cli.Command, error) {},
		Action: action(func(ctx context.Context, r *resolved, again reading) error {
			defer zerolog.SetGlobalLevel(zerolog.GlobalLevel())
			setLogLevel(&r.options) // before the first line
			return serveUntilSignal(ctx, &r.options, newLive(r, again, stderr))
		}),
		Commands: []*cli.Command{{
			Name:            "config",
			Usage:           "print the effective settings and their sources",
			HideHelpCommand: true,
			OnUsageError:    onUsageError,
			Action:          action(func(_ context.Context, r *resolved, _ reading) error { return r.writeConfig(stdout) }),
		}},
	}
}
