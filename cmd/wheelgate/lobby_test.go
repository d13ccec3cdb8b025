package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

// newLobbyDoor serves next in a lobby over pipes, in a bubble, until the test's end.
func newLobbyDoor(t *testing.T, most int, config *tls.Config, next http.Handler) (*pipes, *lobby) {
	p := newPipes()
	s := &listeners{log: zerolog.Nop()}
	l := newLobby(p, most, adminEvictAfter, newDoorMetrics().evicted)
	server := s.lobbyServer(l, prompt(l, inTurn(l, next)))
	server.ReadTimeout = 30 * time.Second
	server.TLSConfig = config
	served := make(chan error)
	go func() {
		if config != nil {
			served <- server.ServeTLS(l, "", "")
			return
		}
		served <- server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		synctest.Wait()
		if n := l.taken(); n != 0 || l.yielding.Len() != 0 {
			t.Errorf("%d places are taken at the end", n)
		}
	})
	return p, l
}

// readBody is a handler that reads the body, and refuses without if there is a token to ask for.
var readBody = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Refuse") != "" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	if _, err := io.ReadAll(r.Body); err != nil {
		http.Error(w, "slow", http.StatusRequestTimeout)
	}
})

// TestIdleConnectionsGiveWay after a second, also those that become idle when another
// is waiting already.
func TestIdleConnectionsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newLobbyDoor(t, 4, nil, readBody)
		var kept []net.Conn
		for range 4 {
			conn := p.dial(t)
			kept = append(kept, conn)
			if got := request(t, conn, "POST", "/", "x"); got != http.StatusOK {
				t.Fatalf("status %d", got)
			}
			synctest.Wait() // they become idle one after the other
		}
		for i := range 4 {
			begun := time.Now()
			if got := request(t, p.dial(t), "POST", "/", "x"); got != http.StatusOK {
				t.Fatalf("status %d", got)
			}
			if took := time.Since(begun); i == 0 && took < time.Second || took > time.Second+lastLook {
				t.Errorf("waited %v", took)
			}
			_ = kept[i].SetReadDeadline(time.Now().Add(lastLook))
			if !ended(kept[i]) {
				t.Errorf("connection %d is not closed", i)
			}
		}
		if got := testutil.ToFloat64(l.evicted.WithLabelValues(evictedIdle)); got != 4 {
			t.Errorf("%v evicted; want 4", got)
		}
	})
}

// TestSilentConnectionsGiveWay: nothing has been asked on them.
func TestSilentConnectionsGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newLobbyDoor(t, 4, nil, readBody)
		for range 40 {
			p.dial(t)
		}
		begun := time.Now()
		if got := request(t, p.dial(t), "GET", "/livez", ""); got != http.StatusOK {
			t.Errorf("status %d", got)
		}
		if took := time.Since(begun); took > 10*(time.Second+lastLook) {
			t.Errorf("waited %v", took)
		}
	})
}

// TestSlowHeadersGiveWay a second after their first byte, though more of them comes all the
// time: four places for 40 of them, and the bytes of none extend its time.
func TestSlowHeadersGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newLobbyDoor(t, 4, nil, readBody)
		var drips sync.WaitGroup
		defer drips.Wait() // for adminHeaderTimeout at most
		for range 40 {
			conn := p.dial(t)
			drips.Go(func() {
				_, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nX: ")
				for err == nil {
					time.Sleep(300 * time.Millisecond)
					_, err = io.WriteString(conn, "x")
				}
			})
		}
		synctest.Wait()
		begun := time.Now()
		if got := request(t, p.dial(t), "GET", "/livez", ""); got != http.StatusOK {
			t.Errorf("status %d", got)
		}
		if took := time.Since(begun); took > 10*(time.Second+lastLook) {
			t.Errorf("waited %v", took)
		}
		if got := testutil.ToFloat64(l.evicted.WithLabelValues(evictedHeader)); got < 37 {
			t.Errorf("%v evicted; want 37 or more", got)
		}
	})
}

// TestBusyBackendsLoseNothing: those that wait get the places of those that are answered.
func TestBusyBackendsLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newLobbyDoor(t, 4, nil, readBody)
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				conn := p.dial(t)
				for range 50 {
					if conn == nil {
						conn = p.dial(t)
					}
					begun := time.Now()
					go func() {
						_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
					}()
					answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil || answer.StatusCode != http.StatusOK {
						t.Errorf("%v, %v", answer, err)
						return
					}
					if took := time.Since(begun); took > 5*time.Second {
						t.Errorf("one waited for %v", took)
					}
					if answer.Close {
						_ = conn.Close()
						conn = nil
					}
					time.Sleep(500 * time.Millisecond)
				}
			})
		}
		clients.Wait()
	})
}

