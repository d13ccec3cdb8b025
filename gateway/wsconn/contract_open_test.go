package wsconn_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wheelgate/wheelgate/gateway/wsconn"
)

func contractRefusedHandshake(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	srv := newServer(t, newTransport(testConfig), l, nil)
	conn := srv.dial()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, strings.Replace(request, "Version: 13", "Version: 12", 1)); err != nil {
		t.Fatal(err)
	}
	s := <-srv.opened
	if err := <-srv.upgraded; err == nil {
		t.Error("Upgrade accepts version 12")
	}
	if e := s.expect("closed"); e.end.Err == nil {
		t.Error("Closed got no error")
	}
	answer, err := io.ReadAll(conn)
	var timeout net.Error
	if len(answer) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the client got %q, %v; want only the end", answer, err)
	}
}

func contractEndInOpen(t *testing.T, l link, newTransport func(wsconn.Config) transport) {
	tr := newTransport(testConfig)
	srv := newServer(t, tr, l, func(s *session) {
		_ = s.send(wsconn.Text, "hello")
		s.conn.Close(4101, "drain")
	})
	c, s := srv.connect(clientFrame(fin|opText, "dropped"))
	c.expect(fin|opText, "hello")
	c.expect(fin|opClose, closePayload(4101, "drain"))
	c.expectEOF()
	_ = c.Close()
	s.expect("closed")

	srv = newServer(t, tr, l, func(s *session) {
		_ = s.send(wsconn.Text, "hello")
		s.conn.Abort()
	})
	conn := srv.dial()
	defer conn.Close()
	_, _ = io.WriteString(conn, request)
	s = <-srv.opened
	if err := <-srv.upgraded; err == nil {
		t.Error("Upgrade succeeds after Abort")
	}
	if e := s.expect("closed"); e.end.Err != nil || e.end.Unsent != 1 {
		t.Errorf("end is %+v, want no error and 1 unsent", e.end)
	}
}
