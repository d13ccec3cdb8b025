package gateway

import (
	"fmt"
	"strconv"
)

// Reason is why a session ended. The table below is the only place that knows
// close codes; everything else speaks of reasons.
type Reason uint8

// The reasons. ReasonNone is that of a session still open.
const (
	ReasonNone Reason = iota
	ReasonDrain
	ReasonSlowConsumer
	ReasonPartialBudget
	ReasonMessageTimeout
	ReasonOutboxBudget
	ReasonPongTimeout
	ReasonIdleTimeout
	ReasonKicked
	ReasonProtocol
	ReasonTooBig
	ReasonBadUTF8
	ReasonInternal
	ReasonPeerClosed
	ReasonLost
	reasonCount
)

// CloseCodes chooses between the two columns of codes in the table of reasons.
type CloseCodes uint8

const (
	// CodesApp: 41xx and 42xx mean "come back", 45xx "stay away", which the common
	// client libraries read alike. What RFC 6455 has a code for keeps that code.
	CodesApp CloseCodes = iota
	// CodesRFC: only the codes of RFC 6455 section 7.4.1 and IANA's registry.
	CodesRFC
)

var closeCodeNames = [...]string{CodesApp: "app", CodesRFC: "rfc"}

// ParseCloseCodes reads "app" or "rfc".
func ParseCloseCodes(s string) (CloseCodes, error) {
	for c, name := range closeCodeNames {
		if s == name {
			return CloseCodes(c), nil
		}
	}
	return 0, fmt.Errorf("gateway: close codes %q: must be app or rfc", s)
}

// String is the form ParseCloseCodes reads.
func (c CloseCodes) String() string {
	if int(c) < len(closeCodeNames) {
		return closeCodeNames[c]
	}
	return strconv.Itoa(int(c))
}

// ending is one row of the table: the token is both the start of the close
// frame's text and the metric's label.
type ending struct {
	token    string
	app, rfc uint16 // close codes; 0: no close frame is sent
}

var endings = [reasonCount]ending{
	ReasonNone:           {token: "open"},
	ReasonDrain:          {"drain", 4101, 1012},
	ReasonSlowConsumer:   {"slow_consumer", 4102, 1013},
	ReasonPartialBudget:  {"partial_budget", 4105, 1013},
	ReasonMessageTimeout: {"message_timeout", 4106, 1008},
	ReasonOutboxBudget:   {"outbox_budget", 4107, 1013},
	ReasonPongTimeout:    {"pong_timeout", 4201, 1001},
	ReasonIdleTimeout:    {"idle_timeout", 4202, 1001},
	ReasonKicked:         {"kicked", 4503, 1008},
	ReasonProtocol:       {"protocol", 1002, 1002},
	ReasonTooBig:         {"too_big", 1009, 1009},
	ReasonBadUTF8:        {"bad_utf8", 1007, 1007},
	ReasonInternal:       {"internal", 1011, 1011},
	ReasonPeerClosed:     {token: "peer_closed"}, // the peer's own code is echoed
	ReasonLost:           {token: "lost"},        // nobody is left to tell
}

// idleStayAway replaces the row of ReasonIdleTimeout unless Config.IdleReturn.
var idleStayAway = ending{"idle_timeout", 4500, 1000}

// String is the reason's token.
func (r Reason) String() string { return endings[r].token }

// closing is what a close frame of ours says.
type closing struct {
	reason Reason
	code   uint16
	text   string // "token" or "token;key=value", ASCII, at most 123 bytes
}

// closing looks r up for this configuration; detail is "" or "key=value".
func (c *Config) closing(r Reason, detail string) closing {
	row := endings[r]
	if r == ReasonIdleTimeout && !c.IdleReturn {
		row = idleStayAway
	}
	code, text := row.app, row.token
	if c.CloseCodes == CodesRFC {
		code = row.rfc
	}
	if detail != "" {
		text += ";" + detail
	}
	return closing{reason: r, code: code, text: text}
}
