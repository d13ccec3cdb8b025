package wsconn

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scripted is a poller whose first wait says that all connections have input, and
// whose others, how often is told, that they can be written to.
type scripted struct {
	poller
	l       *loop
	input   []string // by descriptor; read once
	takes   []int    // how much the writes take, one after another; then all
	refuses int32    // a descriptor whose writes fail
	goexit  bool     // in Closed
	rounds  int
	waited  int
	log     []string // what happened, in order
	ended   []bool   // our direction, by descriptor
	wire    []string // by descriptor
}

func (s *scripted) wait(time.Duration) (events []unix.EpollEvent) {
	if s.waited++; s.waited > s.rounds {
		s.l.stopping.Store(true)
		return nil
	}
	for slot, c := range s.l.slots.conns {
		if c != nil && s.waited == 1 {
			events = append(events, unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(slot), Pad: c.age})
		} else if c != nil {
			events = append(events, unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(slot), Pad: c.age})
		}
	}
	return events
}

func (s *scripted) read(fd int32, p []byte) (int, unix.Errno) { return copy(p, s.input[fd]), 0 }

func (s *scripted) write(fd int32, p []byte) (int, unix.Errno) {
	if fd == s.refuses || s.ended[fd] {
		return 0, unix.EPIPE
	}
	n := len(p)
	if len(s.takes) > 0 {
		n, s.takes = min(n, s.takes[0]), s.takes[1:]
	}
	s.wire[fd] += string(p[:n])
	s.log = append(s.log, fmt.Sprintf("write %d", fd))
	if n == 0 {
		return 0, unix.EAGAIN
	}
	return n, 0
}

func (s *scripted) halfClose(fd int32)                    { s.ended[fd] = true }
func (*scripted) watch(int, int32, unix.EpollEvent) error { return nil }
func (*scripted) reset(int32)                             {}
func (*scripted) close(int32)                             {}
func (s *scripted) wake()                                 { s.log = append(s.log, "wake") }

// speaker is a Handler that does something for each message.
type speaker struct {
	mute
	says   func(message string)
	goexit bool
}

func (s *speaker) Closed(end End) {
	s.mute.Closed(end)
	if s.goexit {
		runtime.Goexit()
	}
}

func (s *speaker) Message(_ Opcode, p []byte) { s.says(string(p)) }

// runScript has each of n connections say "hello", all at once, and calls says for them
// in turn. It returns what became of each.
func runScript(t *testing.T, s *scripted, n int, says func(conns []Conn, i int)) (ends []*speaker) {
	t.Helper()
	tr := newLoop(faultConfig).(*Loop)
	var err error
	if s.l, err = newEventLoop(tr, func() (poller, error) { return s, nil }); err != nil {
		t.Fatal(err)
	}
	var conns []Conn
	for i := range n {
		c := newLoopConn(s.l, int32(i), netip.AddrPort{})
		h := &speaker{goexit: s.goexit, says: func(string) {
			s.log = append(s.log, fmt.Sprintf("turn %d", i))
			says(conns, i)
		}}
		c.handler, c.joining = h, false
		tr.conns.Add(1)
		if err := s.l.register(c); err != nil {
			t.Fatal(err)
		}
		conns, ends = append(conns, c), append(ends, h)
		s.ended = append(s.ended, false)
		s.input, s.wire = append(s.input, "\x81\x85\x00\x00\x00\x00hello"), append(s.wire, "")
	}
	s.rounds = max(s.rounds, 1)
	tr.turning.Go(s.l.run)
	tr.turning.Wait()
	return ends
}

