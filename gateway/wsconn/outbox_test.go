package wsconn

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// model is what an outbox should hold: what is left of each frame.
type model struct {
	rest   [][]byte
	begun  bool // rest[0] is partly written
	unsent int  // dropped
}

func (m *model) write(t *testing.T, p []byte) {
	for len(p) > 0 {
		n := min(len(p), len(m.rest[0]))
		if !bytes.Equal(p[:n], m.rest[0][:n]) {
			t.Fatalf("%x came out, want %x", p[:n], m.rest[0][:n])
		}
		p, m.rest[0], m.begun = p[n:], m.rest[0][n:], true
		if len(m.rest[0]) == 0 {
			m.rest, m.begun = m.rest[1:], false
		}
	}
}

func (m *model) drop() {
	keep := 0
	if m.begun {
		keep = 1
	}
	m.unsent += len(m.rest) - keep
	m.rest = m.rest[:keep]
}

// TestOutboxModel does random operations on an outbox and on its model.
func TestOutboxModel(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		o, m, buf := newOutbox(new(budget), nil), new(model), make([]byte, 0, 64)
		for i := range 200 {
			switch rng.IntN(20) {
			default:
				f, _ := NewFrame(Binary, bytes.Repeat([]byte{byte(i)}, rng.IntN(100)))
				o.push(f, 0)
				m.rest = append(m.rest, f.wire)
			case 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11:
				chunk := o.claim(buf)
				if len(chunk) > cap(buf) || len(chunk) == 0 && len(m.rest) > 0 {
					t.Fatalf("seed %d: claimed %d bytes", seed, len(chunk))
				}
				n := rng.IntN(len(chunk) + 1)
				m.write(t, chunk[:n])
				o.wrote(n)
			case 12:
				o.drop()
				m.drop()
			}
			memory := int64(o.counted)
			for _, f := range o.frames {
				memory += f.memory()
			}
			if held := o.budget.held.Load(); held != memory || (held == 0) != o.empty() {
				t.Fatalf("seed %d: the budget has %d, want %d", seed, held, memory)
			}
			if want := len(bytes.Join(m.rest, nil)); o.bytes != want || len(o.frames) != len(m.rest) {
				t.Fatalf("seed %d: %d bytes in %d frames, want %d in %d", seed, o.bytes, len(o.frames), want, len(m.rest))
			}
		}
		if unsent := o.discard(); unsent != m.unsent+len(m.rest) {
			t.Fatalf("seed %d: %d unsent, want %d", seed, unsent, m.unsent+len(m.rest))
		}
		if got := o.budget.stats(); got != (BudgetStats{}) {
			t.Fatalf("seed %d: in the end the budget has %+v", seed, got)
		}
	}
}

func TestOutboxDropKeepsWhatIsClaimed(t *testing.T) {
	o := newOutbox(new(budget), nil)
	for range 5 {
		f, _ := NewFrame(Text, []byte("12345678")) // 10 bytes
		o.push(f, 0)
	}
	if n := len(o.claim(make([]byte, 0, 25))); n != 25 {
		t.Fatalf("claimed %d bytes, want 25", n)
	}
	o.drop()
	if len(o.frames) != 3 || o.bytes != 30 || o.dropped != 2 {
		t.Fatalf("%d frames, %d bytes, %d dropped; want 3, 30, 2", len(o.frames), o.bytes, o.dropped)
	}
	o.wrote(20)
	o.drop()
	if o.wrote(0); !o.empty() || o.dropped != 3 {
		t.Fatalf("after a drop at a frame boundary: %+v", o)
	}
}

func TestOutboxBounds(t *testing.T) {
	cfg := &Config{OutboxMessages: 3, OutboxBytes: 50}
	small, _ := NewFrame(Text, []byte("1234"))     // 6 bytes
	big, _ := NewFrame(Binary, make([]byte, 1000)) // beyond the bound
	o := newOutbox(new(budget), nil)
	if !o.admits(big, cfg) {
		t.Error("an empty outbox takes a frame of any size")
	}
	o.push(big, 990)
	if o.bytes != big.Len()-990 {
		t.Errorf("%d bytes queued", o.bytes)
	}
	o.push(small, 0)
	if o.push(small, 0); o.admits(small, cfg) {
		t.Error("a fourth frame is admitted")
	}
	o.wrote(0)
	cfg.OutboxMessages, cfg.OutboxBytes = 10, o.bytes+2*small.Len()
	if o.push(small, 0); !o.admits(small, cfg) {
		t.Error("a frame that just fits is refused")
	}
	if o.push(small, 0); o.admits(small, cfg) {
		t.Error("a frame over the bytes is admitted")
	}
}

// TestOutboxEvicted: what is not begun is given back at once, the rest, also that of a frame
// that waits for others, when it is written.
func TestOutboxEvicted(t *testing.T) {
	b := &NewBudgets(0, 1<<20).outboxes
	shared, _ := NewFrame(Binary, make([]byte, 1000))
	other, o := newOutbox(b, nil), newOutbox(b, nil)
	other.push(shared, 0)
	before := b.held.Load()
	o.push(shared, 10)
	if more := b.held.Load() - before; more != int64(o.counted) {
		t.Errorf("a frame that waits already added %d, besides %d", more, o.counted)
	}
	last, _ := NewFrame(Binary, make([]byte, 500))
	o.push(last, 0)
	if o.evict(o.class + 1) {
		t.Error("evicted as what it is not")
	}
	if !o.evict(o.class) || !o.evicted || o.dropped != 1 || len(o.frames) != 1 {
		t.Errorf("%d dropped, %d frames", o.dropped, len(o.frames))
	}
	if b.held.Load() != before || b.leaving.Load() != int64(o.counted) || o.counted < 1000 {
		t.Errorf("held %d, want %d; leaving %d, want %d", b.held.Load(), before, b.leaving.Load(), o.counted)
	}
	o.push(closeFrame(1013, "outbox_budget"), 0)
	o.drop() // leaves the close frame
	o.wrote(len(shared.wire) - 10)
	if b.leaving.Load() == 0 || len(o.frames) != 1 || o.frames[0].op != opClose {
		t.Errorf("leaving %d with %d frames", b.leaving.Load(), len(o.frames))
	}
	o.wrote(o.bytes)
	if !o.empty() || o.spent() || b.leaving.Load() != 0 || b.held.Load() != before {
		t.Errorf("held %d, leaving %d", b.held.Load(), b.leaving.Load())
	}
	if unsent := o.discard(); unsent != 1 {
		t.Errorf("%d unsent", unsent)
	}
	if other.discard(); b.stats().Used != 0 {
		t.Errorf("%+v in the end", b.stats())
	}
}
