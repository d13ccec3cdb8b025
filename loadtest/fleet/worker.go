package fleet

import (
	"context"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/wheelgate/wheelgate/loadtest"
	"github.com/wheelgate/wheelgate/loadtest/record"
)

// errGone is a coordinator that went away, errOver one that says that it is over.
var (
	errGone = errors.New("the coordinator has gone")
	errOver = errors.New("the coordinator ends the run")
)

// Work does one job: it reads orders and writes answers, and returns when the job
// is done or the orders end. The caller closes orders after it; until then a
// goroutine reads from it. The end of ctx ends the job early and in order, and the
// coordinator is told that the work is not complete.
func Work(ctx context.Context, orders io.Reader, answers io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	incoming := make(chan order)
	go receive(orders, incoming, ctx.Done())
	w := &worker{answers: newSender[answer](answers), orders: incoming}
	return w.work(ctx, cancel)
}

type worker struct {
	answers *sender[answer]
	orders  chan order
}

func (w *worker) work(ctx context.Context, cancel context.CancelCauseFunc) error {
	first, ok := <-w.orders
	if !ok || first.Job == nil {
		return errGone
	}
	engine, err := loadtest.New(*first.Job, func(line record.Line) { _ = w.answers.send(answer{Line: &line}) })
	if err != nil {
		return w.answers.send(answer{Fault: err.Error()})
	}
	if err := w.answers.send(answer{Ready: true}); err != nil {
		return err
	}
	start, err := w.awaitStart(ctx)
	if err != nil {
		return err
	}
	hold, over := make(chan time.Time, 1), make(chan struct{}, 1)
	var listening sync.WaitGroup
	listening.Go(func() { w.listen(ctx, cancel, hold, over) })
	saturated, err := engine.Run(ctx, start, loadtest.Signals{
		Connected: func() { _ = w.answers.send(answer{Connected: true}) },
		Draining:  func(at time.Duration) { _ = w.answers.send(answer{Draining: &at}) },
		Hold:      hold,
		Over:      over,
	})
	d := &done{Saturated: saturated}
	switch cause := context.Cause(ctx); {
	case err != nil:
		d.Error = err.Error()
	case cause != nil && cause != errOver && cause != errGone:
		d.Error = "it was stopped before the run was over"
	}
	cancel(nil)
	listening.Wait()
	return w.answers.send(answer{Done: d})
}

// awaitStart tells the time as often as it is asked to, until the start is known.
func (w *worker) awaitStart(ctx context.Context) (time.Time, error) {
	for {
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case o, ok := <-w.orders:
			switch {
			case !ok || o.Stop:
				return time.Time{}, errGone
			case o.Start != nil:
				return *o.Start, nil
			}
			now := time.Now()
			if err := w.answers.send(answer{Clock: &now}); err != nil {
				return time.Time{}, err
			}
		}
	}
}

// listen takes the orders of a running job; the end of the coordinator is one to stop.
func (w *worker) listen(ctx context.Context, cancel context.CancelCauseFunc, hold chan<- time.Time, over chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case o, ok := <-w.orders:
			switch {
			case !ok:
				cancel(errGone)
				return
			case o.Stop:
				cancel(errOver)
				return
			case o.Hold != nil:
				select {
				case hold <- *o.Hold:
				default: // told twice
				}
			case o.Over:
				select {
				case over <- struct{}{}:
				default: // told twice
				}
			}
		}
	}
}

// runPath is where a worker takes jobs.
const runPath = "/v1/run"

// Handler has this process work for coordinators elsewhere, one at a time, that
// know the token; "" lets anyone in.
func Handler(token string) http.Handler {
	var busy sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+runPath, func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			http.Error(w, "wrong token", http.StatusUnauthorized)
			return
		}
		if !busy.TryLock() {
			http.Error(w, "busy with another run", http.StatusConflict)
			return
		}
		defer busy.Unlock()
		stream := http.NewResponseController(w)
		if err := stream.EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
			return
		}
		w.WriteHeader(http.StatusOK)
		if stream.Flush() != nil {
			return
		}
		_ = Work(r.Context(), r.Body, flushing{w, stream})
		_ = r.Body.Close()
	})
	return mux
}

// flushing sends each write on its way.
type flushing struct {
	w      io.Writer
	stream *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.stream.Flush()
	}
	return n, err
}
