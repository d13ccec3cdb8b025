// Package scenario is what a load run does, as data: read from YAML or JSON, or
// one of the ready-made ones. It knows no socket and no clock.
//
// A run has up to four phases: the crowd connects, it is held (in which messages,
// broadcasts, churn, storms and so on happen by schedule), it falls silent to
// expire or waits to be drained, and what is left of it leaves.
package scenario

import "time"

// Scenario is one run's plan. A zero field means "none" unless it says otherwise.
type Scenario struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	Connections int    `json:"connections" yaml:"connections"`

	Connect Connect  `json:"connect" yaml:"connect"`
	Hold    Duration `json:"hold" yaml:"hold"` // with all open, before they leave

	Messages    *Messages   `json:"messages,omitempty" yaml:"messages,omitempty"`
	Broadcasts  *Broadcasts `json:"broadcasts,omitempty" yaml:"broadcasts,omitempty"`
	Churn       *Churn      `json:"churn,omitempty" yaml:"churn,omitempty"`
	Storm       *Storm      `json:"storm,omitempty" yaml:"storm,omitempty"`
	SlowReaders *Share      `json:"slow_readers,omitempty" yaml:"slow_readers,omitempty"`
	HalfOpen    *Share      `json:"half_open,omitempty" yaml:"half_open,omitempty"`

	Expire *Expire `json:"expire,omitempty" yaml:"expire,omitempty"`
	Drain  *Drain  `json:"drain,omitempty" yaml:"drain,omitempty"`
}

// Connect is how the crowd arrives.
type Connect struct {
	Rate float64 `json:"rate" yaml:"rate"` // per second over all workers; 0: as fast as Parallel allows
	// Parallel is how many handshakes may be under way at once in one worker;
	// 0: 256. Those that are due and have to wait are late.
	Parallel int `json:"parallel,omitempty" yaml:"parallel,omitempty"`
}

// Messages are sent by schedule.
type Messages struct {
	Rate    float64 `json:"rate" yaml:"rate"`                           // per second over all senders
	Bytes   int     `json:"bytes" yaml:"bytes"`                         // of payload
	Senders int     `json:"senders,omitempty" yaml:"senders,omitempty"` // how many of the connections talk; 0: all
	Echo    bool    `json:"echo" yaml:"echo"`                           // the server sends each back
}

// Broadcasts are asked of the server by schedule.
type Broadcasts struct {
	Rate  float64 `json:"rate" yaml:"rate"` // per second
	Bytes int     `json:"bytes" yaml:"bytes"`
}

// Churn replaces connections by schedule.
type Churn struct {
	Rate float64 `json:"rate" yaml:"rate"` // per second
}

// Storm drops everybody at once and has them come back, Times times spread
// evenly over Hold. Who is refused tries again after about a second.
type Storm struct {
	Times  int      `json:"times" yaml:"times"`
	Jitter Duration `json:"jitter" yaml:"jitter"` // each comes back within it; 0: all at once
}

// Share is a part of the crowd, 0 to 1.
type Share struct {
	Share float64 `json:"share" yaml:"share"`
}

// Expire has the crowd fall silent and waits for the server to end each session.
type Expire struct {
	Timeout Duration `json:"timeout" yaml:"timeout"`               // the server's
	Tick    Duration `json:"tick,omitempty" yaml:"tick,omitempty"` // the server's; 0: unknown
	// Activity is what the server takes for activity: "in" (what it is sent) or
	// "in,out" (what it delivers too); "": "in,out".
	Activity string `json:"activity,omitempty" yaml:"activity,omitempty"`
}

// Out reports whether what the server delivers keeps a session.
func (e *Expire) Out() bool { return e.Activity != "in" }

// Drain waits for the server to be told to leave, and measures how it lets go. That may
// begin at any time: the first close ends the hold.
type Drain struct {
	// Within is after Hold, or the drain's begin, until the last session has been closed.
	Within Duration `json:"within" yaml:"within"`
}

// Duration is written "1m30s" in files.
type Duration time.Duration

// MarshalText writes "1m30s".
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return errNoDuration(text)
	}
	*d = Duration(v)
	return nil
}

// Std is d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }
