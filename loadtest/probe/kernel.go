package probe

import (
	"os"

	"github.com/prometheus/procfs"
)

// Kernel is what the kernel holds for sockets. A zero field could not be read.
type Kernel struct {
	SocketMemory int64 // bytes of TCP's buffers, in this network namespace
	Slab         int64 // bytes of all its small objects, of the whole machine
	Sockets      int   // of TCP that are in use, in this network namespace; not TIME_WAIT
}

// OfKernel looks at it now.
func OfKernel() (k Kernel) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return k
	}
	if memory, err := fs.Meminfo(); err == nil && memory.SlabBytes != nil {
		k.Slab = int64(*memory.SlabBytes)
	}
	k.tcp(fs.NetSockstat())
	k.tcp(fs.NetSockstat6()) // has no memory: that is counted with the others
	return k
}

func (k *Kernel) tcp(stat *procfs.NetSockstat, err error) {
	if err != nil {
		return
	}
	for _, p := range stat.Protocols {
		switch p.Protocol {
		case "TCP", "TCP6":
			k.Sockets += p.InUse
		}
		if p.Protocol == "TCP" && p.Mem != nil {
			k.SocketMemory = int64(*p.Mem) * int64(os.Getpagesize())
		}
	}
}
