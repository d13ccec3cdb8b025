package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// link is the conversation with one worker.
type link struct {
	name    string
	remote  bool
	orders  *sender[order]
	answers chan answer // closed when the worker has gone
	stop    chan struct{}
	hangUp  func() error  // what end does, once
	offset  time.Duration // the worker's clock minus ours
	done    bool          // has said its last word
	heard   time.Time     // its latest word

	once sync.Once
	last error
}

// end ends the conversation, and the worker with it if it is a process of ours. It
// returns when that has ended, with what was wrong with it.
func (l *link) end() error {
	l.once.Do(func() {
		close(l.stop)
		l.last = l.hangUp()
	})
	return l.last
}

// gone is the error of a worker that has gone without a word.
func (l *link) gone(when string) error {
	if err := l.end(); err != nil {
		return fmt.Errorf("%s ended %s: %w", l.name, when, err)
	}
	return fmt.Errorf("%s ended %s", l.name, when)
}

// newLink talks by these streams; its reader ends when end has closed them.
func newLink(name string, orders io.Writer, answers io.Reader) *link {
	l := &link{name: name, orders: newSender[order](orders), answers: make(chan answer, 16), stop: make(chan struct{})}
	go receive(answers, l.answers, l.stop)
	return l
}

// endWait is how long a worker of ours has to end after its last word.
const endWait = 2 * time.Second

// local starts a worker process that talks by stdin and stdout. The end of ctx
// kills it.
func local(ctx context.Context, name string, command []string) (*link, error) {
	ctx, kill := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	said := &firstLine{}
	cmd.Stderr = said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		kill()
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		kill()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		kill()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	l := newLink(name, stdin, stdout)
	l.hangUp = func() error {
		defer kill()
		_ = stdin.Close()
		timer := time.AfterFunc(endWait, kill)
		defer timer.Stop()
		err := cmd.Wait()
		for range l.answers { // until its reader has ended
		}
		if text := said.String(); text != "" {
			return errors.New(text)
		}
		return err
	}
	return l, nil
}

// firstLine keeps the first line written to it, of what may be a long dump.
type firstLine struct {
	mu   sync.Mutex
	text []byte
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !bytes.Contains(f.text, []byte("\n")) && len(f.text) < 1000 {
		f.text = append(f.text, p...)
	}
	return len(p), nil
}

func (f *firstLine) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	line, _, _ := bytes.Cut(f.text, []byte("\n"))
	return string(line)
}

// reachWait is how long a worker on another machine has to take the conversation.
const reachWait = 5 * time.Second

// remote reaches a worker on another machine. The end of reaching gives up before it has
// answered, that of ctx ends the conversation.
func remote(reaching, ctx context.Context, addr, token string) (*link, error) {
	body, orders := io.Pipe()
	ctx, stop := context.WithCancel(ctx)
	cancel := func() {
		_ = orders.Close() // or the transport would wait for more of it
		stop()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+runPath, body)
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/jsonl")
	response, err := reach(reaching, request, cancel)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("worker %s: %w", addr, err)
	}
	l := newLink(addr, orders, response.Body)
	l.remote = true
	l.hangUp = func() error {
		cancel()
		_ = response.Body.Close()
		for range l.answers {
		}
		return nil
	}
	return l, nil
}

// reach returns a worker's answer, the beginning of the conversation, or calls giveUp. The
// transport's timeout of headers would not do: it begins when the request's body ends.
func reach(ctx context.Context, request *http.Request, giveUp func()) (*http.Response, error) {
	transport := &http.Transport{
		DialContext:       (&net.Dialer{Timeout: reachWait}).DialContext,
		DisableKeepAlives: true,
	}
	ctx, reached := context.WithTimeout(ctx, reachWait)
	defer reached()
	defer context.AfterFunc(ctx, giveUp)()
	response, err := transport.RoundTrip(request)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("no answer: %w", context.Cause(ctx))
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return response, nil
}

// clocks is how often a worker on another machine is asked the time; the answer
// that came soonest tells it best.
const clocks = 8

// synchronize finds out how a worker's clock differs from ours.
func (l *link) synchronize(ctx context.Context) error {
	best := time.Duration(-1)
	for range clocks {
		asked := time.Now()
		if err := l.orders.send(order{Clock: true}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a, ok := <-l.answers:
			if !ok || a.Clock == nil {
				return errors.New("it does not tell the time")
			}
			if trip := time.Since(asked); best < 0 || trip < best {
				best, l.offset = trip, a.Clock.Sub(asked.Round(0).Add(trip/2))
			}
		}
	}
	return nil
}
