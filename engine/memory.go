package engine

import (
	"context"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// reasonMemory is why a crawl ended whose process held too much: Scrapy's.
const reasonMemory = "memusage_exceeded"

// memoryUsage looks at the memory of the process.
type memoryUsage struct {
	crawl.MemorySettings
	read func() int64 // nil: residentMemory
}

// Open implements [crawl.Extension].
func (m memoryUsage) Open(ctx context.Context, env *crawl.Env) (crawl.Trace, error) {
	if m.read == nil {
		m.read = residentMemory
	}
	start := m.read()
	env.Stats.Set("memusage/startup", start)
	env.Stats.Max("memusage/max", start)
	if have, ok := containerLimit(); ok && m.Limit > have {
		env.Log.Warn("memory.limit is more than the container may have: it is killed before the crawl is closed",
			zap.Int64("memory.limit", m.Limit), zap.Int64("container", have))
	}
	warned := false
	look := func() bool {
		now := m.read()
		env.Stats.Max("memusage/max", now)
		if m.Warn > 0 && now > m.Warn && !warned {
			warned = true
			env.Stats.Set("memusage/warning_reached", int64(1))
			env.Log.Warn("the process holds more memory than memory.warn", zap.Int64("bytes", now), zap.Int64("memory.warn", m.Warn))
			if f := env.Settings.Trace.MemoryWarning; f != nil {
				f(now)
			}
		}
		if m.Limit <= 0 || now <= m.Limit {
			return true
		}
		env.Stats.Set("memusage/limit_reached", int64(1))
		env.Log.Error("the process holds more memory than memory.limit: the crawl is closed", zap.Int64("bytes", now), zap.Int64("memory.limit", m.Limit))
		env.Stop(reasonMemory)
		return false
	}
	gone := make(chan struct{})
	return crawl.Trace{
		SpiderOpened: func(context.Context, *crawl.Spider) {
			go func() {
				defer close(gone)
				tick := time.NewTicker(m.Interval)
				defer tick.Stop()
				for look() {
					select {
					case <-tick.C:
					case <-ctx.Done():
						return
					}
				}
			}()
		},
		SpiderClosed: func(context.Context, *crawl.Spider, string) {
			<-gone
			env.Stats.Max("memusage/max", m.read())
		},
	}, nil
}

// residentMemory is how much memory the process holds, in bytes: by Linux, or where there is no /proc, what Go's runtime has of the system and has not given back.
func residentMemory() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil {
				return pages * int64(os.Getpagesize())
			}
		}
	}
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return int64(m[0].Value.Uint64() - m[1].Value.Uint64())
}

// containerLimit is how much the process's control group may have, in bytes, if that is limited: version 2, or 1.
func containerLimit() (int64, bool) {
	for _, file := range [...]string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n < 1<<60 { // version 1 writes a number of its own for none
			return n, true
		}
	}
	return 0, false
}
