package main

import "golang.org/x/sys/unix"

// now gives CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns.
func now() int64 {
	var at unix.Timespec
	check(unix.ClockGettime(unix.CLOCK_MONOTONIC, &at))
	return at.Nano()
}
