// Command loadtest puts load on a WebSocket server and reports how it bore it.
// This package owns the process: flags, files, signals, exit codes; what a run
// does is in package loadtest and those below it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v3"
)

// Exit codes; that of a second signal is 128 and its number.
const (
	exitDone    = 0
	exitFailure = 1 // an objective broken, a run invalid, interrupted or failed midway
	exitUsage   = 2 // nothing was run: a bad flag or file, a server that does not answer
)

// exitCode is an error that has been reported already.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is why nothing was run, in one line that begins with what is at fault.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

func main() {
	os.Exit(run(context.Background(), os.Args, streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are the program's.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole program: it returns the exit code. The end of ctx is like a
// first SIGTERM.
func run(ctx context.Context, args []string, s streams) int {
	err := newCommand(s).Run(ctx, args)
	code, usage := exitCode(0), usageError("")
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(s.err, "loadtest:", oneLine(err))
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

const description = `Scenarios are ready-made ones by name, or files in YAML or JSON; see
"loadtest scenarios". A run writes raw records; the report is made from them.

Exit codes: 0 all is well; 1 an objective was broken, the run was interrupted,
failed midway, lost all its connections, or is invalid since the tool itself was
the bottleneck; 2 nothing was run.`

// newCommand describes the command line. cli prints help and the version; it
// neither prints errors nor exits.
func newCommand(s streams) *cli.Command {
	c := &cli.Command{
		Name:        "loadtest",
		Usage:       "put load on a WebSocket server and report how it bore it",
		Description: description,
		Version:     buildVersion(),
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usagef("unknown command %q: see loadtest --help", cmd.Args().First())
			}
			return cli.ShowAppHelp(cmd)
		},
		Commands: []*cli.Command{runCommand(s), capacityCommand(s), reportCommand(s), compareCommand(s), scenariosCommand(s), workerCommand(s)},
	}
	quietly(c, s)
	return c
}

// badFlag is cli's error about a flag in the words of all others.
func badFlag(command string, err error) error {
	text := oneLine(err)
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return usagef("--%s: no flag of %s: see %s --help", strings.TrimLeft(name, "-"), command, command)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: "); ok {
		return usagef("--%s: needs a value: see %s --help", strings.TrimLeft(name, "-"), command)
	}
	return usagef("%s", text)
}

// quietly keeps cli from printing errors and help by itself, in all commands.
func quietly(c *cli.Command, s streams) {
	c.HideHelpCommand = true
	c.DisableSliceFlagSeparator = true // headers hold commas; the other lists are split here
	c.Writer, c.ErrWriter = s.out, s.err
	c.OnUsageError = func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
		return badFlag(cmd.FullName(), err)
	}
	c.ExitErrHandler = func(context.Context, *cli.Command, error) {}
	for _, sub := range c.Commands {
		quietly(sub, s)
	}
}
