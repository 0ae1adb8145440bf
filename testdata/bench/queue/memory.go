package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"
)

// A memory is what a process takes, in bytes.
type memory struct {
	RSS  int64 `json:"rss"`
	Peak int64 `json:"peak"` // the most that was resident
	Heap int64 `json:"heap"` // Go objects, garbage included
}

func memoryNow() memory {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	m := memory{Heap: int64(samples[0].Value.Uint64())}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return m
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) != 3 {
			continue
		}
		kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			continue
		}
		switch string(fields[0]) {
		case "VmRSS:":
			m.RSS = kib << 10
		case "VmHWM:":
			m.Peak = kib << 10
		}
	}
	return m
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// diskOf is the size of the files in a folder. Those that go while it looks are not counted.
func diskOf(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // the store removes files at any time
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
