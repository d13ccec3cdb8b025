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

// logged is what write makes of a logger with these settings.
func logged(o *options, write func(zerolog.Logger)) string {
	var out bytes.Buffer
	defer zerolog.SetGlobalLevel(zerolog.GlobalLevel())
	setLogLevel(o)
	w := newLogWriter(&out)
	write(newLogger(w, o))
	w.close()
	return out.String()
}

func TestLogIsJSONWithMilliseconds(t *testing.T) {
	for _, format := range []string{"auto", "json"} {
		out := logged(&options{logFormat: format, logLevel: zerolog.InfoLevel}, func(log zerolog.Logger) {
			log.Debug().Msg("unseen")
			log.Info().Int("n", 1).Msg("seen")
		})
		var line struct {
			Level, Time, Message string
			N                    int
		}
		if err := json.Unmarshal([]byte(out), &line); err != nil {
			t.Fatalf("%s: %v: %s", format, err, out)
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
	got := logged(&options{logFormat: "console", logLevel: zerolog.TraceLevel}, func(log zerolog.Logger) {
		log.Warn().Str("a", "b").Msg("seen")
	})
	if !strings.HasSuffix(got, " WRN seen a=b\n") || strings.Contains(got, "\x1b") || strings.Contains(got, "<nil>") {
		t.Errorf("%q", got)
	}
}

func TestLibrariesLogAtDebugLevel(t *testing.T) {
	f := func(level zerolog.Level) string {
		return logged(&options{logLevel: level}, func(log zerolog.Logger) {
			slog.New(newDebugHandler(log)).With("a", 1).Error("seen", "b", 2)
		})
	}
	if got := f(zerolog.InfoLevel); got != "" {
		t.Errorf("logged %s", got)
	}
	if got := f(zerolog.DebugLevel); !strings.HasPrefix(got, `{"level":"debug","a":1,"b":2,"time":"`) || strings.Count(got, `"time"`) != 1 {
		t.Errorf("logged %s", got)
	}
}
