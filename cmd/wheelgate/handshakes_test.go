package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

// door is a server for clients over pipes.
type door struct {
	*pipes
	l *handshakes
}

// newDoor serves over pipes, in a bubble, until the test's end.
func newDoor(t *testing.T, most int, config *tls.Config, trusted ...netip.Prefix) *door {
	o := &options{trustedProxies: trusted}
	o.gateway.HandshakeTimeout = 5 * time.Second
	d := &door{pipes: newPipes()}
	d.l = newHandshakes(d.pipes, most, o, newDoorMetrics(), zerolog.Nop())
	server := &http.Server{ConnState: d.l.changed, TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		if r.URL.Path == "/ws" {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		}
	})}
	served := make(chan error)
	go func() {
		if config != nil {
			served <- server.ServeTLS(d.l, "", "")
			return
		}
		served <- server.Serve(d.l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return d
}

func (d *door) want(t *testing.T, accepted int64, inProgress int) {
	t.Helper()
	synctest.Wait()
	if got := d.accepted.Load(); got != accepted {
		t.Fatalf("%d connections are accepted; want %d", got, accepted)
	}
	if got := d.l.inProgress(); got != inProgress {
		t.Fatalf("%d handshakes are in progress; want %d", got, inProgress)
	}
}

func (d *door) refused(reason string) float64 {
	return testutil.ToFloat64(d.l.metrics.refused.WithLabelValues(reason))
}

// TestHandshakesAreBounded: whoever says nothing has a place until the deadline, a
// session none. The address is a trusted proxy's, so it has no share.
func TestHandshakesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, 3, nil, netip.MustParsePrefix("192.0.2.0/24"))
		for range 10 {
			if got := request(t, d.dial(t), "GET", "/ws", ""); got != http.StatusSwitchingProtocols {
				t.Errorf("status %d", got)
			}
			if got := request(t, d.dial(t), "GET", "/", ""); got != http.StatusOK {
				t.Errorf("status %d", got)
			}
		}
		d.want(t, 20, 0)
		for range 5 {
			d.dial(t)
		}
		d.want(t, 20+3+1, 3) // and one in hand
		time.Sleep(6 * time.Second)
		d.want(t, 20+5, 2)
		time.Sleep(6 * time.Second)
		d.want(t, 20+5, 0)
		if got := d.refused(refusedDeadline); got != 5 {
			t.Errorf("%v refused for the deadline; want 5", got)
		}
	})
}

// TestOneAddressDoesNotHoldUpOthers with connections that say nothing.
func TestOneAddressDoesNotHoldUpOthers(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent func(i int) string
		honest string
	}{
		{"IPv4", func(int) string { return "192.0.2.2" }, "192.0.2.1"},
		{"IPv4 in IPv6 form", func(int) string { return "::ffff:192.0.2.2" }, "::ffff:192.0.2.1"},
		{"IPv6 by /64", func(i int) string { return fmt.Sprintf("2001:db8::%x", i) }, "2001:db8:0:1::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, 64, nil)
				for i := range 1000 {
					d.dialFrom(t, c.silent(i))
				}
				honest := d.dialFrom(t, c.honest)
				begun := time.Now()
				if got := request(t, honest, "GET", "/ws", ""); got != http.StatusSwitchingProtocols {
					t.Errorf("status %d", got)
				}
				if took := time.Since(begun); took > silence {
					t.Errorf("the handshake from another address took %v", took)
				}
				d.want(t, 1001, 48)
				if got := d.refused(refusedShare); got != 1000-48 {
					t.Errorf("%v refused for the share; want %d", got, 1000-48)
				}
				begun = time.Now()
				if got := request(t, d.dialFrom(t, c.honest), "GET", "/ws", ""); got != http.StatusSwitchingProtocols || time.Since(begun) > 0 {
					t.Errorf("status %d after %v", got, time.Since(begun))
				}
			})
		})
	}
}

