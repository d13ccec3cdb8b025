package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

// resolve has all names be 127.0.0.1 and ::1, as localhost is on most machines.
func resolve(t *testing.T) {
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, its := net.Pipe()
		go answer(ours)
		return its, nil
	}}
}

// answer is a name server on a stream: each message has its length before it.
func answer(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		question := query[12 : 12+bytes.IndexByte(query[12:], 0)+5] // name, type, class
		addr := net.IPv4(127, 0, 0, 1).To4()
		if kind := question[len(question)-3]; kind == 28 { // AAAA
			addr = net.IPv6loopback
		}
		reply := append([]byte{query[0], query[1], 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0}, question...)
		reply = append(reply, 0xc0, 12)                        // the question's name
		reply = append(reply, question[len(question)-4:]...)   // its type and class
		reply = append(reply, 0, 0, 0, 60, 0, byte(len(addr))) // seconds to live, length
		reply = append(reply, addr...)
		_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	}
}

// TestLoopbackIsWhereTheClientConnects: of a name with both kinds of addresses that is
// the IPv4 one, whichever comes first.
func TestLoopbackIsWhereTheClientConnects(t *testing.T) {
	resolve(t)
	if addr, ok := loopback("ws://both.test:8080/ws"); !ok || addr.String() != "127.0.0.1:8080" {
		t.Errorf("%v, %v", addr, ok)
	}
	if addr, ok := loopback("wss://both.test/ws"); !ok || addr.String() != "127.0.0.1:443" {
		t.Errorf("%v, %v", addr, ok)
	}
	if got := loopbackSources([]string{"ws://both.test:8080/ws"}, 19_000); runtime.GOOS == "linux" && len(got) != 2 {
		t.Errorf("from %v", got)
	}
	if addr, ok := loopback("ws://192.0.2.1:80/"); ok {
		t.Errorf("%v", addr)
	}
}

func TestLoopbackSources(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	f := func(urls string, connections, want int) {
		t.Helper()
		got := loopbackSources(strings.Fields(urls), connections)
		if len(got) != want {
			t.Errorf("%d connections to %s: from %v, want %d", connections, urls, got, want)
		}
		for i, a := range got {
			if !a.IsLoopback() || i > 0 && a == got[i-1] {
				t.Errorf("%v", got)
			}
		}
	}
	f("ws://127.0.0.1:80/", 9_999, 0)
	f("ws://127.0.0.1:80/", 19_000, 2)
	f("ws://127.0.0.1:80/ ws://127.0.0.1:81/", 30_000, 3)
	f("ws://127.0.0.1:80/ ws://127.0.0.1:81/ ws://127.0.0.1:82/", 90_000, 4)
	f("ws://127.0.0.1:80/ ws://192.0.2.1:81/", 90_000, 0)
	f("ws://[::1]:80/", 90_000, 0)
	f("ws://127.0.0.1:80/", 10_000_000, 250)
}
