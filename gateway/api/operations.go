package api

import (
	"context"
	"net/http"
	"runtime"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wheelgate/wheelgate/gateway"
)

// server holds what the operations work on.
type server struct {
	g       *gateway.Gateway
	token   bool // is asked for
	cursors cursors
}

// operation describes one call. The statuses are those of its own; the guards of
// New add theirs, and huma 500. All have 400 and 422 for a query that is malformed, or
// has unknown names.
func (s server) operation(id, method, path, summary string, statuses ...int) huma.Operation {
	statuses = append(statuses, http.StatusBadRequest, http.StatusUnprocessableEntity)
	if s.token {
		statuses = append(statuses, http.StatusUnauthorized)
	}
	if !s.token || method != http.MethodGet {
		statuses = append(statuses, http.StatusForbidden)
	}
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Errors: statuses}
}

var errNoSession = huma.Error404NotFound("no session has this id (any more)")

// SessionID is the part of a path that names a session.
type SessionID struct {
	ID string `path:"id" doc:"The session's id."`
}

func (s server) find(id string) (*gateway.Session, error) {
	if session := s.g.Session(id); session != nil {
		return session, nil
	}
	return nil, errNoSession
}

type sessionView struct {
	ID           string    `json:"id"`
	RemoteAddr   string    `json:"remote_address"`
	State        string    `json:"state" enum:"open,closing"`
	Reason       string    `json:"reason,omitempty" doc:"Why it is closing."`
	ConnectedAt  time.Time `json:"connected_at"`
	Age          float64   `json:"age_seconds"`
	LastActivity time.Time `json:"last_activity" doc:"To within half a tick."`
	Timeout      float64   `json:"timeout_seconds" doc:"Inactivity after which it is closed."`
	ExpiresIn    float64   `json:"expires_in_seconds" doc:"If nothing happens before."`
	Received     uint64    `json:"messages_received"`
	Sent         uint64    `json:"messages_sent"`
}

func view(session *gateway.Session) sessionView {
	info := session.Info()
	v := sessionView{
		ID: info.ID, RemoteAddr: info.RemoteAddr, State: "open",
		ConnectedAt: info.ConnectedAt, Age: time.Since(info.ConnectedAt).Seconds(),
		LastActivity: info.LastActivity, Timeout: info.Timeout.Seconds(), ExpiresIn: info.ExpiresIn.Seconds(),
		Received: info.Received, Sent: info.Sent,
	}
	if info.Closing {
		v.State, v.Reason = "closing", info.Reason.String()
	}
	return v
}

type sessionOutput struct{ Body sessionView }

type listOutput struct {
	Body struct {
		Sessions []sessionView `json:"sessions"`
		Next     string        `json:"next_cursor,omitempty" doc:"Pass as cursor for the next page; absent on the last."`
	}
}

type statsOutput struct {
	Body struct {
		Sessions   int     `json:"sessions"`
		Limit      int     `json:"sessions_limit" doc:"0 is none."`
		Ready      bool    `json:"ready" doc:"What /readyz says."`
		Leaving    bool    `json:"leaving" doc:"The process has been told to stop; it may still accept sessions (--drain-wait)."`
		Draining   bool    `json:"draining" doc:"Sessions are being closed."`
		Entries    int     `json:"wheel_entries"`
		Queued     int     `json:"wheel_queued"`
		Watchdog   int64   `json:"wheel_watchdog"`
		Paused     float64 `json:"wheel_paused_seconds"`
		Goroutines int     `json:"goroutines"`
	}
}

func (s server) registerSessions(a huma.API) {
	const one = "/v1/sessions/{id}"
	huma.Register(a, s.operation("get-session", http.MethodGet, one, "Tell about one session", http.StatusNotFound), s.get)
	huma.Register(a, s.operation("list-sessions", http.MethodGet, "/v1/sessions", "List sessions, page by page"), s.list)
	huma.Register(a, s.operation("disconnect", http.MethodDelete, one, "Close one session",
		http.StatusNotFound, http.StatusConflict), s.disconnect)
	huma.Register(a, s.operation("stats", http.MethodGet, "/v1/stats", "The gateway at a glance"), s.stats)
}

func (s server) get(_ context.Context, in *SessionID) (*sessionOutput, error) {
	session, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	return &sessionOutput{view(session)}, nil
}

func (s server) list(_ context.Context, in *struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" doc:"next_cursor of the page before."`
},
) (*listOutput, error) {
	from, ok := s.cursors.read(in.Cursor)
	if !ok {
		return nil, huma.Error400BadRequest("cursor is not the next_cursor of a page that this process gave out")
	}
	sessions, next := s.g.Sessions(from, in.Limit)
	out := &listOutput{}
	out.Body.Sessions = make([]sessionView, 0, len(sessions))
	for _, session := range sessions {
		out.Body.Sessions = append(out.Body.Sessions, view(session))
	}
	if next != 0 {
		out.Body.Next = s.cursors.text(next)
	}
	return out, nil
}

func (s server) disconnect(_ context.Context, in *struct {
	SessionID
	Code   int    `query:"code" minimum:"1000" maximum:"4999" doc:"Close code: 1000, 1001, 1008, 1011 to 1014 or 3000 to 4999; the code of kicked when absent."`
	Reason string `query:"reason" doc:"Close reason: UTF-8 of at most 123 bytes."`
},
) (*struct{}, error) {
	session, err := s.find(in.ID)
	if err != nil {
		return nil, err
	}
	ended, err := session.Disconnect(uint16(in.Code), in.Reason)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	if !ended {
		return nil, huma.Error409Conflict("the session is closing already: " + session.Reason().String())
	}
	return nil, nil
}

func (s server) stats(context.Context, *struct{}) (*statsOutput, error) {
	st := s.g.Stats()
	out := &statsOutput{}
	b := &out.Body
	b.Sessions, b.Limit, b.Ready = st.Sessions, st.Limit, unready(s.g) == ""
	b.Leaving, b.Draining = st.Leaving, st.Draining
	b.Entries, b.Queued, b.Watchdog, b.Paused = st.Wheel.Entries, st.Wheel.Queued, st.Wheel.Watchdog, st.Wheel.Paused.Seconds()
	b.Goroutines = runtime.NumGoroutine()
	return out, nil
}
