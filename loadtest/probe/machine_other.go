//go:build !linux

package probe

import "github.com/prometheus/procfs"

func cpuModel(procfs.FS) string { return "" }
