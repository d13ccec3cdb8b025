package scenario

// Loss is what it means for a run that no connection is left.
type Loss int

// The meanings.
const (
	// LossExpected: the scenario is about it. Silent sessions expire, a server drains,
	// and one that holds half-open connections may end all who say nothing. Some have to
	// have come.
	LossExpected Loss = iota
	// LossAtEnd: connections come back (churn, storm), or the server may end a part
	// (slow readers), so that only the end of the run tells.
	LossAtEnd
	// LossAtOnce: all should stay, and nobody comes back.
	LossAtOnce
)

// Loss says which of these holds for the scenario.
func (s *Scenario) Loss() Loss {
	switch {
	case s.Expire != nil, s.Drain != nil, s.HalfOpen != nil, s.SlowReaders != nil && s.SlowReaders.Share == 1:
		return LossExpected
	case s.Churn != nil, s.Storm != nil, s.SlowReaders != nil:
		return LossAtEnd
	}
	return LossAtOnce
}
