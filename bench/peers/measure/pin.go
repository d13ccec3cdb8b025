//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// coresVar tells the process that pinned itself which cores there were.
const coresVar = "PEERS_CORES"

// pinSelf puts this process on the second of the cores that it may use and
// returns them all. It starts itself anew for that, since threads that exist
// already would stay where they are. With a single core it does nothing.
func pinSelf() ([]int, error) {
	if v := os.Getenv(coresVar); v != "" {
		var cores []int
		for s := range strings.SplitSeq(v, ",") {
			n, err := strconv.Atoi(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", coresVar, err)
			}
			cores = append(cores, n)
		}
		return cores, nil
	}
	cores, err := usableCores()
	if err != nil || len(cores) < 2 {
		return cores, err
	}
	if err := pinThread(cores[1:2]); err != nil {
		return nil, err
	}
	env := append(os.Environ(), coresVar+"="+strings.Trim(strings.Join(strings.Fields(fmt.Sprint(cores)), ","), "[]"))
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return nil, unix.Exec(self, os.Args, env)
}

func usableCores() (cores []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cores = append(cores, i)
		}
	}
	return cores, nil
}

// pinThread lets the calling thread, and what it starts, run on cores only.
func pinThread(cores []int) error {
	var set unix.CPUSet
	for _, c := range cores {
		set.Set(c)
	}
	return unix.SchedSetaffinity(0, &set)
}

// startOn starts cmd on cores; it is killed when the calling thread ends, which
// has to be locked.
func startOn(cores []int, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	own, err := usableCores()
	if err != nil {
		return err
	}
	if err := pinThread(cores); err != nil {
		return err
	}
	err = cmd.Start()
	if err2 := pinThread(own); err == nil {
		err = err2
	}
	return err
}
