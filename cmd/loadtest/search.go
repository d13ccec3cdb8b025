package main

// search finds the most that holds: it multiplies by factor while holds says so,
// and bisects between the last that held and the first that did not, until they
// are within a share of precision (0.05: 5 %). Nothing above most is tried; from is
// tried first. best is 0 if not even that held, and broke is 0 if nothing broke.
// holds is not asked the same twice.
func search(from, most int, factor, precision float64, holds func(n int) (bool, error)) (best, broke int, err error) {
	try := func(n int) bool {
		ok, fault := holds(n)
		switch {
		case fault != nil:
			err = fault
		case ok:
			best = n
		default:
			broke = n
		}
		return ok && fault == nil
	}
	n := min(from, most)
	for try(n) && n < most {
		n = min(most, max(n+1, int(float64(n)*factor)))
	}
	for err == nil && broke > 0 && best > 0 && float64(broke-best) > precision*float64(broke) && broke-best > 1 {
		try(best + (broke-best)/2)
	}
	return best, broke, err
}