// TestACrowdBehindOneAddressIsServed: none of it is refused, as it gets on. That holds for
// a slow one too, as it is where there is little processor time.
func TestACrowdBehindOneAddressIsServed(t *testing.T) {
	for name, takes := range map[string]func(i int) time.Duration{
		"quick": func(int) time.Duration { return 100 * time.Millisecond },
		"slow":  func(i int) time.Duration { return time.Duration(2+i%7) * silence / 4 },
	} {
		t.Run(name, func(t *testing.T) { crowd(t, takes) })
	}
}

// crowd has 500 clients of one address come at once; client i sends its request some time
// after it was accepted.
func crowd(t *testing.T, takes func(i int) time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, 16, nil)
		answers := make(chan int)
		for i := range 500 {
			conn := d.dial(t)
			go func() {
				_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\n") // waits for the server to read
				time.Sleep(takes(i))
				_, _ = io.WriteString(conn, "Host: localhost\r\n\r\n")
				answers <- status(conn)
			}()
		}
		for range 500 {
			if got := <-answers; got != http.StatusSwitchingProtocols {
				t.Fatalf("status %d", got)
			}
		}
		if got := d.refused(refusedShare); got != 0 {
			t.Errorf("%v refused", got)
		}
	})
}

// TestOneDeadline from accept to session, whatever the client does meanwhile.
func TestOneDeadline(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := dir+"/cert.pem", dir+"/key.pem"
	certify(t, certFile, keyFile, 1)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	trickle := func(conn net.Conn) {
		for _, c := range []byte("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n") {
			if _, err := conn.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	for _, c := range []struct {
		name   string
		config *tls.Config
		client func(net.Conn)
	}{
		{"silent", nil, func(net.Conn) {}},
		{"trickling", nil, trickle},
		{"TLS late, then trickling", &tls.Config{Certificates: []tls.Certificate{pair}}, func(conn net.Conn) {
			time.Sleep(4 * time.Second)
			secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			if err := secure.Handshake(); err != nil {
				t.Error(err)
			}
			trickle(secure)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, 16, c.config)
				conn := d.dial(t)
				var client sync.WaitGroup
				client.Go(func() { c.client(conn) })
				time.Sleep(5*time.Second - time.Millisecond)
				d.want(t, 1, 1)
				time.Sleep(time.Millisecond)
				d.want(t, 1, 0)
				_, _ = io.Copy(io.Discard, conn)
				client.Wait()
			})
		})
	}
}

// TestTLSFailuresAreCounted by cause.
func TestTLSFailuresAreCounted(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := dir+"/cert.pem", dir+"/key.pem"
	certify(t, certFile, keyFile, 1)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for cause, client := range map[string]func(net.Conn){
		"no_tls":  func(conn net.Conn) { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") },
		"hung_up": func(conn net.Conn) { _ = conn.Close() },
		"alert":   func(conn net.Conn) { _ = tls.Client(conn, &tls.Config{ServerName: "127.0.0.1"}).Handshake() },
		"protocol": func(conn net.Conn) {
			_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}).Handshake()
		},
		"deadline": func(net.Conn) {},
		"none": func(conn net.Conn) {
			secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			_, _ = io.WriteString(secure, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			_, _ = http.ReadResponse(bufio.NewReader(secure), nil)
		},
	} {
		t.Run(cause, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, 16, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
				conn := d.dial(t)
				go func() {
					client(conn)
					_, _ = io.Copy(io.Discard, conn)
				}()
				time.Sleep(6 * time.Second)
				_ = conn.Close()
				d.want(t, 1, 0)
				for _, name := range []string{"no_tls", "hung_up", "alert", "protocol", "deadline"} {
					want := 0.0
					if name == cause {
						want = 1
					}
					if got := testutil.ToFloat64(d.l.metrics.tlsFailures.WithLabelValues(name)); got != want {
						t.Errorf("%s: %v; want %v", name, got, want)
					}
				}
			})
		})
	}
}
