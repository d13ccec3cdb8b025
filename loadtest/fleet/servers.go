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

// before is what the machine and the servers' processes have before anybody connects:
// what the sessions take is told as growth from there. Scrapes would take too long.
func (c *coordinator) before() []record.Line {
	all := []record.Line{kernel(0)}
	for i, s := range c.Servers {
		if s.PID != 0 {
			p := probe.Process(s.PID)
			all = append(all, record.Line{Server: &record.Server{Target: i, Process: &p}})
		}
	}
	return all
}

// probe looks at the machine and the servers once a second, from the start on, and once
// more at the end.
func (c *coordinator) probe(ctx context.Context) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	second := time.NewTicker(time.Second)
	defer second.Stop()
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
	c.Emit(kernel(c.now()))
	c.self(&record.Sample{})
}

// kernel is what the machine has now, so long after the start.
func kernel(at time.Duration) record.Line {
	k := probe.OfKernel()
	return record.Line{Server: &record.Server{
		At: at, Target: record.WholeMachine, SocketMemory: k.SocketMemory, Slab: k.Slab, Sockets: k.Sockets,
	}}
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
	line.At = c.now()
	c.Emit(record.Line{Server: line})
}
