//go:build !unix

package probe

// Descriptors is how many files this process may have open and how many it has.
// Systems without such a limit are taken to have a large one.
func Descriptors() (limit uint64, open int) { return 1 << 20, 16 }

func system() string { return "" }
