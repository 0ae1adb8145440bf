package engine_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
)

// TestRetryAfterOutlivesItsRequest has a site that asks for a minute each time, of requests that are not asked again: not at all, not any more, or because the cache has an
// older answer.
func TestRetryAfterOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set   func(*crawl.Settings)
		first bool // the first round fills the cache
	}{
		"no retries":  {func(s *crawl.Settings) { s.Retry.Times = -1 }, false},
		"the default": {func(*crawl.Settings) {}, false},
		"answered by the cache": {func(s *crawl.Settings) {
			s.HTTPCache = crawl.HTTPCacheSettings{On: true, Policy: crawl.CacheRFC9111, Dir: t.TempDir()}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const pages = 3
				good := c.first
				handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Cache-Control", "max-age=1")
					if !good {
						w.Header().Set("Retry-After", "60")
						w.WriteHeader(http.StatusServiceUnavailable)
					}
				})
				spider := &crawl.Spider{Name: "a", Parse: nothing}
				for i := range pages {
					spider.StartURLs = append(spider.StartURLs, fmt.Sprintf("http://h.example/p%d", i))
				}
				settings := crawl.Settings{ConcurrentPerHost: 1, Robots: crawl.RobotsSettings{Ignore: true}}
				c.set(&settings)
				if c.first {
					crawltest.Run(t, spider, settings, crawltest.Handler(handler))
					good = false
					time.Sleep(time.Minute)
				}
				site := crawltest.Handler(handler)
				crawltest.Run(t, spider, settings, site)
				all := gaps(site, "h.example")
				require.GreaterOrEqual(t, len(all), pages-1)
				for _, gap := range all {
					require.GreaterOrEqual(t, gap, time.Minute)
				}
			})
		})
	}
}
