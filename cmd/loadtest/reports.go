package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest/report"
)

// reportCommand makes the report of an old run anew.
func reportCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "report", Usage: "report on a run's raw records", ArgsUsage: "RUN.jsonl",
		Flags: outputFlags(),
		Action: func(_ context.Context, cmd *cli.Command) error {
			r := &reader{cmd: cmd}
			j := r.judge()
			if r.fault != nil {
				return r.fault
			}
			if cmd.Args().Len() != 1 {
				return usagef("report: needs one file of raw records, and not %d", cmd.Args().Len())
			}
			if err := j.check(cmd.Args().First()); err != nil {
				return err
			}
			run, err := readRecord(cmd.Args().First())
			if err != nil {
				return usagef("report: %s", oneLine(err))
			}
			return j.report(run, s)
		},
	}
}

func compareCommand(s streams) *cli.Command {
	return &cli.Command{
		Name: "compare", Usage: "compare two runs, by their summaries or raw records", ArgsUsage: "A.json B.json",
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 2 {
				return usagef("compare: needs two files, and not %d", cmd.Args().Len())
			}
			var both [2]report.Summary
			for i := range both {
				var err error
				if both[i], err = readSummary(cmd.Args().Get(i)); err != nil {
					return usagef("compare: %s: %s", cmd.Args().Get(i), oneLine(err))
				}
			}
			return report.Compare(s.out, both[0], both[1])
		},
	}
}

// readRecord reads a file of raw records. Its error names the file.
func readRecord(name string) (*report.Run, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	run, err := report.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s is no file of raw records (--out), or is damaged: %w", name, err)
	}
	return run, nil
}

// readSummary reads what --json wrote, or raw records.
func readSummary(name string) (report.Summary, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return report.Summary{}, err
	}
	if bytes.HasPrefix(content, []byte(`{"header":`)) {
		run, err := report.Read(bytes.NewReader(content))
		if err != nil {
			return report.Summary{}, err
		}
		return report.Summarize(run), nil
	}
	var summary report.Summary
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&summary); err != nil {
		return summary, fmt.Errorf("is neither a summary (--json) nor raw records (--out): %w", err)
	}
	return summary, nil
}
