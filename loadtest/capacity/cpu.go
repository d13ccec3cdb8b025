package capacity

// CPU is what the server's CPU time goes to, by least squares over the points.
type CPU struct {
	Base float64 `json:"base_percent"` // of one core, without sessions
	// PerThousandIdle sessions take this share of one core by being there.
	PerThousandIdle float64 `json:"percent_per_1000_idle_sessions"`
	// PerThousandMessages, in or out, take this time.
	PerThousandMessages float64 `json:"ms_per_1000_messages"`
	// Together: idle sessions and messages grew in step in all points, so that they
	// cannot be told apart, and all was put down to the messages.
	Together bool    `json:"not_told_apart,omitempty"`
	Error    float64 `json:"error"` // see Line
}

// At is the share of one core, in percent, that sessions and messages per second take.
func (c CPU) At(sessions, messages float64) float64 {
	return c.Base + c.PerThousandIdle*sessions/1000 + c.PerThousandMessages*messages/10_000
}

// FitCPU finds what CPU time goes to; nil if the points do not tell.
func FitCPU(points []Point) *CPU {
	var sessions, messages, cpu []float64
	talk := false
	for _, p := range points {
		if p.CPU <= 0 {
			continue
		}
		sessions, messages, cpu = append(sessions, float64(p.Sessions)), append(messages, p.Messages), append(cpu, p.CPU)
		talk = talk || p.Messages > 0
	}
	c, ok := solveCPU(sessions, messages, cpu, talk)
	if !ok {
		return nil
	}
	c.Error = farthest(cpu, func(i int) float64 { return c.At(sessions[i], messages[i]) })
	return c
}

func solveCPU(sessions, messages, cpu []float64, talk bool) (*CPU, bool) {
	one := ones(len(cpu))
	if !talk {
		k, err := leastSquares([][]float64{one, sessions}, cpu)
		if err != nil {
			return nil, false
		}
		return &CPU{Base: k[0], PerThousandIdle: 1000 * k[1]}, true
	}
	if k, err := leastSquares([][]float64{one, sessions, messages}, cpu); err == nil {
		return &CPU{Base: k[0], PerThousandIdle: 1000 * k[1], PerThousandMessages: 10_000 * k[2]}, true
	}
	k, err := leastSquares([][]float64{one, messages}, cpu)
	if err != nil {
		return nil, false
	}
	return &CPU{Base: k[0], PerThousandMessages: 10_000 * k[1], Together: true}, true
}
