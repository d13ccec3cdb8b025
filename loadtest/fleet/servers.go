package fleet

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/wheelgate/wheelgate/loadtest/probe"
	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Server is where to look at one target.
type Server struct {
	PID     int    // 0: not on this machine, or unknown
	Metrics string // URL of its metrics; ""
}

// probe looks at the machine at once, before anybody connects, and at it and the
// servers once a second, from the start on, and once more at the end.
func (c *coordinator) probe(ctx context.Context) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	c.lookAtKernel()
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(c.start)):
	}
	for {
		c.look(client)
		select {
		case <-ctx.Done():
			c.look(client)
			return
		case <-second.C:
		}
	}
}

func (c *coordinator) look(client *http.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var looking sync.WaitGroup
	for i, s := range c.Servers {
		if s.PID != 0 || s.Metrics != "" {
			looking.Go(func() { c.lookAt(ctx, client, i, s) })
		}
	}
	looking.Wait()
	c.lookAtKernel()
	c.self(&record.Sample{})
}

func (c *coordinator) lookAtKernel() {
	k := probe.OfKernel()
	c.Emit(record.Line{Server: &record.Server{
		At: max(0, time.Since(c.start)), Target: record.WholeMachine,
		SocketMemory: k.SocketMemory, Slab: k.Slab, Sockets: k.Sockets,
	}})
}

// lookAt emits what can be seen of one server; a scrape that fails is left out.
func (c *coordinator) lookAt(ctx context.Context, client *http.Client, target int, s Server) {
	line := &record.Server{Target: target}
	if s.Metrics != "" {
		if values, err := probe.Scrape(ctx, client, s.Metrics); err == nil {
			line.Metrics = values
		}
	}
	if s.PID != 0 {
		p := probe.Process(s.PID)
		if n, ok := line.Metrics["go_goroutines"]; ok {
			p.Goroutines = int(n)
		}
		line.Process = &p
	}
	line.At = time.Since(c.start)
	c.Emit(record.Line{Server: line})
}
