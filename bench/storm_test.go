//go:build linux && !race

package bench_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var (
	// soak is how long TestStorm goes on; `make soak` gives it ten minutes.
	soak      = flag.Duration("soak", 20*time.Second, "how long TestStorm goes on, in all; each configuration has a round at least")
	stormSeed = flag.Uint64("seed", 0, "what TestStorm draws its random numbers from; 0 is another each time")
)

// sky is one configuration of the program under a storm.
type sky struct {
	name string
	args []string

	plain    bool // is built without the race detector, and its resident memory judged
	files    int  // RLIMIT_NOFILE; 0 is as it is
	tls      bool // with a certificate of the test's
	rfc      bool // close codes
	sleepers bool // only messages in are activity: who says nothing is closed
	halts    bool // the program is stopped for moments
	honest   int  // the longest message of an honest client; 0 is 20,000
	crowd    int  // times as many clients who make trouble; 0 is 1
}

var skies = []sky{
	{name: "loop", args: []string{"--transport=loop"}},
	{name: "goroutine", args: []string{"--transport=goroutine"}},
	{name: "TLS", args: []string{"--compression"}, tls: true},
	{name: "loop-compression-20ms", args: []string{"--transport=loop", "--compression", "--compression-threshold=64", "--tick=20ms", "--outbox-bytes=128KiB"}},
	{name: "goroutine-compression-rfc", args: []string{"--transport=goroutine", "--compression", "--tick=20ms", "--close-codes=rfc"}, rfc: true},
	{name: "loop-200-files", args: []string{"--transport=loop"}, files: 200, crowd: 3},
	{name: "TLS-200-files", files: 200, crowd: 3, tls: true},
	{name: "loop-no-io_uring-sleepers", args: []string{"--transport=loop", "--io-uring=false", "--activity=in", "--tick=20ms"}, sleepers: true},
	{name: "goroutine-sleepers-halts", args: []string{"--transport=goroutine", "--activity=in"}, sleepers: true, halts: true},
	{name: "loop-plain", args: []string{"--compression"}, plain: true},
	// What has not arrived wholly of an honest client's, or waits for it, is little, and pays last.
	{name: "loop-tight-budget-halts", args: []string{"--transport=loop", "--partial-budget=16KiB", "--outbox-budget=1MiB", "--send-buffer=16KiB"}, halts: true, honest: 1000, crowd: 2},
}

// The program's patience in a storm.
const (
	stormTimeout = 2 * time.Second // of a session
	stormWindow  = time.Second     // of the drain
)

var stormArgs = []string{
	"--echo", "--session-timeout=" + stormTimeout.String(), "--ping-interval=400ms", "--pong-timeout=2s", "--close-wait=500ms",
	"--message-timeout=1s", "--write-timeout=1s", "--handshake-timeout=1s", "--drain-window=" + stormWindow.String(),
}

// storm is one round: a program, built with the race detector, and all who are at it.
type tempest struct {
	*testing.T
	*program
	sky
	ctx      context.Context // of the round
	seed     uint64
	clients  atomic.Uint64 // so far; each draws its own numbers
	visits   atomic.Int64  // of those who make trouble
	kicked   sync.Map      // address, code and reason: may be closed so
	leaving  atomic.Bool   // SIGTERM is about to be sent
	echo     atomic.Int64  // nanoseconds that an honest client waited last
	stall    atomic.Int64  // when this process last ran late, in Unix nanoseconds
	harms    atomic.Int64
	closes   map[string]int // sessions by reason, when there was a lull last
	log      []string       // the program's last lines; to be read when it has ended
	exchange atomic.Int64   // echoes of honest clients
}

// TestStorm runs the program, built with the race detector, in one configuration after
// another, as many at a time as there are processors. In each round waves of clients
// come and go that do all there is to do, most of it wrong, beside honest ones and an
// operator. Between two waves nothing of them may stay; in the last comes SIGTERM.
func TestStorm(t *testing.T) {
	seed := *stormSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	if _, err := buildRace(); err != nil {
		t.Fatal(err)
	}
	lanes := runtime.GOMAXPROCS(0)
	length := min(time.Minute, *soak*time.Duration(lanes)/time.Duration(len(skies)))
	end := time.Now().Add(*soak - length/2)
	var rounds atomic.Int64
	for lane := range lanes {
		t.Run(fmt.Sprint("lane", lane), func(t *testing.T) {
			t.Parallel()
			for {
				n := int(rounds.Add(1)) - 1
				if n >= len(skies) && time.Now().After(end) {
					return
				}
				sky := skies[n%len(skies)]
				if !t.Run(sky.name, func(t *testing.T) { rage(t, sky, seed+uint64(n), length) }) {
					return // one harm is enough to look for
				}
			}
		})
	}
}

// rage is a round that takes about so long.
func rage(t *testing.T, sky sky, seed uint64, length time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &tempest{T: t, sky: sky, seed: seed, ctx: ctx}
	s.start()
	wave := max(300*time.Millisecond, (length-3*time.Second)/4)
	s.wave(wave) // what stays after the first time is no leak
	calm := s.lull(nil)
	var memory []calmness
	for range 2 {
		s.wave(wave)
		memory = append(memory, s.lull(&calm))
	}
	s.judgeMemory(memory)
	s.lastWave(wave)
	s.judgeEnd()
	t.Logf("%d clients, %d echoes to honest ones, the last took %v; sessions closed until the last wave: %v; at rest %v, then %v",
		s.visits.Load(), s.exchange.Load(), time.Duration(s.echo.Load()), s.closes, calm, memory)
}

