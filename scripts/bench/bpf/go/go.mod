module bench

go 1.22

require (
	github.com/cilium/ebpf v0.16.0
	golang.org/x/sys v0.28.0
)

require golang.org/x/exp v0.0.0-20230224173230-c95f2b4c22f2 // indirect
