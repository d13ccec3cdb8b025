package capacity

import "math"

// Machine is what bounds a server where it was measured. A zero field is unknown.
type Machine struct {
	CPUs   int
	Memory int64 // bytes
	Page   int   // bytes
	// Descriptors are RLIMIT_NOFILE of the server's processes, added up.
	Descriptors int
	Processes   int // of the server
	// Sysctls are settings of the kernel by name, such as "fs.file-max".
	Sysctls map[string][]int
}

// The settings of the kernel that bound sessions.
const (
	fileMax   = "fs.file-max"
	openMax   = "fs.nr_open"
	ports     = "net.ipv4.ip_local_port_range"
	tcpMemory = "net.ipv4.tcp_mem"
	backlog   = "net.core.somaxconn"
	conntrack = "net.netfilter.nf_conntrack_max"
)

// Sysctls are the names that Machine.Sysctls is asked for.
func Sysctls() []string { return []string{fileMax, openMax, ports, tcpMemory, backlog, conntrack} }

// limits are those that are known.
func (m Machine) limits(p *Plan) (all []Limit) {
	add := func(name string, sessions float64, setting string) {
		if sessions >= 0 && sessions <= math.MaxInt32 { // more than that is no limit
			all = append(all, Limit{Name: name, Sessions: int(sessions), Setting: setting})
		}
	}
	files := p.Descriptors
	if files.Slope <= 0.5 { // not measured: a session has one
		files = Line{Slope: 1}
	}
	if m.Descriptors > 0 {
		add("descriptors per process", files.until(float64(m.Descriptors)),
			"LimitNOFILE= of systemd or ulimit -n (RLIMIT_NOFILE), then wheelgate's --max-sessions if it is set; or more processes")
	}
	if n := m.sysctl(openMax, 0); n > 0 {
		add("the most that RLIMIT_NOFILE may be", files.until(n*float64(max(1, m.Processes))), "sysctl "+openMax+"; or more processes")
	}
	if n := m.sysctl(fileMax, 0); n > 0 {
		add("descriptors of the machine", files.until(n), "sysctl "+fileMax)
	}
	if m.Memory > 0 {
		add("memory", p.memory().until(float64(m.Memory)), "more memory, MemoryMax= of systemd or the container's limit")
	}
	if n := m.sysctl(tcpMemory, 2); n > 0 && p.Sockets.Slope > 0 {
		add("the kernel's memory for TCP", p.Sockets.until(n*float64(m.Page)), "sysctl "+tcpMemory)
	}
	if n := m.sysctl(conntrack, 0); n > 0 {
		add("connections the firewall tracks", n, "sysctl "+conntrack+", or no tracking of this port")
	}
	m.cpu(p, add)
	if low, high := m.sysctl(ports, 0), m.sysctl(ports, 1); high > low && low > 0 {
		all = append(all, Limit{
			"ports, from one client or proxy address to one of the server", int(high - low + 1),
			"sysctl " + ports + "; or more addresses or ports on either side", true,
		})
	}
	return all
}

func (m Machine) sysctl(name string, index int) float64 {
	if values := m.Sysctls[name]; index < len(values) {
		return float64(values[index])
	}
	return 0
}

func (m Machine) cpu(p *Plan, add func(string, float64, string)) {
	last := p.Points[len(p.Points)-1]
	if p.CPU == nil || m.CPUs == 0 {
		return
	}
	each := p.CPU.At(1, last.Messages/float64(max(1, last.Sessions))) - p.CPU.Base
	if each <= 0 {
		return
	}
	add("CPU, at the load per session that was measured", (100*float64(m.CPUs)-max(0, p.CPU.Base))/each, "more CPUs, or fewer messages per session")
}
