package loadtest

import (
	"context"
	"fmt"
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
			return fmt.Errorf("%s: %w", url, context.Cause(ctx))
		case err := <-h:
			if err != nil {
				return &ConnectError{url, err}
			}
		}
	}
	return nil
}

// ConnectError is a server that does not let a client in.
type ConnectError struct {
	URL string
	Err *client.Error
}

func (e *ConnectError) Error() string { return fmt.Sprintf("cannot connect to %s: %v", e.URL, e.Err) }

// Unwrap returns the client's error.
func (e *ConnectError) Unwrap() error { return e.Err }

// trial receives the outcome of each handshake.
type trial chan *client.Error

func (t trial) Opened(c *client.Conn, _, _ time.Duration) {
	t <- nil
	c.Close(1000, "")
}

func (t trial) Failed(_ *client.Conn, err *client.Error) { t <- err }

func (trial) Message(*client.Conn, client.Opcode, []byte, time.Time) {}

func (trial) Closed(*client.Conn, int, string, *client.Error, time.Time) {}
