package capacity

import (
	"errors"
	"fmt"
	"math"
)

// Line is y = Base + Slope*x by least squares.
type Line struct {
	Base  float64 `json:"base"`
	Slope float64 `json:"per_session"`
	// Error is the largest distance of a point from the line, as a share of the point.
	Error float64 `json:"error"`
}

// At is y at x.
func (l Line) At(x float64) float64 { return l.Base + l.Slope*x }

// until is how far x may go before y is above room; the slope is above 0. A base
// below 0 is an error of the fit and gives no room.
func (l Line) until(room float64) float64 { return math.Floor((room - max(0, l.Base)) / l.Slope) }

// Fit needs two points that differ in x.
func Fit(x, y []float64) (Line, error) {
	if len(x) != len(y) {
		return Line{}, fmt.Errorf("%d values of x and %d of y: want as many", len(x), len(y))
	}
	k, err := leastSquares([][]float64{ones(len(x)), x}, y)
	if err != nil {
		return Line{}, errors.New("a fit needs measurements at two numbers of sessions or more")
	}
	l := Line{Base: k[0], Slope: k[1]}
	l.Error = farthest(y, func(i int) float64 { return l.At(x[i]) })
	return l, nil
}

// farthest is the largest distance of a value from its prediction, as a share of the value.
func farthest(y []float64, predicted func(int) float64) (most float64) {
	for i, v := range y {
		if v != 0 {
			most = max(most, math.Abs(predicted(i)-v)/math.Abs(v))
		}
	}
	return most
}

func ones(n int) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = 1
	}
	return all
}

var errDependent = errors.New("the measurements do not tell the causes apart")

// leastSquares finds the k for which the sum of k[j]*columns[j] is nearest to y. It
// is an error if a column is a sum of others, or nearly.
func leastSquares(columns [][]float64, y []float64) ([]float64, error) {
	n := len(columns)
	scale := make([]float64, n) // so that "nearly" means the same for all
	for j, c := range columns {
		for _, v := range c {
			scale[j] = max(scale[j], math.Abs(v))
		}
		if scale[j] == 0 {
			return nil, errDependent
		}
	}
	m := make([][]float64, n) // the normal equations, and what they equal
	for j := range m {
		m[j] = make([]float64, n+1)
		for i := range y {
			for k := range columns {
				m[j][k] += columns[j][i] / scale[j] * columns[k][i] / scale[k]
			}
			m[j][n] += columns[j][i] / scale[j] * y[i]
		}
	}
	if !eliminate(m) {
		return nil, errDependent
	}
	k := make([]float64, n)
	for j := range k {
		k[j] = m[j][n] / scale[j]
	}
	return k, nil
}

// dependent is how small what is left of an equation may become: rounding leaves
// less, and measurements that differ by 1 in 1,000 leave more.
const dependent = 1e-7

// eliminate solves n equations, each with what it equals at its end, by Gauss and
// Jordan; it reports whether they have one solution.
func eliminate(m [][]float64) bool {
	for j := range m {
		pivot := j
		for i := j + 1; i < len(m); i++ {
			if math.Abs(m[i][j]) > math.Abs(m[pivot][j]) {
				pivot = i
			}
		}
		if m[j], m[pivot] = m[pivot], m[j]; math.Abs(m[j][j]) < dependent {
			return false
		}
		for k := len(m); k >= j; k-- {
			m[j][k] /= m[j][j]
		}
		for i := range m {
			if i == j {
				continue
			}
			for k := len(m); k >= j; k-- {
				m[i][k] -= m[i][j] * m[j][k]
			}
		}
	}
	return true
}
