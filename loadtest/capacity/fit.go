package capacity

import (
	"fmt"
	"math"
)

// Point is what a server took with a number of sessions open.
type Point struct {
	Sessions int   `json:"sessions"`
	RSS      int64 `json:"rss_bytes"`
	Sockets  int64 `json:"socket_bytes"` // the kernel's memory for sockets
}

// Line is y = Base + Slope*x by least squares.
type Line struct {
	Base  float64 `json:"base"`
	Slope float64 `json:"per_session"`
	// Error is the largest distance of a point from the line, as a share of the point.
	Error float64 `json:"error"`
}

// At is y at x.
func (l Line) At(x float64) float64 { return l.Base + l.Slope*x }

// Fit needs two points that differ in x.
func Fit(x, y []float64) (Line, error) {
	if len(x) != len(y) {
		return Line{}, fmt.Errorf("%d values of x and %d of y: want as many", len(x), len(y))
	}
	var meanX, meanY, xx, xy float64
	for i := range x {
		meanX += x[i] / float64(len(x))
		meanY += y[i] / float64(len(x))
	}
	for i := range x {
		xx += (x[i] - meanX) * (x[i] - meanX)
		xy += (x[i] - meanX) * (y[i] - meanY)
	}
	if xx == 0 {
		return Line{}, fmt.Errorf("a fit needs measurements at two numbers of sessions or more")
	}
	l := Line{Slope: xy / xx}
	l.Base = meanY - l.Slope*meanX
	for i := range x {
		if y[i] != 0 {
			l.Error = max(l.Error, math.Abs(l.At(x[i])-y[i])/math.Abs(y[i]))
		}
	}
	return l, nil
}
