//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	warmUp     = 2_000  // sessions that come and go before the first figure
	lightTimes = 3      // messages that each session echoes and receives before memory is read
	ahead      = 4      // back-to-back broadcasts on their way at a time
	pacedRate  = 10_000 // deliveries a second
	fewer      = 100    // receivers of the frequent broadcasts
)

// figures are one server's, by figure.key: what was measured in one turn after another.
type figures map[string][]float64

func (f figures) add(key string, v float64) { f[key] = append(f[key], v) }

// measurement is one server under measurement.
type measurement struct {
	*process
	o          options
	turn       func() error // returns when it is this server's turn: the last one is over
	all        *crowd
	f          figures
	memory     float64 // at the start, as the next two
	anonymous  float64
	goroutines float64
}

// measure starts t, takes all figures and stops it.
func measure(ctx context.Context, t target, o options, cores []int, turn func() error) (figures, error) {
	if err := turn(); err != nil {
		return nil, err
	}
	p, err := start(ctx, t, cores)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	m := &measurement{process: p, o: o, turn: turn, f: figures{}}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"warming up", m.warmUp},
		{"connecting", m.connect},
		{"memory", m.idle},
		{"echo", m.echo},
		{"broadcast", m.broadcast},
		{"leaving", m.leave},
	} {
		if err := step.run(ctx); err != nil {
			if m.all != nil {
				m.all.close()
			}
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return m.f, nil
}

// spend returns the processor time that the server takes for do, in microseconds.
func (m *measurement) spend(do func() error) (float64, error) {
	before := m.cpu()
	err := do()
	return float64((m.cpu() - before).Nanoseconds()) / 1e3, err
}

// repeat adds what the server takes for each of n messages in do to the figure, in a
// turn of its own each time.
func (m *measurement) repeat(key string, n int, do func() error) error {
	for range m.o.repeats {
		if err := m.turn(); err != nil {
			return err
		}
		cpu, err := m.spend(do)
		if err != nil {
			return err
		}
		m.f.add(key, cpu/float64(n))
	}
	return nil
}

// warmUp has some sessions do everything and leave, so that the start is that of a
// server whose code and pools are in memory. Frequent broadcasts to few are
// measured here, as long as there are few.
func (m *measurement) warmUp(ctx context.Context) (err error) {
	files := m.descriptors()
	for _, n := range []int{warmUp, fewer} {
		if m.all, err = newCrowd(m.listen); err != nil {
			return err
		}
		if err := m.all.connect(ctx, n); err != nil {
			return err
		}
		if err := m.light(ctx); err != nil {
			return err
		}
		if n == fewer {
			if err := m.paced(ctx, "few"); err != nil {
				return err
			}
		}
		m.all.close()
		if err := m.awaitGone(ctx, files); err != nil {
			return err
		}
	}
	if m.memory, m.anonymous, err = m.collect(ctx); err != nil {
		return err
	}
	m.f.add("start", m.memory)
	m.goroutines, err = m.process.goroutines(ctx)
	return err
}

// light makes all sessions echo and receive a little.
func (m *measurement) light(ctx context.Context) error {
	if err := m.all.echoAll(ctx, lightTimes); err != nil {
		return err
	}
	return m.all.broadcast(ctx, lightTimes, 1, 0, m.post(ctx))
}

func (m *measurement) post(ctx context.Context) func() error {
	return func() error {
		_, err := m.call(ctx, http.MethodPost, m.admin+"/v1/broadcast", m.all.payload)
		return err
	}
}

// paced broadcasts at pacedRate deliveries a second.
func (m *measurement) paced(ctx context.Context, key string) error {
	n := len(m.all.clients)
	interval := time.Duration(n) * time.Second / pacedRate
	times := max(2, int(m.o.paced/interval))
	return m.repeat(key, n*times, func() error { return m.all.broadcast(ctx, times, times, interval, m.post(ctx)) })
}

// connect opens the connections, a part of them in each turn.
func (m *measurement) connect(ctx context.Context) (err error) {
	if m.all, err = newCrowd(m.listen); err != nil {
		return err
	}
	for i := range m.o.repeats {
		if err := m.turn(); err != nil {
			return err
		}
		until, began := m.o.n*(i+1)/m.o.repeats, time.Now()
		n := float64(until - m.all.up)
		cpu, err := m.spend(func() error { return m.all.connect(ctx, until) })
		if err != nil {
			return err
		}
		m.f.add("handshake", cpu/n)
		m.f.add("rate", n/time.Since(began).Seconds())
	}
	return nil
}

// idle reads what n sessions cost that have talked and are silent now.
func (m *measurement) idle(ctx context.Context) error {
	if err := m.turn(); err != nil {
		return err
	}
	if err := m.light(ctx); err != nil {
		return err
	}
	memory, anonymous, err := m.collect(ctx)
	if err != nil {
		return err
	}
	goroutines, err := m.process.goroutines(ctx)
	if err != nil {
		return err
	}
	n := float64(m.o.n)
	m.f.add("memory", (memory-m.memory)/n)
	m.f.add("anonymous", (anonymous-m.anonymous)/n)
	m.f.add("goroutines", (goroutines-m.goroutines)/n)
	cpu, err := m.spend(func() error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(m.o.idle):
			return nil
		}
	})
	m.f.add("idle", cpu/1e4/m.o.idle.Seconds())
	return err
}

func (m *measurement) echo(ctx context.Context) error {
	err := m.repeat("echo", m.o.messages, func() error { return m.all.echoBusy(ctx, m.o.busy, m.o.messages) })
	if err != nil {
		return err
	}
	paced := int(pacedRate * m.o.paced.Seconds())
	return m.repeat("pacedEcho", paced, func() error { return m.all.echoPaced(ctx, m.o.busy, pacedRate, m.o.paced) })
}

func (m *measurement) broadcast(ctx context.Context) error {
	err := m.repeat("broadcast", m.o.broadcasts*m.o.n, func() error {
		return m.all.broadcast(ctx, m.o.broadcasts, ahead, 0, m.post(ctx))
	})
	if err != nil {
		return err
	}
	return m.paced(ctx, "paced")
}

// leave closes all connections and reads what is left of them.
func (m *measurement) leave(ctx context.Context) error {
	if err := m.turn(); err != nil {
		return err
	}
	files := m.descriptors() - m.o.n
	m.all.close()
	if err := m.awaitGone(ctx, files); err != nil {
		return err
	}
	memory, _, err := m.collect(ctx)
	m.f.add("left", memory)
	m.f.add("leftRatio", memory/m.memory)
	return err
}

// awaitGone returns when the server has closed what was opened since it had files.
func (m *measurement) awaitGone(ctx context.Context, files int) error {
	const spare = 16 // of the administration, and of loops that begin with the first connection
	err := m.await(ctx, "rid of all connections", func() bool { return m.descriptors() <= files+spare })
	time.Sleep(200 * time.Millisecond) // for goroutines to end
	return err
}
