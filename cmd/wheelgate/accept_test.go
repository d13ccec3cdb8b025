package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
)

// failing is a listener whose next accepts fail, each with one of the errors.
type failing struct {
	*pipes
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		return f.pipes.Accept()
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

// TestAcceptErrorsPass: the server goes on after each, and they are told apart.
func TestAcceptErrorsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errnos := []error{
			syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.EPROTO, syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE,
			syscall.ENETDOWN, syscall.ENOMEM, errors.New("of no system"),
		}
		f := &failing{pipes: newPipes(), errs: errnos}
		log, metrics := &transcript{}, newDoorMetrics()
		server := &http.Server{Handler: http.NotFoundHandler()}
		served := make(chan error)
		go func() { served <- server.Serve(persist(f, "listen", metrics.acceptErrors, zerolog.New(log))) }()
		defer func() { _ = server.Close() }()

		conn := f.dial(t)
		if status := request(t, conn, "GET", "/", ""); status != http.StatusNotFound {
			t.Errorf("status %d", status)
		}
		for name, want := range map[string]float64{
			"ENOMEM": 2, "ENOBUFS": 1, "EPERM": 1, "EPROTO": 1, "ENOSPC": 1, "EMFILE": 1, "ENFILE": 1, "ENETDOWN": 1, "other": 1,
		} {
			if got := testutil.ToFloat64(metrics.acceptErrors.WithLabelValues("listen", name)); got != want {
				t.Errorf("%s: %v accept errors; want %v", name, got, want)
			}
		}
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), `"errno":"ENOMEM"`) {
			t.Errorf("%d lines: %s", lines, log)
		}
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// TestAcceptBacksOff: 5 ms, doubled up to a second, and begun anew by a success.
func TestAcceptBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{pipes: newPipes()}
		l := persist(f, "listen", newDoorMetrics().acceptErrors, zerolog.Nop())
		for range 2 {
			f.errs = nil
			for range 10 {
				f.errs = append(f.errs, syscall.ENOMEM)
			}
			f.dial(t)
			begun := time.Now()
			if _, err := l.Accept(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took != (5+10+20+40+80+160+320+640+1000+1000)*time.Millisecond {
				t.Errorf("10 failures took %v", took)
			}
		}
	})
}

func TestClosedListenerEndsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{pipes: newPipes(), errs: []error{syscall.ENOMEM, syscall.ENOMEM}}
		l := persist(f, "listen", newDoorMetrics().acceptErrors, zerolog.Nop())
		ended := make(chan error)
		go func() { _, err := l.Accept(); ended <- err }()
		synctest.Wait()
		begun := time.Now()
		_ = l.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) || time.Since(begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
