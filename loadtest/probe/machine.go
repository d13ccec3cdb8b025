package probe

import (
	"runtime"

	"github.com/prometheus/procfs"

	"github.com/wheelgate/wheelgate/loadtest/record"
)

// Machine describes this machine; what cannot be read is empty.
func Machine() record.Machine {
	limit, _ := Descriptors()
	m := record.Machine{OS: runtime.GOOS + system(), CPUs: runtime.NumCPU(), Descriptors: limit, GoVersion: runtime.Version()}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m
	}
	m.CPU = cpuModel(fs)
	if memory, err := fs.Meminfo(); err == nil && memory.MemTotalBytes != nil {
		m.Memory = int64(*memory.MemTotalBytes)
	}
	return m
}
