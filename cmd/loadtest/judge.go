package main

import (
	"fmt"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// judge decides what a run's exit code is.
type judge struct{}

func newJudge(*options) (*judge, error) { return &judge{}, nil }

func (j *judge) report(o *options, end record.End, file *recordFile, s streams) error {
	if _, err := file.read(); err != nil {
		return err
	}
	return verdict(o, end, s)
}

// verdict says what makes the run a failed one, if anything.
func verdict(o *options, end record.End, s streams) error {
	for _, reason := range end.Saturated {
		fmt.Fprintln(s.err, "loadtest: the tool was the bottleneck:", reason)
	}
	switch {
	case end.Error != "":
		return fmt.Errorf("the run failed: %s", end.Error)
	case end.Interrupted:
		return fmt.Errorf("interrupted after %v", end.At.Round(1e8))
	case len(end.Saturated) > 0 && !o.allowSaturated:
		return fmt.Errorf("the run is invalid: the tool was the bottleneck (--allow-saturated lets it pass)")
	}
	return nil
}
