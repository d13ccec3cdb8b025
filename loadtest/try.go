package loadtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/client"
)

// Try connects once to each target and leaves again: its error is the reason why
// a run would make no sense.
func (j *Job) Try(ctx context.Context) error {
	targets, err := j.dials()
	if err != nil {
		return err
	}
	config := j.config()
	config.Loops = 1
	h := make(trial, 2*len(targets))
	crowd, err := client.New(config, h)
	if err != nil {
		return err
	}
	defer crowd.Close()
	loop := crowd.Loops()[0]
	for i, url := range j.Targets {
		loop.Post(func() { loop.Dial(targets[i], i) })
		select {
		case <-ctx.Done():
			return fmt.Errorf("url: %s: %w", url, context.Cause(ctx))
		case err := <-h:
			if err != nil {
				return fmt.Errorf("url: cannot connect to %s: %w", url, err)
			}
		}
	}
	return nil
}

// trial receives the outcome of each handshake.
type trial chan error

func (t trial) Opened(c *client.Conn, _, _ time.Duration) {
	t <- nil
	c.Close(1000, "")
}

func (t trial) Failed(_ *client.Conn, err *client.Error) { t <- errors.New(describe(err)) }

func (trial) Message(*client.Conn, client.Opcode, []byte, time.Time) {}

func (trial) Closed(*client.Conn, int, string, *client.Error) {}

// describe is a failed handshake in a few words.
func describe(err *client.Error) string {
	if err.Err == nil || strings.Contains(err.Err.Error(), err.Kind) {
		return err.Kind
	}
	return err.Kind + ": " + err.Err.Error()
}
