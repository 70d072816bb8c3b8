// The same work as ours by github.com/cilium/ebpf: `bench OBJECT` measures, `bench load FILE...` loads.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

const entries = 10000

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func report(name string, value float64) { fmt.Printf("%s %.1f\n", name, value) }

// measure gives the least mean of nanoseconds of five rounds.
func measure(name string, count int, work func()) {
	least := 0.0
	for round := 0; round < 5; round++ {
		start := time.Now()
		work()
		took := float64(time.Since(start).Nanoseconds()) / float64(count)
		if least == 0 || took < least {
			least = took
		}
	}
	report(name, least)
}

func load(files []string) {
	for _, file := range files {
		spec, err := ebpf.LoadCollectionSpec(file)
		if err == nil {
			var all *ebpf.Collection
			if all, err = ebpf.NewCollection(spec); err == nil {
				all.Close()
			}
		}
		fmt.Printf("%v\n", err == nil)
	}
}

func main() {
	if os.Args[1] == "load" {
		load(os.Args[2:])
		return
	}
	spec, err := ebpf.LoadCollectionSpec(os.Args[1])
	check(err)
	all, err := ebpf.NewCollection(spec)
	check(err)
	flows := all.Maps["table"]

	keys, values := make([]uint64, entries), make([]uint64, entries)
	for i := range keys {
		keys[i], values[i] = uint64(i), uint64(i)
	}
	measure("update", entries, func() {
		for i := range keys {
			check(flows.Update(&keys[i], &values[i], ebpf.UpdateAny))
		}
	})
	measure("lookup", entries, func() {
		var value uint64
		for i := range keys {
			check(flows.Lookup(&keys[i], &value))
		}
	})
	measure("batch", entries, func() {
		_, err := flows.BatchUpdate(keys, values, nil)
		check(err)
	})

	packet := make([]byte, 60)
	fill, one := all.Programs["fill"], all.Programs["one"]
	reader, err := ringbuf.NewReader(all.Maps["events"])
	check(err)
	var record ringbuf.Record
	sum := uint64(0)
	least := 0.0
	for round := 0; round < 30; round++ {
		for i := 0; i < 30; i++ {
			_, err := fill.Run(&ebpf.RunOptions{Data: packet})
			check(err)
		}
		start := time.Now()
		for i := 0; i < 30000; i++ {
			check(reader.ReadInto(&record))
			sum += uint64(binary.LittleEndian.Uint32(record.RawSample))
		}
		took := float64(time.Since(start).Nanoseconds()) / 30000
		if least == 0 || took < least {
			least = took
		}
	}
	report("record", least)

	times := []float64{}
	sent := make(chan time.Time, 1)
	go func() {
		for i := 0; i < 2000; i++ {
			time.Sleep(500 * time.Microsecond)
			sent <- time.Now()
			_, err := one.Run(&ebpf.RunOptions{Data: packet})
			check(err)
		}
	}()
	for i := 0; i < 2000; i++ {
		check(reader.ReadInto(&record))
		at := int64(binary.LittleEndian.Uint64(record.RawSample))
		times = append(times, float64(now()-at)/1000)
		<-sent
	}
	sort.Float64s(times)
	report("p50", times[1000])
	report("p99", times[1980])
}
