//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
)

// All servers of a round are up together, each with a client process of its own, for
// the sake of descriptors: a player. Only the one whose turn it is does anything, and
// all do the same one after another. So what a shared machine is like at the time
// (and it changes within seconds, by half) is the same for what is compared.

// playerVar has what a process needs to be a player, in JSON.
const playerVar = "PEERS_PLAYER"

// part is what a player is told.
type part struct {
	Target target
	Cores  []int
}

// said is a line that a player writes: it wants its next turn, or is done.
type said struct {
	Figures figures `json:",omitempty"`
	Failed  string  `json:",omitempty"`
}

func (s said) done() bool { return s.Figures != nil || s.Failed != "" }

// play is a player's life: it writes a line for each turn that it wants and goes on
// when it reads one.
func play(o options, v string) {
	var p part
	if err := json.Unmarshal([]byte(v), &p); err != nil {
		fatal(fmt.Errorf("%s: %w", playerVar, err))
	}
	runtime.GOMAXPROCS(clientThreads)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out, in := json.NewEncoder(os.Stdout), bufio.NewReader(os.Stdin)
	f, err := measure(ctx, p.Target, o, p.Cores, func() error {
		if err := out.Encode(said{}); err != nil {
			return err
		}
		_, err := in.ReadString('\n')
		return err
	})
	last := said{Figures: f}
	if err != nil {
		last = said{Failed: err.Error()}
	}
	if err := out.Encode(last); err != nil {
		fatal(err)
	}
}

// player is such a process, seen from the one that gives the turns.
type player struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
}

func startPlayer(t target, cores []int) (*player, error) {
	told, err := json.Marshal(part{t, cores})
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &player{name: t.Name, cmd: exec.Command(self, os.Args[1:]...)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), playerVar+"="+string(told)), os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	own, err := usableCores()
	if err != nil {
		return nil, err
	}
	return p, startOn(own, p.cmd)
}

// await returns what p says when its turn is over.
func (p *player) await() (s said, err error) {
	if err := p.out.Decode(&s); err != nil {
		return s, fmt.Errorf("the client of %s: %w", p.name, err)
	}
	return s, nil
}

// end waits for p to exit.
func (p *player) end() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// playRound measures all targets side by side.
func playRound(ctx context.Context, targets []target, cores []int, r *report) error {
	var players []*player
	defer func() {
		for _, p := range players {
			p.end()
		}
	}()
	for _, t := range targets {
		p, err := startPlayer(t, cores)
		if err != nil {
			return err
		}
		players = append(players, p)
		if _, err := p.await(); err != nil { // it wants its first turn
			return err
		}
	}
	playing := slices.Clone(players)
	for turn := 0; len(playing) > 0; turn++ {
		// Each is the first and the last of a turn as often.
		order := slices.Concat(playing[turn%len(playing):], playing[:turn%len(playing)])
		if turn/len(playing)%2 == 1 {
			slices.Reverse(order)
		}
		for _, p := range order {
			over, err := p.take(r)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return err
			}
			if over {
				playing = slices.DeleteFunc(playing, func(q *player) bool { return p == q })
			}
		}
	}
	return nil
}

// take gives p a turn, and reports whether it was the last.
func (p *player) take(r *report) (over bool, err error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return false, fmt.Errorf("the client of %s: %w", p.name, err)
	}
	s, err := p.await()
	if err != nil || !s.done() {
		return false, err
	}
	if s.Failed != "" {
		r.add(p.name, nil, errors.New(s.Failed))
	} else {
		r.add(p.name, s.Figures, nil)
	}
	return true, nil
}
