//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settle is how long a server has to start, or to notice that all have left.
const settle = 20 * time.Second

// process is a running server.
type process struct {
	*exec.Cmd
	listen, admin, probe string
	http                 *http.Client
	ended                chan struct{}
}

// start starts t on cores and waits until it answers.
func start(ctx context.Context, t target, cores []int) (*process, error) {
	addrs, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	p := &process{
		listen: addrs[0], admin: addrs[1], probe: addrs[2],
		http: &http.Client{Timeout: time.Minute}, ended: make(chan struct{}),
	}
	p.Cmd = t.command(p.listen, p.admin)
	p.Env, p.Stderr = append(serverEnv(), "PEERS_PROBE="+p.probe), os.Stderr
	if err := startOn(cores, p.Cmd); err != nil {
		return nil, err
	}
	go func() { _ = p.Wait(); close(p.ended) }()
	if err := p.awaitReady(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// serverEnv is the environment without settings that would change a server.
func serverEnv() (env []string) {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "WHEELGATE_"), name == "SESSION_TIMEOUT_MINUTES",
			name == "GOGC", name == "GOMEMLIMIT", name == "GOMAXPROCS", name == "GODEBUG":
		default:
			env = append(env, v)
		}
	}
	return env
}

// freeAddresses returns loopback addresses whose ports were free just now.
func freeAddresses(n int) (addrs []string, err error) {
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs, nil
}

// awaitReady returns when all listeners accept.
func (p *process) awaitReady(ctx context.Context) error {
	for _, addr := range []string{p.probe, p.listen, p.admin} {
		err := p.await(ctx, "listening on "+addr, func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				_ = conn.Close()
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// await polls until done, for settle at most.
func (p *process) await(ctx context.Context, what string, done func() bool) error {
	for deadline := time.Now().Add(settle); !done(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.ended:
			return fmt.Errorf("the server ended (%v) before %s", p.ProcessState, what)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not %s after %v", what, settle)
		}
	}
	return nil
}

// stop ends the server at once and waits for that.
func (p *process) stop() {
	p.http.CloseIdleConnections()
	_ = p.Process.Kill()
	<-p.ended
}

// call asks the server by HTTP.
func (p *process) call(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, answer)
	}
	return answer, err
}

// collect makes the server collect its garbage and returns its resident memory, and
// what of that is anonymous (heap and stacks, no code), in bytes.
func (p *process) collect(ctx context.Context) (resident, anonymous float64, err error) {
	if _, err := p.call(ctx, http.MethodPost, p.probe+"/gc", nil); err != nil {
		return 0, 0, err
	}
	time.Sleep(100 * time.Millisecond)
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	kb := map[string]float64{}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 {
			kb[f[0]], _ = strconv.ParseFloat(f[1], 64)
		}
	}
	if kb["Rss:"] == 0 {
		return 0, 0, fmt.Errorf("no Rss in smaps_rollup")
	}
	return kb["Rss:"] * 1024, kb["Anonymous:"] * 1024, nil
}

func (p *process) goroutines(ctx context.Context) (float64, error) {
	answer, err := p.call(ctx, http.MethodGet, p.probe+"/goroutines", nil)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(string(answer), 64)
}

// cpu is the processor time of all threads so far: utime + stime of
// /proc/<pid>/stat, but in nanoseconds instead of ticks of 10 ms.
func (p *process) cpu() time.Duration {
	const schedClock = 2 // of clock_getcpuclockid(3)
	var ts unix.Timespec
	if unix.ClockGettime(int32(^p.Process.Pid<<3|schedClock), &ts) != nil {
		return 0 // it has ended, which the next call will tell
	}
	return time.Duration(ts.Nano())
}

// descriptors is how many files the server has open.
func (p *process) descriptors() int {
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	return len(files)
}
