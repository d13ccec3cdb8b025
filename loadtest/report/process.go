package report

import (
	"time"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Server is the server's processes together. A figure that could not be read is absent.
type Server struct {
	RSSBefore  int64   `json:"rss_before_bytes"`
	RSSPeak    int64   `json:"rss_peak_bytes"`
	RSSAfter   int64   `json:"rss_after_bytes"`
	PerSession float64 `json:"rss_per_session_bytes,omitempty"` // growth to the peak, over the peak of open connections
	CPU        float64 `json:"cpu_percent"`                     // while held; 100 is one core
	// CPUPerThousand is for 1,000 messages in or out while held, everything else in that time included.
	CPUPerThousand float64 `json:"cpu_ms_per_1000_messages,omitempty"`
	Goroutines     int     `json:"goroutines_peak,omitempty"`
	FDs            int     `json:"fds_peak,omitempty"`
	// SocketPerSession is the kernel's memory for TCP of the whole network
	// namespace: both ends, if the tool runs on the same machine.
	SocketPerSession float64 `json:"socket_bytes_per_session,omitempty"`
}

// Itself is the tool: all workers and their coordinator.
type Itself struct {
	CPU           float64 `json:"cpu_percent"` // of one core, over the run
	RSSPeak       int64   `json:"rss_peak_bytes"`
	PerConnection float64 `json:"rss_per_connection_bytes,omitempty"` // of the workers' peak; their base included
	// DelayShare is the time that threads waited for a CPU, over the run's time; 0: not readable.
	DelayShare float64 `json:"run_queue_delay_percent,omitempty"`
}

// moment is what several processes have together at one time.
type moment struct {
	at         time.Duration
	cpu, delay time.Duration
	rss        int64
	fds        int
	goroutines int
}

// add counts only what could be read.
func (m *moment) add(p record.Process) {
	m.cpu += max(0, p.CPU)
	m.delay += max(0, p.Delay)
	m.rss += max(0, p.RSS)
	m.fds += max(0, p.FDs)
	m.goroutines += max(0, p.Goroutines)
}

func together(at time.Duration, latest map[int]record.Process) moment {
	m := moment{at: at}
	for _, p := range latest {
		m.add(p)
	}
	return m
}

// serverMoments begin when every target that is ever seen has been seen.
func (r *Run) serverMoments() []moment {
	seen := map[int]bool{}
	for _, s := range r.Servers {
		if s.Process != nil {
			seen[s.Target] = true
		}
	}
	latest := map[int]record.Process{}
	var all []moment
	for _, s := range r.Servers {
		if s.Process == nil {
			continue
		}
		latest[s.Target] = *s.Process
		if len(latest) == len(seen) {
			all = append(all, together(s.At, latest))
		}
	}
	return all
}

func (r *Run) server(open int) *Server {
	all := r.serverMoments()
	s := &Server{}
	if low, high := r.socketMemory(); open > 0 {
		s.SocketPerSession = float64(high-low) / float64(open)
	}
	if len(all) == 0 {
		if s.SocketPerSession == 0 {
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
	from, to := r.held()
	begin, end := bounds(all, time.Duration(from)*time.Second, time.Duration(to)*time.Second)
	if span := end.at - begin.at; span > 0 {
		s.CPU = 100 * float64(end.cpu-begin.cpu) / float64(span)
		messages := r.rate(record.Sent, from, to) + r.rate(record.Received, from, to)
		if messages > 0 {
			s.CPUPerThousand = s.CPU * 10 / messages * 1000
		}
	}
	return s
}

// bounds are the first and the last moment within a time.
func bounds(all []moment, from, to time.Duration) (begin, end moment) {
	found := false
	for _, m := range all {
		if m.at < from || m.at > to {
			continue
		}
		if !found {
			begin, found = m, true
		}
		end = m
	}
	return begin, end
}

func (r *Run) socketMemory() (first, peak int64) {
	for _, s := range r.Servers {
		if s.SocketMemory > 0 {
			if first == 0 {
				first = s.SocketMemory
			}
			peak = max(peak, s.SocketMemory)
		}
	}
	return first, peak
}

func (r *Run) toolMoments() []moment {
	latest := map[int]record.Process{}
	all := make([]moment, 0, len(r.Seconds))
	for n := range r.Seconds {
		for worker, p := range r.Seconds[n].Processes {
			latest[worker] = p
		}
		all = append(all, together(time.Duration(n+1)*time.Second, latest))
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
	t.CPU = 100 * end.cpu.Seconds() / end.at.Seconds()
	t.DelayShare = 100 * end.delay.Seconds() / end.at.Seconds()
	if open > 0 {
		t.PerConnection = float64(t.RSSPeak) / float64(open)
	}
	return t
}
