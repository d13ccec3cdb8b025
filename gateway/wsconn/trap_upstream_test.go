package wsconn_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lxzan/gws"
)

// These pin what gws v1.9.1 does by itself and why we go around it: when one of
// them fails after an upgrade, the detour may be given up.

const rawHandshake = "GET / HTTP/1.1\r\nHost: gate.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// TestTrapUpgradeChecksLittle: why the gateway validates before.
func TestTrapUpgradeChecksLittle(t *testing.T) {
	upgrader := gws.NewUpgrader(gws.BuiltinEventHandler{}, nil)
	for name, change := range map[string]func(*http.Request){
		"a key that is none": func(r *http.Request) { r.Header.Set("Sec-WebSocket-Key", "x") },
		"two keys":           func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "y") },
		"HTTP/1.0":           func(r *http.Request) { r.ProtoMinor = 0 },
		"a foreign origin":   func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") },
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}
		change(r)
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		if _, err := upgrader.UpgradeFromConn(here, nil, r); err != nil {
			t.Errorf("%s: gws refuses it now: %v", name, err)
		}
		_, _ = here.Close(), there.Close()
	}
}

// TestTrapUpgradeLosesEarlyBytes: a frame in the packet of the request never arrives.
func TestTrapUpgradeLosesEarlyBytes(t *testing.T) {
	got := make(chan string, 2)
	upgrader := gws.NewUpgrader(receiver{got: got}, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		socket.ReadLoop()
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write(append([]byte(rawHandshake), clientFrame(fin|opText, "early")...))
	answer := make([]byte, 1024)
	if _, err := conn.Read(answer); err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(clientFrame(fin|opText, "second"))
	if first := <-got; first != "second" {
		t.Errorf("gws delivers %q now", first)
	}
}

type receiver struct {
	gws.BuiltinEventHandler
	got chan string
}

func (r receiver) OnMessage(_ *gws.Conn, m *gws.Message) { r.got <- string(m.Bytes()) }

// TestTrapWritesBlock: one peer that does not read blocks the writer for ever,
// with the mutex held that a close would need.
func TestTrapWritesBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		go func() { _, _ = io.WriteString(there, rawHandshake) }()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = http.Header{
			"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
			"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		}
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			_, _ = there.Read(make([]byte, 1024))
		}()
		_, _ = here.Read(make([]byte, 1024))
		socket, err := gws.NewUpgrader(gws.BuiltinEventHandler{}, nil).UpgradeFromConn(here, nil, r)
		if err != nil {
			t.Fatal(err)
		}
		<-answered
		returned := make(chan struct{})
		go func() { defer close(returned); _ = socket.WriteString("stuck") }()
		time.Sleep(time.Hour)
		select {
		case <-returned:
			t.Error("WriteString returns now")
		default:
		}
		_ = there.Close()
		<-returned
		_ = here.Close()
	})
}
