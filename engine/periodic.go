package engine

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// periodicLog tells stats in the log, for programs that read it.
type periodicLog struct {
	crawl.PeriodicLogSettings
	every time.Duration // negative: at the end alone
}

// Open implements [crawl.Extension].
func (p periodicLog) Open(ctx context.Context, env *crawl.Env) (crawl.Trace, error) {
	var (
		began = time.Now()
		last  = map[string]any{} // what was told last
		gone  = make(chan struct{})
	)
	tell := func() {
		var fields []zap.Field
		if p.Timing {
			now := time.Now()
			times := map[string]any{"start_time": began.UTC(), "utcnow": now.UTC(), "elapsed": now.Sub(began).Seconds()}
			if p.every > 0 {
				times["log_interval"] = p.every.Seconds()
			}
			fields = append(fields, zap.Any("time", times))
		}
		all := env.Stats.Snapshot()
		if len(p.Delta) > 0 {
			fields = append(fields, zap.Any("delta", changes(last, chosen(all, p.Delta))))
		}
		if len(p.Stats) > 0 {
			fields = append(fields, zap.Any("stats", chosen(all, p.Stats)))
		}
		last = all
		env.Log.Info("periodic log", fields...)
	}
	return crawl.Trace{
		SpiderOpened: func(context.Context, *crawl.Spider) {
			began = time.Now()
			if p.every <= 0 {
				close(gone)
				return
			}
			go func() {
				defer close(gone)
				tick := time.NewTicker(p.every)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						tell()
					case <-ctx.Done():
						return
					}
				}
			}()
		},
		SpiderClosed: func(context.Context, *crawl.Spider, string) {
			<-gone
			tell()
		},
	}, nil
}

// chosen are the stats whose keys contain one of the texts in filter, and none of those behind an exclamation mark. Exclusions alone leave all others.
func chosen(all map[string]any, filter []string) map[string]any {
	some := make(map[string]any)
	others := !slices.ContainsFunc(filter, func(text string) bool { return !strings.HasPrefix(text, "!") })
	for key, v := range all {
		in := others
		for _, text := range filter {
			no, out := strings.CutPrefix(text, "!")
			if out && no != "" && strings.Contains(key, no) {
				in = false
				break
			}
			in = in || !out && (text == "*" || strings.Contains(key, text))
		}
		if in {
			some[key] = v
		}
	}
	return some
}

// changes are by how much numbers have changed since then.
func changes(then, now map[string]any) map[string]any {
	delta := make(map[string]any)
	for key, v := range now {
		switch n := v.(type) {
		case int64:
			was, _ := then[key].(int64)
			delta[key] = n - was
		case float64:
			was, _ := then[key].(float64)
			delta[key] = n - was
		}
	}
	return delta
}
