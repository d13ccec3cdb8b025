package main

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/rs/zerolog"
)

// logTime is RFC 3339 with milliseconds.
const logTime = "2006-01-02T15:04:05.000Z07:00"

// newLogger writes to w as the settings say, but for the level. It may be used by many
// goroutines.
func newLogger(w *logWriter, o *options) zerolog.Logger {
	var out io.Writer = w
	if o.logFormat == "console" || o.logFormat == "auto" && w.terminal {
		out = zerolog.SyncWriter(zerolog.ConsoleWriter{Out: w, NoColor: !w.terminal, TimeFormat: "15:04:05.000"})
	}
	log := zerolog.New(out).Hook(zerolog.HookFunc(stamp))
	w.onDrop(func(dropped uint64) {
		log.Warn().Uint64("lines", dropped).Msg("Log lines dropped, because stderr was read too slowly")
	})
	return log
}

// setLogLevel sets the least level that all loggers log. It is zerolog's global one,
// since copies of a logger are everywhere and each has a level of its own.
func setLogLevel(o *options) { zerolog.SetGlobalLevel(o.logLevel) }

// stamp adds the time. It stands for zerolog's own timestamp, whose format is a
// global of the whole program.
func stamp(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().Format(logTime))
}

// debugHandler logs all that libraries say, whatever level they find fit, at
// debug level.
type debugHandler struct{ slog.Handler }

func newDebugHandler(log zerolog.Logger) debugHandler {
	return debugHandler{zerolog.NewSlogHandler(log)}
}

func (h debugHandler) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

func (h debugHandler) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	r.Time = time.Time{} // stamp adds it
	return h.Handler.Handle(ctx, r)
}

func (h debugHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return debugHandler{h.Handler.WithAttrs(attrs)}
}

func (h debugHandler) WithGroup(name string) slog.Handler {
	return debugHandler{h.Handler.WithGroup(name)}
}
