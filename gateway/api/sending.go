package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/wheelgate/wheelgate/gateway"
	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

// sending is an operation whose body is a message, for messageOf. huma does not read
// it: it would refuse an empty one, and names a limit that is not ours.
func (s server) sending(id, path, summary string, statuses ...int) huma.Operation {
	statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	op := s.operation(id, http.MethodPost, path, summary, statuses...)
	op.RequestBody = &huma.RequestBody{
		Description: "The message, as it is sent: application/octet-stream makes it binary, anything else text. It may be empty.",
		Content: map[string]*huma.MediaType{
			"text/plain":               {Schema: &huma.Schema{Type: huma.TypeString}},
			"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		},
	}
	op.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		m, refused := s.receive(w, r)
		if refused != nil {
			writeProblem(w, refused.GetStatus(), refused.Error())
			return
		}
		next(huma.WithValue(ctx, messageKey{}, m))
	}}
	return op
}

// message is what a client is to get.
type message struct {
	opcode  wsconn.Opcode
	payload []byte
}

type messageKey struct{}

// messageOf returns what the operation of ctx, made by sending, is to send.
func messageOf(ctx context.Context) message { return ctx.Value(messageKey{}).(message) }

// receive reads the message that r's body is, or says why it is none.
func (s server) receive(w http.ResponseWriter, r *http.Request) (m message, refused huma.StatusError) {
	for _, coding := range r.Header.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 15.5.16
			return m, huma.Error415UnsupportedMediaType(fmt.Sprintf("Content-Encoding is %q: a message must not be encoded", coding))
		}
	}
	m.opcode = wsconn.Text
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case kind == "application/octet-stream":
		m.opcode = wsconn.Binary
	case strings.HasPrefix(kind, "multipart/"):
		return m, huma.Error415UnsupportedMediaType(fmt.Sprintf("Content-Type is %q: the body must be the message itself (curl -d or --data-binary, not -F)", kind))
	}
	most := int64(s.g.MaxMessage())
	if r.ContentLength > most {
		return m, s.tooBig() // without waiting for it
	}
	var err error
	if m.payload, err = io.ReadAll(http.MaxBytesReader(w, r.Body, most)); err != nil {
		return m, s.readFault(err)
	}
	return m, nil
}

// readFault gives a body that cannot be read its status.
func (s server) readFault(err error) huma.StatusError {
	var timeout net.Error
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return s.tooBig()
	case errors.As(err, &timeout) && timeout.Timeout():
		return huma.NewError(http.StatusRequestTimeout, "the message took too long to arrive")
	}
	return huma.Error400BadRequest("the message did not arrive wholly: " + err.Error())
}

func (s server) tooBig() huma.StatusError {
	return huma.Error413RequestEntityTooLarge(fmt.Sprintf("the message is longer than max-message, %d bytes", s.g.MaxMessage()))
}

type sendingOutput struct {
	Body struct {
		Sessions int `json:"sessions" doc:"How many sessions accepted the message for delivery." example:"2"`
	}
}

func sentTo(n int) *sendingOutput {
	out := &sendingOutput{}
	out.Body.Sessions = n
	return out
}

func (s server) registerSending(a huma.API) {
	broadcast := s.sending("broadcast", "/v1/broadcast", "Send a message to all sessions")
	huma.Register(a, broadcast, func(ctx context.Context, _ *struct{}) (*sendingOutput, error) {
		m := messageOf(ctx)
		n, err := s.g.Broadcast(m.opcode, m.payload)
		if err != nil {
			return nil, s.sendFault(err)
		}
		return sentTo(n), nil
	})
	send := s.sending("send", "/v1/sessions/{id}/messages", "Send a message to one session",
		http.StatusNotFound, http.StatusConflict)
	huma.Register(a, send, func(ctx context.Context, in *SessionID) (*sendingOutput, error) {
		session, err := s.find(in.ID)
		if err != nil {
			return nil, err
		}
		m := messageOf(ctx)
		if err := session.Send(m.opcode, m.payload); err != nil {
			return nil, s.sendFault(err)
		}
		return sentTo(1), nil
	})
}

// sendFault gives a failed send its status.
func (s server) sendFault(err error) error {
	switch {
	case errors.Is(err, gateway.ErrTooBig):
		return s.tooBig()
	case errors.Is(err, wsconn.ErrInvalidUTF8):
		return huma.Error400BadRequest("a text message must be UTF-8; send application/octet-stream for binary")
	case errors.Is(err, gateway.ErrSlow):
		return huma.Error409Conflict("the client does not read; the session was closed")
	case errors.Is(err, gateway.ErrGone):
		return errNoSession
	}
	return err
}
