package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestLogIsJSONWithMilliseconds(t *testing.T) {
	for _, format := range []string{"auto", "json"} {
		var out bytes.Buffer
		log := newLogger(&out, &options{logFormat: format, logLevel: zerolog.InfoLevel})
		log.Debug().Msg("unseen")
		log.Info().Int("n", 1).Msg("seen")
		var line struct {
			Level, Time, Message string
			N                    int
		}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v: %s", format, err, out.String())
		}
		when, err := time.Parse(logTime, line.Time)
		if err != nil || time.Since(when).Abs() > time.Minute || !strings.Contains(line.Time, ".") {
			t.Errorf("time %q: %v", line.Time, err)
		}
		if line.Level != "info" || line.Message != "seen" || line.N != 1 {
			t.Errorf("%+v", line)
		}
	}
}

func TestConsoleLogHasNoColourOffTheTerminal(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, &options{logFormat: "console", logLevel: zerolog.TraceLevel})
	log.Warn().Str("a", "b").Msg("seen")
	if got := out.String(); !strings.HasSuffix(got, " WRN seen a=b\n") || strings.Contains(got, "\x1b") || strings.Contains(got, "<nil>") {
		t.Errorf("%q", got)
	}
}

func TestLibrariesLogAtDebugLevel(t *testing.T) {
	var out bytes.Buffer
	slog.New(newDebugHandler(newLogger(&out, &options{logLevel: zerolog.InfoLevel}))).Error("unseen")
	if out.Len() != 0 {
		t.Errorf("logged %s", out.String())
	}
	slog.New(newDebugHandler(newLogger(&out, &options{logLevel: zerolog.DebugLevel}))).With("a", 1).Error("seen", "b", 2)
	if got := out.String(); !strings.HasPrefix(got, `{"level":"debug","a":1,"b":2,"time":"`) || strings.Count(got, `"time"`) != 1 {
		t.Errorf("logged %s", got)
	}
}
