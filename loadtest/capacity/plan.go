package capacity

import (
	"fmt"
	"io"
	"math"
)

// Plan is how many sessions fit.
type Plan struct {
	RSS     Line   `json:"rss"`
	Sockets Line   `json:"sockets"`
	Fits    []Fits `json:"fits"`
	// First is the limit that comes first, the one with the fewest sessions.
	First *Limit `json:"first_limit,omitempty"`
}

// Fits is how many sessions an amount of memory holds.
type Fits struct {
	GiB      int `json:"gib"`
	Process  int `json:"sessions_by_rss"`             // if only the process counted
	Together int `json:"sessions_by_rss_and_sockets"` // with the kernel's share
}

// Limit is a bound on the number of sessions and the setting that moves it.
type Limit struct {
	Name     string `json:"name"`
	Sessions int    `json:"sessions"`
	Setting  string `json:"setting"`
}

// NewPlan fits the points and finds the limit that comes first.
func NewPlan(points []Point, limits []Limit) (*Plan, error) {
	var x, rss, sockets []float64
	for _, p := range points {
		x, rss, sockets = append(x, float64(p.Sessions)), append(rss, float64(p.RSS)), append(sockets, float64(p.Sockets))
	}
	plan := &Plan{}
	var err error
	if plan.RSS, err = Fit(x, rss); err != nil {
		return nil, err
	}
	if plan.Sockets, err = Fit(x, sockets); err != nil {
		return nil, err
	}
	if plan.RSS.Slope <= 0 {
		return nil, fmt.Errorf("memory does not grow with sessions (%.1f bytes each): measure with more of them", plan.RSS.Slope)
	}
	both := Line{Base: plan.RSS.Base + max(0, plan.Sockets.Base), Slope: plan.RSS.Slope + max(0, plan.Sockets.Slope)}
	for _, gib := range []int{1, 4, 16, 64} {
		room := float64(gib) * (1 << 30)
		plan.Fits = append(plan.Fits, Fits{gib, within(plan.RSS, room), within(both, room)})
	}
	for i := range limits {
		if plan.First == nil || limits[i].Sessions < plan.First.Sessions {
			plan.First = &limits[i]
		}
	}
	return plan, nil
}

func within(l Line, room float64) int { return int(max(0, math.Floor((room-l.Base)/l.Slope))) }

// Text writes the plan for people. The error is w's.
func (p *Plan) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "memory: %.0f bytes + %.0f per session (within %.1f %%), kernel sockets %.0f per session\n",
		p.RSS.Base, p.RSS.Slope, 100*p.RSS.Error, p.Sockets.Slope)
	for _, f := range p.Fits {
		if err == nil {
			_, err = fmt.Fprintf(w, "%d GiB: %d sessions, %d with the kernel's share\n", f.GiB, f.Process, f.Together)
		}
	}
	if err == nil && p.First != nil {
		_, err = fmt.Fprintf(w, "first limit: %s at %d sessions; moved by %s\n", p.First.Name, p.First.Sessions, p.First.Setting)
	}
	return err
}
