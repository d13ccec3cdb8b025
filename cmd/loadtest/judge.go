package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/wheelgate/wheelgate/loadtest/record"
	"github.com/wheelgate/wheelgate/loadtest/report"
)

// judge writes the reports of a run and decides on the exit code.
type judge struct {
	json, html     string
	failIf         []report.Objective
	allowSaturated bool
}

// outputFlags are those of all that report.
func outputFlags() []cli.Flag {
	return under("Output",
		text("json", "file for the summary as JSON; - is stdout, in place of the text"),
		text("html", "file for the report as a page"),
		text("fail-if", `what must not be, such as "p99(echo)>50ms, errors>0.1%"`),
		toggle("allow-saturated", "do not fail a run in which the tool was the bottleneck"))
}

func (r *reader) judge() *judge {
	j := &judge{allowSaturated: r.cmd.Bool("allow-saturated")}
	j.json, _ = r.text("json")
	j.html, _ = r.text("html")
	if value, given := r.text("fail-if"); given {
		var err error
		if j.failIf, err = report.ParseObjectives(value); err != nil {
			r.fail("--fail-if: %s", oneLine(err))
		}
	}
	return j
}

// report writes what was asked for, and returns what could not be written and why the
// run is no good, if it is not.
func (j *judge) report(run *report.Run, s streams) error {
	summary := report.Summarize(run)
	unwritten := j.write(run, summary, s)
	if err := verdict(run.End, j.allowSaturated); err != nil {
		return errors.Join(unwritten, err)
	}
	return errors.Join(unwritten, j.objectives(summary))
}

// check says what of the reports could not be written for want of a folder, or would
// overwrite another or the raw records, before a run that would be for nothing. records
// is the file of these; "": none.
func (j *judge) check(records string) error {
	for _, f := range []struct{ flag, name string }{{"json", j.json}, {"html", j.html}} {
		if err := checkFile(f.flag, f.name); err != nil {
			return err
		}
		if f.name != "-" && sameFile(f.name, records) {
			return usagef("--%s: bad value %q: must not be the file of the raw records", f.flag, f.name)
		}
	}
	if sameFile(j.json, j.html) {
		return usagef("--html: bad value %q: must not be where --json goes", j.html)
	}
	return nil
}

// sameFile reports whether two names are of one file, there or not; "" is none. A device
// bears to be named twice.
func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	x, noA := os.Stat(a)
	y, noB := os.Stat(b)
	if noA == nil && noB == nil {
		return x.Mode().IsRegular() && os.SameFile(x, y)
	}
	return filepath.Clean(a) == filepath.Clean(b)
}

// checkFile is check for one file, if a flag names one.
func checkFile(flag, name string) error {
	if name == "" || name == "-" {
		return nil
	}
	if at, err := os.Stat(filepath.Dir(name)); err != nil || !at.IsDir() {
		return usagef("--%s: bad value %q: must be a file in a folder that exists, or -", flag, name)
	}
	if at, err := os.Stat(name); err == nil && at.IsDir() {
		return usagef("--%s: bad value %q: must be a file, and is a folder", flag, name)
	}
	return nil
}

// write writes all that can be written: one that fails keeps the others from nothing.
func (j *judge) write(run *report.Run, summary report.Summary, s streams) error {
	var text, page error
	if j.json != "-" && j.html != "-" {
		if err := report.Text(s.out, summary); err != nil {
			text = fmt.Errorf("the report: %w", err)
		}
	}
	if j.html != "" {
		page = toFile("html", j.html, s.out, func(w io.Writer) error { return report.HTML(w, run) })
	}
	return errors.Join(text, toJSON(j.json, s.out, summary), page)
}

// toJSON writes value to the file of --json, if there is one.
func toJSON(name string, stdout io.Writer, value any) error {
	if name == "" {
		return nil
	}
	return toFile("json", name, stdout, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(value)
	})
}

// toFile has write fill the named file; - is stdout.
func toFile(flag, name string, stdout io.Writer, write func(io.Writer) error) error {
	if name == "-" {
		if err := write(stdout); err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
		return nil
	}
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	return nil
}

// objectives says which of what must not be is so. What was not measured fails too:
// nobody could rely on it.
func (j *judge) objectives(summary report.Summary) error {
	var broken []string
	for _, o := range j.failIf {
		switch holds, got, err := o.Holds(summary); {
		case err != nil:
			broken = append(broken, oneLine(err))
		case holds:
			broken = append(broken, fmt.Sprintf("%s (%s)", o.Text, got))
		}
	}
	if broken == nil {
		return nil
	}
	return fmt.Errorf("--fail-if: %s", strings.Join(broken, "; "))
}

// verdict says what makes a run a failed one, if anything.
func verdict(end *record.End, allowSaturated bool) error {
	switch {
	case end == nil:
		return errors.New("the record was cut off")
	case end.Error != "":
		return fmt.Errorf("the run failed: %s", end.Error)
	case end.Lost != "":
		return fmt.Errorf("the run failed: %s", end.Lost)
	case end.Interrupted:
		return fmt.Errorf("interrupted after %v", end.At.Round(1e8))
	case len(end.Saturated) > 0 && !allowSaturated:
		return fmt.Errorf("the run is invalid, the tool was the bottleneck (--allow-saturated lets it pass): %s", strings.Join(end.Saturated, "; "))
	}
	return nil
}
