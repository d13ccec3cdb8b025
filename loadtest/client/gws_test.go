package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

type gwsEcho struct{ gws.BuiltinEventHandler }

func (gwsEcho) OnMessage(conn *gws.Conn, m *gws.Message) {
	defer m.Close()
	if m.Data.String() == "ping me" {
		_ = conn.WritePing([]byte("p"))
		return
	}
	_ = conn.WriteMessage(m.Opcode, m.Bytes())
}

func (gwsEcho) OnPong(conn *gws.Conn, payload []byte) {
	_ = conn.WriteString("ponged " + string(payload))
}

// TestAgainstGws: a server of somebody else's takes our frames for what they are.
func TestAgainstGws(t *testing.T) {
	upgrader := gws.NewUpgrader(gwsEcho{}, &gws.ServerOption{SubProtocols: []string{"talk"}, CheckUtf8Enabled: true})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r); err == nil {
			conn.ReadLoop()
		}
	}))
	defer server.Close()
	x := newFixture(t, false)
	crowd := x.crowd(Config{})
	target, err := NewTarget("ws"+strings.TrimPrefix(server.URL, "http"), http.Header{"X-Token": {"t"}}, []string{"talk"})
	if err != nil {
		t.Fatal(err)
	}
	l := crowd.Loops()[0]
	l.Post(func() { l.Dial(target, 0) })
	c := x.expect("opened").c
	for _, text := range []string{"", "ünïcode", strings.Repeat("long ", 60_000)} {
		on(c, func() { _ = c.Send(Text, []byte(text)) })
		if e := x.expect("message"); e.payload != text {
			t.Errorf("%d bytes came back for %d", len(e.payload), len(text))
		}
	}
	on(c, func() { _ = c.Send(Text, []byte("ping me")) })
	if e := x.expect("message"); e.payload != "ponged p" {
		t.Error(e.payload)
	}
	on(c, func() { c.Close(1000, "") })
	if e := x.expect("closed"); e.err.Kind != KindClosed || e.code != 1000 {
		t.Errorf("%d %v", e.code, e.err)
	}
}