func say(t *testing.T, c Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := c.SendMessage(Text, []byte(text)); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// wireOf is what texts are on the wire.
func wireOf(t *testing.T, texts ...string) (wire string) {
	t.Helper()
	for _, text := range texts {
		f, err := NewFrame(Text, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		wire += string(f.wire)
	}
	return wire
}

// TestTurnsAreWrittenTogether: what is sent in a turn is one write, behind the turns
// of the others.
func TestTurnsAreWrittenTogether(t *testing.T) {
	s := &scripted{refuses: -1}
	runScript(t, s, 2, func(conns []Conn, i int) { say(t, conns[i], "one", "two", "three") })
	if want := []string{"turn 0", "turn 1", "write 0", "write 1"}; !slices.Equal(s.log, want) {
		t.Errorf("%q, want %q", s.log, want)
	}
	for i, got := range s.wire {
		if want := wireOf(t, "one", "two", "three"); got != want {
			t.Errorf("connection %d got %q, want %q", i, got, want)
		}
	}
}

// TestTurnsWaitForFewOthers: a batch is written when it is full.
func TestTurnsWaitForFewOthers(t *testing.T) {
	s := &scripted{refuses: -1}
	runScript(t, s, 2*batchTurns+1, func(conns []Conn, i int) { say(t, conns[i], "hello") })
	for i := range s.wire {
		turn, write := slices.Index(s.log, fmt.Sprint("turn ", i)), slices.Index(s.log, fmt.Sprint("write ", i))
		between := 0
		for _, what := range s.log[turn+1 : write] {
			if strings.HasPrefix(what, "turn") {
				between++
			}
		}
		if between >= batchTurns {
			t.Errorf("connection %d waited for %d others", i, between)
		}
	}
}

// TestBehindTheBatch: what comes to a connection whose turn is over stands behind
// what was sent in it, whatever the socket takes and when.
func TestBehindTheBatch(t *testing.T) {
	big := strings.Repeat("b", maxReused+1)
	own := []string{"one", "two", "three"}
	for _, c := range []struct {
		name   string
		takes  []int
		then   func(first Conn)
		want   string
		unsent int
		ended  bool
	}{
		{"another message", nil, func(first Conn) { say(t, first, "four") }, wireOf(t, "one", "two", "three", "four"), 0, false},
		{"many others", nil, func(first Conn) {
			say(t, first, slices.Repeat([]string{"more"}, 10*faultConfig.OutboxMessages)...)
		}, wireOf(t, own...) + strings.Repeat(wireOf(t, "more"), 10*faultConfig.OutboxMessages), 0, false},
		{"a big one", nil, func(first Conn) { say(t, first, big, "end") }, wireOf(t, "one", "two", "three", big, "end"), 0, false},
		{"with a full socket", []int{0, 0}, func(first Conn) { say(t, first, "four") }, wireOf(t, "one", "two", "three", "four"), 0, false},
		{"with a socket that takes a part", []int{7, 2, 0}, func(first Conn) { say(t, first, "four") }, wireOf(t, "one", "two", "three", "four"), 0, false},
		{"a close frame", nil, func(first Conn) { first.Close(1000, "") }, wireOf(t, "one", "two", "three") + "\x88\x02\x03\xe8", 0, false},
		{"a close frame, with a full socket", []int{6, 0}, func(first Conn) { first.Close(1000, "") }, wireOf(t, "one", "two", "three") + "\x88\x02\x03\xe8", 0, false},
		{"what is dropped, with a full socket", []int{6, 0}, func(first Conn) {
			say(t, first, "four")
			first.CloseNow(1000, "")
			first.Abort()
		}, wireOf(t, "one", "two", "three")[:6], 3, true},
		{"the end", nil, func(first Conn) { first.Abort() }, wireOf(t, "one", "two", "three"), 0, true},
		{"the end, with a full socket", []int{6, 0}, func(first Conn) { first.Abort() }, wireOf(t, "one", "two", "three")[:6], 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &scripted{refuses: -1, takes: c.takes, rounds: 3}
			ends := runScript(t, s, 2, func(conns []Conn, i int) {
				if i == 0 {
					say(t, conns[0], own...)
				} else {
					c.then(conns[0])
				}
			})
			if s.wire[0] != c.want {
				t.Errorf("got %.80q, want %.80q", s.wire[0], c.want)
			}
			if wakes := slices.Contains(s.log, "wake"); c.takes == nil && wakes != c.ended {
				t.Errorf("the loop woke itself: %v", wakes)
			}
			if closed := ends[0].closed.Load() == 1; closed != c.ended || ends[0].end.Unsent != c.unsent {
				t.Errorf("closed %v with %d unsent, want %v, %d", closed, ends[0].end.Unsent, c.ended, c.unsent)
			}
			if closes := s.ended[0]; closes != strings.Contains(c.want, "\x88") {
				t.Errorf("our direction has ended: %v", closes)
			}
		})
	}
}

// TestBigMessagesInATurn are not copied, and stand where they were sent.
func TestBigMessagesInATurn(t *testing.T) {
	big := strings.Repeat("b", maxReused+1)
	s := &scripted{refuses: -1, rounds: 2}
	runScript(t, s, 1, func(conns []Conn, _ int) { say(t, conns[0], big, "small", big, "last") })
	if want := wireOf(t, big, "small", big, "last"); s.wire[0] != want {
		t.Errorf("%d bytes, want %d", len(s.wire[0]), len(want))
	}
}

// TestManyMessagesInATurn are no backlog as long as the socket takes them.
func TestManyMessagesInATurn(t *testing.T) {
	s := &scripted{refuses: -1}
	texts := slices.Repeat([]string{strings.Repeat("x", 200)}, 1000)
	runScript(t, s, 1, func(conns []Conn, _ int) { say(t, conns[0], texts...) })
	if want := wireOf(t, texts...); s.wire[0] != want {
		t.Errorf("%d bytes, want %d", len(s.wire[0]), len(want))
	}
}

// TestBatchIsBoundedAsAnOutbox: who takes nothing cannot have more queued by asking
// for all of it in one turn.
func TestBatchIsBoundedAsAnOutbox(t *testing.T) {
	s := &scripted{refuses: -1, takes: slices.Repeat([]int{0}, 1000)}
	runScript(t, s, 1, func(conns []Conn, _ int) {
		accepted := 0
		for range 100 {
			switch err := conns[0].SendMessage(Text, []byte("x")); {
			case err == nil:
				accepted++
			case !errors.Is(err, ErrFull):
				t.Fatal(err)
			}
		}
		if want := faultConfig.OutboxMessages; accepted != want {
			t.Errorf("%d messages were accepted, want %d", accepted, want)
		}
	})
}

// TestGoexitAfterALossInTheBatch ends one session, and the others get theirs.
func TestGoexitAfterALossInTheBatch(t *testing.T) {
	s := &scripted{refuses: 1, rounds: 2, goexit: true}
	runScript(t, s, 3, func(conns []Conn, i int) { say(t, conns[i], "hello") })
	for i, got := range s.wire {
		if want := wireOf(t, "hello"); i != 1 && got != want {
			t.Errorf("connection %d got %q, want %q", i, got, want)
		}
	}
}

// TestCloseInATurn stands behind what was sent, and ends our direction after it.
func TestCloseInATurn(t *testing.T) {
	for _, takes := range [][]int{nil, {3, 0}} {
		s := &scripted{refuses: -1, takes: takes, rounds: 2}
		runScript(t, s, 1, func(conns []Conn, _ int) {
			say(t, conns[0], "one", "two")
			conns[0].Close(1000, "")
		})
		if want := wireOf(t, "one", "two") + "\x88\x02\x03\xe8"; s.wire[0] != want || !s.ended[0] {
			t.Errorf("after writes of %v: %q, ended %v; want %q", takes, s.wire[0], s.ended[0], want)
		}
	}
}

// TestBatchOutlivesALoss: one connection of it is gone, the others get theirs.
func TestBatchOutlivesALoss(t *testing.T) {
	s := &scripted{refuses: 1, rounds: 2}
	ends := runScript(t, s, 3, func(conns []Conn, i int) { say(t, conns[i], "hello") })
	for i, got := range s.wire {
		if want := wireOf(t, "hello"); i != 1 && got != want {
			t.Errorf("connection %d got %q, want %q", i, got, want)
		}
	}
	if end := ends[1].end; ends[1].closed.Load() != 1 || !errors.Is(end.Err, unix.EPIPE) || end.Unsent != 1 {
		t.Errorf("closed %d times with %+v, want EPIPE and 1 unsent", ends[1].closed.Load(), end)
	}
}