// TestARequestOfTheLastMomentIsServed: its bytes were there before the connection was closed.
// Another place may have become free meanwhile.
func TestARequestOfTheLastMomentIsServed(t *testing.T) {
	for _, freed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, l := newLobbyDoor(t, 4, nil, readBody)
			var kept []net.Conn
			for range 4 {
				kept = append(kept, p.dial(t))
				request(t, kept[len(kept)-1], "GET", "/", "")
			}
			time.Sleep(2 * time.Second)
			go func() { _, _ = io.WriteString(kept[0], "GE") }() // not read yet
			l.mu.Lock()
			g := l.yielding.Front().Value.(*guest)
			l.forget(g)
			l.leaving, l.told = g, time.Now()
			g.stopReading()
			if freed {
				l.leaving = nil // as enter does
			}
			l.mu.Unlock()
			time.Sleep(2 * time.Second) // the rest may come as late as that of others
			go func() { _, _ = io.WriteString(kept[0], "T / HTTP/1.1\r\nHost: localhost\r\n\r\n") }()
			if got := status(kept[0]); got != http.StatusOK {
				t.Errorf("a place freed meanwhile: %t; status %d", freed, got)
			}
		})
	}
}

// TestRefusalsDoNotWaitForBodies, over TLS neither.
func TestRefusalsDoNotWaitForBodies(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir+"/cert.pem", dir+"/key.pem", 1)
	pair, err := tls.LoadX509KeyPair(dir+"/cert.pem", dir+"/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": {Certificates: []tls.Certificate{pair}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newLobbyDoor(t, 4, config, readBody)
				begun := time.Now()
				for _, length := range []string{"Content-Length: 100000", "Content-Length: 10000000", "Transfer-Encoding: chunked", "Content-Length: 9\r\nExpect: 100-continue"} {
					conn := p.dial(t)
					if config != nil {
						conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
					}
					go func() { _, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nRefuse: 1\r\n"+length+"\r\n\r\n") }()
					answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil || answer.StatusCode != http.StatusUnauthorized || !answer.Close || time.Since(begun) > 0 {
						t.Errorf("%s: %v, %v after %v", length, answer, err, time.Since(begun))
					}
					_, _ = io.Copy(io.Discard, conn)
					if took := time.Since(begun); took > linger {
						t.Errorf("%s: the place was kept for %v", length, took)
					}
					begun = time.Now()
				}
			})
		})
	}
}

// TestAnswersOfReadBodiesKeepTheConnection, whatever they say.
func TestAnswersOfReadBodiesKeepTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newLobbyDoor(t, 4, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, "no such session", http.StatusNotFound)
		}))
		conn := p.dial(t)
		for range 3 {
			if got := request(t, conn, "POST", "/", "body"); got != http.StatusNotFound {
				t.Errorf("status %d", got)
			}
		}
	})
}

// TestHealthIsAnsweredBesideSlowRequests, which take all the turns there are, and wait.
func TestHealthIsAnsweredBesideSlowRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := newLobbyDoor(t, 8, nil, readBody)
		slow := make(chan int, 30)
		for range 30 {
			conn := p.dial(t)
			go func() {
				_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
				slow <- status(conn)
			}()
		}
		begun := time.Now()
		if got := request(t, p.dial(t), "GET", "/readyz", ""); got != http.StatusOK {
			t.Errorf("status %d", got)
		}
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("after %v", took) // of the 30 s that the slow ones have
		}
		statuses := map[int]int{}
		for range 30 {
			statuses[<-slow]++
		}
		if statuses[http.StatusServiceUnavailable] != 24 || statuses[http.StatusRequestTimeout] != 6 {
			t.Errorf("%v", statuses)
		}
		if got := testutil.ToFloat64(l.evicted.WithLabelValues(evictedWaiting)); got != 24 {
			t.Errorf("%v told to come again; want 24", got)
		}
	})
}

// TestHealthListener serves nothing but health, and asks for no token.
func TestHealthListener(t *testing.T) {
	p, _ := start(t, "--health-listen=127.0.0.1:0", "--admin-token=s3cret")
	line := p.log.await(t, "listening for health checks")
	health, _ := line["addr"].(string)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 404, "/v1/stats": 404, "/": 404} {
		if got, _ := get(t, "http://"+health+path); got != want {
			t.Errorf("%s: %d; want %d", path, got, want)
		}
	}
	if got, _ := get(t, "http://"+p.admin+"/livez"); got != http.StatusOK {
		t.Errorf("beside it: %d", got)
	}
}

// TestHealthListenerTurnsIdlersOutSoon, over real sockets: a tenth of a second each, for they
// are many and its places few.
func TestHealthListenerTurnsIdlersOutSoon(t *testing.T) {
	p, _ := start(t, "--health-listen=127.0.0.1:0")
	line := p.log.await(t, "listening for health checks")
	health, _ := line["addr"].(string)
	for i := range 30 * healthFiles {
		conn, err := net.Dial("tcp", health)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "GET /livez HTT")
		}
	}
	if got, _ := get(t, "http://"+health+"/livez"); got != http.StatusOK { // with a time limit
		t.Errorf("status %d", got)
	}
}

// TestSlowRefusalsLeaveHealth, over real sockets: many announce a body and send none.
func TestSlowRefusalsLeaveHealth(t *testing.T) {
	p, _ := start(t, "--admin-token=s3cret")
	for range 100 {
		conn, err := net.Dial("tcp", p.admin)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
	}
	if got, _ := get(t, "http://"+p.admin+"/livez"); got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	if _, header := get(t, "http://"+p.admin+"/v1/stats"); strings.Contains(header.Get("Connection"), "close") {
		t.Errorf("a refusal without a body ends the connection: %v", header)
	}
}
