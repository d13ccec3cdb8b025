package report

import (
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Server is the server's processes together. A figure that could not be read is absent.
type Server struct {
	RSSBefore  int64    `json:"rss_before_bytes"`
	RSSPeak    int64    `json:"rss_peak_bytes"`
	RSSAfter   int64    `json:"rss_after_bytes"`
	PerSession float64  `json:"rss_per_session_bytes,omitempty"` // growth to the peak, over the peak of open connections
	CPU        *float64 `json:"cpu_percent,omitempty"`           // while held; 100 is one core; nil: the hold was too short for two looks
	CPUSeconds float64  `json:"cpu_s"`                           // over the run
	// CPUPerThousand is for 1,000 messages in or out while held, everything else in that time included.
	CPUPerThousand float64 `json:"cpu_ms_per_1000_messages,omitempty"`
	Goroutines     int     `json:"goroutines_peak,omitempty"`
	FDs            int     `json:"fds_peak,omitempty"`
	// SocketPerSession is the kernel's buffers for TCP while held, of the whole network
	// namespace: both ends, if the tool runs on the same machine.
	SocketPerSession float64 `json:"socket_bytes_per_session,omitempty"`
	// StructuresPerSocket is what the machine's slab memory grew by until the hold, over
	// the sockets that came to it in this network namespace: one end of a connection's
	// share, though both ends may be here. What else the kernel took meanwhile is in it.
	// Absent: not readable, or too few sockets to tell.
	StructuresPerSocket float64 `json:"structure_bytes_per_socket,omitempty"`
}

// Itself is the tool: all workers and their coordinator.
type Itself struct {
	CPU           *float64 `json:"cpu_percent,omitempty"` // while held; 100 is one core; nil: the hold was too short for two looks
	CPUSeconds    float64  `json:"cpu_s"`                 // over the run, from each process's first sample on
	RSSPeak       int64    `json:"rss_peak_bytes"`
	PerConnection float64  `json:"rss_per_connection_bytes,omitempty"` // the peak over the connections: what the processes take without any is included
	// DelayShare is the time that runnable threads waited for a CPU, over the run's time; 0: not readable.
	DelayShare float64 `json:"run_queue_delay_percent,omitempty"`
}

// moment is what several processes have together at one time.
type moment struct {
	at         time.Duration
	cpu, delay time.Duration // since the first look at each process
	rss        int64
	fds        int
	goroutines int
}

// group follows several processes, each looked at in its own turn.
type group struct {
	first, last map[int]record.Process
}

func newGroup() group {
	return group{first: map[int]record.Process{}, last: map[int]record.Process{}}
}

// see takes one look. A process that cannot be read any more, as it has ended,
// stays what it was.
func (g group) see(id int, p record.Process) {
	if p.RSS < 0 || p.CPU < 0 {
		return
	}
	if first, seen := g.first[id]; !seen || first.PID != p.PID {
		g.first[id] = p
	}
	g.last[id] = p
}

func (g group) moment(at time.Duration) moment {
	m := moment{at: at}
	for id, p := range g.last {
		m.cpu += p.CPU - g.first[id].CPU
		m.delay += max(0, p.Delay-g.first[id].Delay)
		m.rss += p.RSS
		m.fds += max(0, p.FDs)
		m.goroutines += max(0, p.Goroutines)
	}
	return m
}

// serverLooks are the looks at the servers' processes, by time. One that serves
// several targets is looked at for each, and has its looks for the first of them.
func (r *Run) serverLooks() (all []record.Server) {
	target := map[int]int{} // by process
	for _, s := range r.Servers {
		if s.Process == nil {
			continue
		}
		if first, known := target[s.Process.PID]; !known || s.Target < first {
			target[s.Process.PID] = s.Target
		}
	}
	for _, s := range r.Servers {
		if s.Process != nil && target[s.Process.PID] == s.Target {
			all = append(all, s)
		}
	}
	return all
}

// serverMoments begin when every target that is ever seen has been seen.
func (r *Run) serverMoments() []moment {
	looks := r.serverLooks()
	seen := map[int]bool{}
	for _, s := range looks {
		if s.Process.RSS >= 0 {
			seen[s.Target] = true
		}
	}
	servers := newGroup()
	var all []moment
	for _, s := range looks {
		servers.see(s.Target, *s.Process)
		if len(servers.last) == len(seen) && len(seen) > 0 {
			all = append(all, servers.moment(s.At))
		}
	}
	return all
}

func (r *Run) server(open int) *Server {
	all := r.serverMoments()
	s := &Server{}
	if first, held := r.socketMemory(); open > 0 {
		s.SocketPerSession = max(0, float64(held-first)/float64(open))
	}
	s.StructuresPerSocket = r.structures()
	if len(all) == 0 {
		if s.SocketPerSession == 0 && s.StructuresPerSocket == 0 {
			return nil
		}
		return s
	}
	s.RSSBefore, s.RSSAfter = all[0].rss, all[len(all)-1].rss
	for _, m := range all {
		s.RSSPeak, s.FDs, s.Goroutines = max(s.RSSPeak, m.rss), max(s.FDs, m.fds), max(s.Goroutines, m.goroutines)
	}
	if open > 0 {
		s.PerSession = float64(s.RSSPeak-s.RSSBefore) / float64(open)
	}
	s.CPUSeconds = all[len(all)-1].cpu.Seconds()
	if begin, end := r.heldOf(all); end.at > begin.at {
		cpu := percent(end.cpu-begin.cpu, end.at-begin.at)
		s.CPU = &cpu
		if messages := r.heldRate(record.Sent) + r.heldRate(record.Received); messages > 0 {
			s.CPUPerThousand = cpu * 10 / messages * 1000
		}
	}
	return s
}

func percent(part, whole time.Duration) float64 {
	return 100 * float64(part) / float64(max(whole, 1))
}

// heldOf is the first and the last moment of the hold, the same if it was too short.
func (r *Run) heldOf(all []moment) (begin, end moment) {
	from, to, ok := r.hold()
	if !ok {
		return begin, end
	}
	found := false
	for _, m := range all {
		if m.at < time.Duration(from)*time.Second || m.at > time.Duration(to)*time.Second {
			continue
		}
		if !found {
			begin, found = m, true
		}
		end = m
	}
	return begin, end
}

// socketMemory is the kernel's at the first look and, on average, in the hold: its
// peak is of the handshakes. 0, 0 if it was never readable.
func (r *Run) socketMemory() (first, held int64) {
	from, to := r.held()
	begun, looks := false, int64(0)
	for _, s := range r.Servers {
		if s.Target != record.WholeMachine {
			continue
		}
		if !begun {
			first, begun = s.SocketMemory, true
		}
		if s.At >= time.Duration(from)*time.Second && s.At <= time.Duration(to)*time.Second {
			held += s.SocketMemory
			looks++
		}
	}
	return first, held / max(1, looks)
}

// enoughSockets make what they take stand out from what else goes on in the kernel.
const enoughSockets = 500

// structures is the slab memory of one socket: the growth from the first look, before
// anybody connected, to the hold's average. 0: unknown.
func (r *Run) structures() float64 {
	from, to := r.held()
	var first *record.Server
	var slab, sockets, looks int64
	for i, s := range r.Servers {
		if s.Target != record.WholeMachine || s.Slab == 0 || s.Sockets == 0 {
			continue
		}
		if first == nil {
			first = &r.Servers[i]
		}
		if s.At >= time.Duration(from)*time.Second && s.At <= time.Duration(to)*time.Second {
			slab, sockets, looks = slab+s.Slab, sockets+int64(s.Sockets), looks+1
		}
	}
	if looks == 0 {
		return 0
	}
	came := float64(sockets)/float64(looks) - float64(first.Sockets)
	if came < enoughSockets {
		return 0
	}
	return max(0, float64(slab)/float64(looks)-float64(first.Slab)) / came
}

func (r *Run) toolMoments() []moment {
	processes := newGroup()
	all := make([]moment, 0, len(r.Seconds))
	for n := range r.Seconds {
		for worker, p := range r.Seconds[n].Processes {
			processes.see(worker, p)
		}
		all = append(all, processes.moment(time.Duration(n+1)*time.Second))
	}
	return all
}

func (r *Run) itself(open int) *Itself {
	all := r.toolMoments()
	if len(all) == 0 {
		return nil
	}
	t, end := &Itself{}, all[len(all)-1]
	for _, m := range all {
		t.RSSPeak = max(t.RSSPeak, m.rss)
	}
	if begin, end := r.heldOf(all); end.at > begin.at {
		cpu := percent(end.cpu-begin.cpu, end.at-begin.at)
		t.CPU = &cpu
	}
	t.CPUSeconds, t.DelayShare = end.cpu.Seconds(), percent(end.delay, end.at)
	if open > 0 {
		t.PerConnection = float64(t.RSSPeak) / float64(open)
	}
	return t
}
