package report

import (
	"strings"
	"testing"
)

func TestNumbersForPeople(t *testing.T) {
	f := func(as func(float64) string, v float64, want string) {
		t.Helper()
		if got := as(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	f(whole, 0, "0")
	f(whole, 0.5, "0.5")
	f(whole, 12.7, "13")
	f(whole, 999, "999")
	f(whole, 1234567, "1,234,567")
	f(whole, -1234, "-1,234")
	f(plain, 1, "1")
	f(plain, 100, "100")
	f(percentage, 99.96, "100 %")
	f(percentage, 0.04, "0 %")
	f(seconds, 0, "0s")
	f(seconds, 0.0000012345, "1.23µs")
	f(seconds, 0.0503967, "50.4ms")
	f(seconds, 59.96, "1m0s")
	f(seconds, 3725.4, "1h2m5s")
	f(size, 1000, "1000 B")
	f(size, -2048, "-2.0 KiB")
	f(size, 150<<20, "150 MiB")
	f(size, 3<<40, "3072 GiB")
}

func TestPairsKeepTheOrder(t *testing.T) {
	list := func(text string) (all []figure) {
		for item := range strings.FieldsSeq(text) {
			section, name, _ := strings.Cut(item, ".")
			all = append(all, figure{section, name, 0, whole})
		}
		return all
	}
	f := func(a, b, want string) {
		t.Helper()
		var got []string
		for _, p := range pairs(list(a), list(b)) {
			mark := "="
			switch {
			case p.a == nil:
				mark = "+"
			case p.b == nil:
				mark = "-"
			}
			got = append(got, mark+p.one().Section+"."+p.one().Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s and %s: %v, want %s", a, b, got, want)
		}
	}
	f("x.1 x.2 y.1", "x.2 x.3 z.1 y.1", "-x.1 =x.2 +x.3 =y.1 +z.1")
	f("", "x.1 y.1", "+x.1 +y.1")
	f("x.1", "", "-x.1")
}
