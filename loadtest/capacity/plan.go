package capacity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Point is what a server took with a number of sessions open; 0 is unknown.
type Point struct {
	Sessions int   `json:"sessions"`
	RSS      int64 `json:"rss_bytes"`
	Sockets  int64 `json:"socket_bytes"` // the kernel's buffers for sockets
	// Structures are the kernel's for the server's end of each connection, and for that alone.
	Structures  int64   `json:"structure_bytes"`
	Descriptors int     `json:"descriptors"`
	CPU         float64 `json:"cpu_percent"`    // of one core
	Messages    float64 `json:"messages_per_s"` // in and out
}

// Plan is how many sessions fit.
type Plan struct {
	Points  []Point `json:"points"`
	RSS     Line    `json:"rss"`
	Sockets Line    `json:"sockets"`
	// Structures are nil if a point does not know them: then no memory here has them.
	Structures  *Line  `json:"structures,omitempty"`
	Descriptors Line   `json:"descriptors"`
	CPU         *CPU   `json:"cpu,omitempty"` // nil: the points do not tell
	Fits        []Fits `json:"fits"`
	// Limits are this machine's, the one with the fewest sessions first.
	Limits []Limit `json:"limits"`
	// First is the limit that the server meets first; nil: none is known.
	First *Limit `json:"first_limit,omitempty"`
	// Backlog is how many connects may wait to be accepted: it bounds not the
	// sessions, but how many come back at once. 0: unknown.
	Backlog int `json:"accept_backlog,omitempty"`
}

// Fits is how many sessions an amount of memory holds.
type Fits struct {
	GiB      int `json:"gib"`
	Process  int `json:"sessions_by_rss"`            // if only the process counted
	Together int `json:"sessions_by_rss_and_kernel"` // with the kernel's buffers, and its structures if they are known
}

// Limit is a bound on the number of sessions and the setting that moves it.
type Limit struct {
	Name     string `json:"name"`
	Sessions int    `json:"sessions"`
	Setting  string `json:"setting"`
	// Elsewhere: it does not bind the server, but who connects to it.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// NewPlan fits the points and finds the limit of the machine that comes first. The
// load per session is taken to be that of the last point.
func NewPlan(points []Point, machine Machine) (*Plan, error) {
	var x, rss, sockets, descriptors []float64
	for _, p := range points {
		x, rss, sockets = append(x, float64(p.Sessions)), append(rss, float64(p.RSS)), append(sockets, float64(p.Sockets))
		descriptors = append(descriptors, float64(p.Descriptors))
	}
	plan := &Plan{Points: points, CPU: FitCPU(points), Backlog: int(machine.sysctl(backlog, 0))}
	for _, fit := range []struct {
		to *Line
		y  []float64
	}{{&plan.RSS, rss}, {&plan.Sockets, sockets}, {&plan.Descriptors, descriptors}} {
		var err error
		if *fit.to, err = Fit(x, fit.y); err != nil {
			return nil, err
		}
	}
	plan.Structures = fitStructures(points)
	if plan.RSS.Slope <= 0 {
		return nil, fmt.Errorf("memory does not grow with sessions (%.1f bytes each): measure with more of them", plan.RSS.Slope)
	}
	for _, gib := range []int{1, 4, 16, 64} {
		room := float64(gib) * (1 << 30)
		plan.Fits = append(plan.Fits, Fits{gib, within(plan.RSS, room), within(plan.memory(), room)})
	}
	plan.Limits = machine.limits(plan)
	slices.SortStableFunc(plan.Limits, func(a, b Limit) int { return cmp.Compare(a.Sessions, b.Sessions) })
	for i := range plan.Limits {
		if !plan.Limits[i].Elsewhere {
			plan.First = &plan.Limits[i]
			break
		}
	}
	return plan, nil
}

// fitStructures is nil unless all points know them and they grow with the sessions.
func fitStructures(points []Point) *Line {
	var x, y []float64
	for _, p := range points {
		if p.Structures <= 0 {
			return nil
		}
		x, y = append(x, float64(p.Sessions)), append(y, float64(p.Structures))
	}
	l, err := Fit(x, y)
	if err != nil || l.Slope <= 0 {
		return nil
	}
	return &l
}

// memory is the process's and the kernel's.
func (p *Plan) memory() Line {
	l := Line{Base: p.RSS.Base + max(0, p.Sockets.Base), Slope: p.RSS.Slope + max(0, p.Sockets.Slope)}
	if p.Structures != nil {
		l.Base, l.Slope = l.Base+max(0, p.Structures.Base), l.Slope+p.Structures.Slope
	}
	return l
}

// within is how many sessions fit; the slope is above 0.
func within(l Line, room float64) int { return int(min(max(0, l.until(room)), math.MaxInt32)) }