// start starts the program, with few files if the sky says so.
func (s *tempest) start() {
	built := buildRace
	if s.plain {
		built = build
	}
	binary, err := built()
	if err != nil {
		s.Fatal(err)
	}
	args := append(append([]string{binary}, stormArgs...), s.args...)
	if s.tls {
		cert, key := certify(s.T)
		args = append(args, "--tls-cert="+cert, "--tls-key="+key)
	}
	cmd := exec.Command(args[0], args[1:]...)
	if s.files > 0 {
		cmd = exec.Command("sh", append([]string{"-c", "ulimit -n " + strconv.Itoa(s.files) + `; exec "$0" "$@"`}, args...)...)
	}
	cmd.Env = append(cmd.Environ(), "GORACE=halt_on_error=0 exitcode=66", "GOTRACEBACK=all")
	s.program = launch(s.T, cmd, s.hear)
}

// harm is a defect of the program's. A storm of them is not told.
func (s *tempest) harm(format string, args ...any) {
	if n := s.harms.Add(1); n <= 20 {
		s.Errorf(format, args...)
	}
}

// wave has all come and go for d, and returns when the last has left.
func (s *tempest) wave(d time.Duration) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer time.AfterFunc(d, cancel).Stop() // a deadline of ctx would end dials before ctx
	defer cancel()
	s.rain(ctx)
}

// rain returns when all clients have left, which they do when ctx ends.
func (s *tempest) rain(ctx context.Context) {
	var all sync.WaitGroup
	come := func(n int, who func(context.Context, *rand.Rand)) {
		for range n {
			rng := rand.New(rand.NewPCG(s.seed, s.clients.Add(1)))
			all.Go(func() { who(ctx, rng) })
		}
	}
	for _, kind := range troubles {
		come(max(1, s.crowd), func(ctx context.Context, rng *rand.Rand) { s.makeTrouble(ctx, rng, kind) })
	}
	come(6, s.comeAndGo)
	come(1, s.administer)
	come(1, s.watchStalls)
	for stream := range 2 {
		come(1, func(ctx context.Context, rng *rand.Rand) { s.broadcast(ctx, rng, stream) })
	}
	if s.halts {
		come(1, s.halt)
	}
	all.Wait()
}

// lastWave sends SIGTERM, or SIGINT, in the middle and goes on until the program has ended.
func (s *tempest) lastWave(d time.Duration) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	time.AfterFunc(d/2, func() {
		s.leaving.Store(true)
		_ = s.Process.Signal([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT}[s.seed%2])
		select {
		case <-s.ended:
		case <-time.After(time.Minute):
			s.harm("still running a minute after SIGTERM")
			_ = s.Process.Signal(syscall.SIGQUIT) // its stacks go to the log
			<-s.ended
		}
		cancel()
	})
	s.rain(ctx)
}

// gone reports whether the program has ended.
func (s *tempest) gone() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// makeTrouble is one client after another who makes trouble of this kind.
func (s *tempest) makeTrouble(ctx context.Context, rng *rand.Rand, kind trouble) {
	for ctx.Err() == nil && !s.gone() {
		g, err := s.dial(ctx, rng, fmt.Sprint("127.0.1.", 1+rng.IntN(8)))
		if err == nil {
			s.visits.Add(1)
			_ = g.SetDeadline(time.Now().Add(troublePatience))
			leave := context.AfterFunc(ctx, func() { _ = g.tcp.SetDeadline(time.Now()) })
			kind(ctx, s, g)
			leave()
			_ = g.tcp.Close()
		}
		pause(ctx, time.Duration(rng.IntN(20))*time.Millisecond+s.relief())
	}
}

// burst counts to n, more slowly while honest clients wait long.
func (s *tempest) burst(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
			if d := s.relief(); d > 0 {
				pause(s.ctx, d)
			}
		}
	}
}

// relief is a pause that those who make trouble take while an honest client waits
// long: two processors have to do for all.
func (s *tempest) relief() time.Duration {
	if s.echo.Load() > int64(200*time.Millisecond) {
		return 10 * time.Millisecond
	}
	return 0
}

func (s *tempest) waited(d time.Duration) {
	s.exchange.Add(1)
	s.echo.Store(int64(d))
}

// watchStalls notes when this process, with its clients, did not get to run.
func (s *tempest) watchStalls(ctx context.Context, _ *rand.Rand) {
	const step, late = 20 * time.Millisecond, 500 * time.Millisecond
	for before := time.Now(); pause(ctx, step); before = time.Now() {
		if time.Since(before) > step+late {
			s.stall.Store(time.Now().UnixNano())
		}
	}
}

// stalled reports whether a pong may be missing for that.
func (s *tempest) stalled() bool { return time.Now().UnixNano()-s.stall.Load() < int64(10*time.Second) }
