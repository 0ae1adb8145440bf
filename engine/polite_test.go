package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine/crawltest"
	"github.com/tulle-go/tulle/pipeline"
	"github.com/tulle-go/tulle/pipeline/store"
)

// linked is a spider whose Start asks for n pages of a host, after its front page.
func linked(host string, n int) *crawl.Spider {
	return &crawl.Spider{Name: "linked", StartURLs: []string{"http://" + host + "/"}, Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
		out.Item(map[string]any{"page": r.URL.Path})
		for i := range n {
			if r.URL.Path == "/" {
				out.Request(crawl.Get(fmt.Sprintf("http://%s/%d", host, i)))
			}
		}
		return nil
	}}
}

// mortal is a site with a host, mortal.example, that can go away while it is crawled.
type mortal struct {
	crawltest.Site
	down atomic.Bool
	late time.Duration // how long the answer to /49 takes, of a host that was there when it was asked
}

// newMortal is one that breaks every connection to that host while it is down.
func newMortal() *mortal {
	m := &mortal{}
	m.Site = crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.down.Load() && r.Host == "mortal.example" {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/49" {
			time.Sleep(m.late)
		}
		fmt.Fprint(w, r.URL.Path)
	}))
	return m
}

// TestACrawlWithADeadHostEnds has a host that goes away, with a delay and with twenty thousand pages to go, and another that stays.
func TestACrawlWithADeadHostEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		site := newMortal()
		spider := linked("mortal.example", n)
		parse := spider.Parse
		spider.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
			if r.URL.Path == "/9" {
				out.Follow("http://stays.example/", "")
				site.down.Store(true)
			}
			return parse(ctx, r, out)
		}
		failures := make(map[crawl.Kind]int)
		spider.Errback = func(_ context.Context, _ *crawl.Request, err error, _ *crawl.Out) error {
			failed, _ := errors.AsType[*crawl.DownloadError](err)
			failures[failed.Kind]++
			return nil
		}
		begun := time.Now()
		res := crawltest.Run(t, spider, crawl.Settings{DownloadDelay: time.Second, ConcurrentCallbacks: 1, Order: crawl.OrderBreadth}, site.Site)
		require.Equal(t, "finished", res.Reason)
		require.Less(t, time.Since(begun), 45*time.Minute, "without the breaker it were sixteen hours")
		require.Contains(t, res.Asked, "http://stays.example/")
		require.Equal(t, n+2, len(res.Items)+failures[crawl.KindDeadHost]+failures[crawl.KindConnection]+failures[crawl.KindRefused], "every page has an end")
		require.Greater(t, failures[crawl.KindDeadHost], n-100)
		require.EqualValues(t, 1, res.Stats.Int("breaker/given_up"))
		require.EqualValues(t, failures[crawl.KindDeadHost], res.Stats.Int("page_failed_kind_count/dead-host"))
		require.Equal(t, 1, res.Log.FilterMessageSnippet("is given up").Len())
		require.Less(t, res.Log.FilterMessage("download failed").FilterLevelExact(2).Len(), 30, "it is not said twenty thousand times")
	})
}

// TestAHostThatIsRestartedLosesNothing takes a site away for ten minutes: its pages and its files wait for it. It is tried after 1, 3, 7 and 15 minutes, although an answer
// that was on its way may arrive when the host has been found to be out.
func TestAHostThatIsRestartedLosesNothing(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			const n = 200
			site := newMortal()
			site.late = late
			var once sync.Once
			spider := linked("mortal.example", n)
			parse := spider.Parse
			spider.Parse = func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
				if r.URL.Path == "/50" {
					once.Do(func() {
						site.down.Store(true)
						time.AfterFunc(10*time.Minute, func() { site.down.Store(false) })
					})
				}
				if r.URL.Path != "/" {
					out.Item(wants("http://mortal.example/file" + strings.TrimPrefix(r.URL.Path, "/")))
					return nil
				}
				return parse(ctx, r, out)
			}
			settings := filed()
			settings.Order = crawl.OrderBreadth
			begun := time.Now()
			res := crawltest.Run(t, spider, settings, site.Site)
			require.Equal(t, "finished", res.Reason)
			require.Len(t, res.Items, n+1)
			files := 0
			for _, item := range res.Items {
				files += len(filesOf(item))
			}
			require.Equal(t, n, files, "no file is missing")
			require.Zero(t, res.Stats.Int("page_failed_count"))
			require.Zero(t, res.Stats.Int("breaker/given_up"))
			require.Positive(t, res.Stats.Int("breaker/close_count"))
			require.Less(t, time.Since(begun), 16*time.Minute)
			require.Less(t, site.MostAtOnce("mortal.example"), 9)
		})
	}
}

// TestAHostThatWasNeverThereIsGivenUpSoon has more of them than the queue can hold back.
func TestAHostThatWasNeverThereIsGivenUpSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := newMortal()
		site.Refuse("nowhere.example", nil)
		parse := func(context.Context, *crawl.Response, *crawl.Out) error { return nil }
		spider := &crawl.Spider{Name: "nowhere", Parse: parse, Start: func(_ context.Context, out *crawl.Out) error {
			for i := range 1000 {
				out.Request(crawl.Get(fmt.Sprintf("http://nowhere.example/%d", i)))
			}
			out.Request(crawl.Get("http://here.example/"))
			return nil
		}}
		begun := time.Now()
		res := crawltest.Run(t, spider, crawl.Settings{Robots: crawl.RobotsSettings{Ignore: true}}, site.Site)
		require.Equal(t, "finished", res.Reason)
		require.Equal(t, []string{"http://here.example/"}, res.Asked)
		require.Less(t, time.Since(begun), 70*time.Second)
		require.EqualValues(t, 1, res.Stats.Int("breaker/trial_count"))
		require.EqualValues(t, 1000, res.Stats.Int("page_failed_count"))
	})
}

// gaps are the times between the arrivals at a host, robots.txt's first.
func gaps(site crawltest.Site, host string) []time.Duration {
	var all []time.Duration
	at := site.Arrivals(host)
	for i := 1; i < len(at); i++ {
		all = append(all, at[i].Sub(at[i-1]))
	}
	return all
}

// impolite are settings of a crawl that looks at no robots.txt.
func impolite() crawl.Settings { return crawl.Settings{Robots: crawl.RobotsSettings{Ignore: true}} }

func TestAutoThrottleAtTheServer(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		robots string // "" is none
		change func(*crawl.Settings)
		want   []time.Duration
	}{
		"half the way to the latency, each time": {
			"", func(*crawl.Settings) {},
			[]time.Duration{5000 * ms, 3500 * ms, 2750 * ms, 2375 * ms, 2187500 * time.Microsecond, 2093750 * time.Microsecond},
		},
		"four at once": {
			"", func(s *crawl.Settings) { s.AutoThrottle.Target = 4 },
			[]time.Duration{5000 * ms, 2750 * ms, 1625 * ms, 1625 * ms, 1062500 * time.Microsecond}, // some leave before the last answer is in
		},
		"the delay of the settings is the least": {
			"", func(s *crawl.Settings) { s.DownloadDelay = 4 * time.Second },
			[]time.Duration{5000 * ms, 4000 * ms, 4000 * ms, 4000 * ms},
		},
		"that of a slot": {
			"", func(s *crawl.Settings) {
				s.Slots = map[string]crawl.Limits{"slow.example": {Delay: 10 * time.Second, FixedDelay: true}}
			},
			[]time.Duration{10 * time.Second, 10 * time.Second, 10 * time.Second},
		},
		"that of robots.txt, although the rest is drawn": {
			"User-agent: *\nCrawl-delay: 7", func(s *crawl.Settings) { s.FixedDelay = false },
			[]time.Duration{9 * time.Second, 7 * time.Second, 7 * time.Second, 7 * time.Second}, // from the answer to robots.txt on
		},
		"a slot that is left alone": {
			"", func(s *crawl.Settings) {
				s.Slots = map[string]crawl.Limits{"slow.example": {Delay: 7 * time.Second, DontThrottle: true}}
			},
			[]time.Duration{7000 * ms, 7000 * ms, 7000 * ms, 7000 * ms, 7000 * ms, 7000 * ms},
		},
		"a slot that is left alone, and keeps to its robots.txt": {
			"User-agent: *\nCrawl-delay: 3", func(s *crawl.Settings) {
				s.Slots = map[string]crawl.Limits{"slow.example": {DontThrottle: true}}
			},
			[]time.Duration{5000 * ms, 3000 * ms, 3000 * ms, 3000 * ms}, // the file took two seconds to come
		},
		"no longer than the longest": {
			"", func(s *crawl.Settings) { s.AutoThrottle.MaxDelay, s.AutoThrottle.StartDelay = 1500*ms, 1500*ms },
			[]time.Duration{1500 * ms, 1500 * ms, 1500 * ms, 1500 * ms},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(2 * time.Second)
				if r.URL.Path == "/robots.txt" {
					fmt.Fprint(w, c.robots)
				}
			}))
			spider := starts("slow.example", 12)
			settings := impolite()
			settings.Robots.Ignore = c.robots == ""
			settings.FixedDelay = true
			settings.AutoThrottle.On = true
			c.change(&settings)
			res := crawltest.Run(t, spider, settings, site)
			require.Equal(t, "finished", res.Reason)
			got := gaps(site, "slow.example")
			require.GreaterOrEqual(t, len(got), 11)
			require.Equal(t, c.want, got[:len(c.want)], name)
		})
	}
}

// TestAutoThrottleLearnsFromMedia has a host of files alone: its delay follows them as it follows pages, unless they say that it should not.
func TestAutoThrottleLearnsFromMedia(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		knobs *crawl.Knobs
		want  []time.Duration
	}{
		{nil, []time.Duration{5000 * ms, 3500 * ms, 2750 * ms, 2375 * ms, 2187500 * time.Microsecond, 2093750 * time.Microsecond}},
		{&crawl.Knobs{DontAdjustDelay: true}, []time.Duration{5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms}},
	} {
		synctest.Test(t, func(t *testing.T) {
			site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host == "media.example" {
					time.Sleep(2 * time.Second)
				}
				fmt.Fprint(w, r.URL.Path)
			}))
			spider := &crawl.Spider{Name: "pictures", StartURLs: []string{"http://pages.example/"}, Parse: func(_ context.Context, _ *crawl.Response, out *crawl.Out) error {
				out.Item(map[string]any{"files": nil})
				return nil
			}}
			settings := impolite()
			settings.FixedDelay = true
			settings.AutoThrottle.On = true
			settings.ItemPipelines = []crawl.Stage{{Pipeline: &pipeline.FilesPipeline{
				Store: new(store.Memory),
				MediaRequests: func(context.Context, any) (reqs []*crawl.Request, _ error) {
					for i := range 12 {
						reqs = append(reqs, crawl.Get(fmt.Sprintf("http://media.example/%d", i), func(r *crawl.Request) { r.Knobs = c.knobs }))
					}
					return reqs, nil
				},
			}}}
			res := crawltest.Run(t, spider, settings, site)
			require.Equal(t, "finished", res.Reason)
			got := gaps(site, "media.example")
			require.Len(t, got, 11)
			require.Equal(t, c.want, got[:len(c.want)])
		})
	}
}

// starts is a spider whose Start asks for n pages of each host.
func starts(hosts string, n int) *crawl.Spider {
	return &crawl.Spider{
		Name: "starts",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range n {
				for host := range strings.FieldsSeq(hosts) {
					out.Request(crawl.Get(fmt.Sprintf("http://%s/%d", host, i)))
				}
			}
			return nil
		},
		Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
	}
}

// ok answers everything after a while.
func ok(after time.Duration) crawltest.Site {
	return crawltest.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(after) }))
}

func TestConcurrencyPerHostAndSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site := ok(time.Second)
		settings := impolite()
		settings.ConcurrentRequests, settings.ConcurrentPerHost = 30, 5
		settings.Slots = map[string]crawl.Limits{"few.example": {Concurrency: 2}, "many.example": {Concurrency: 9}, "shared": {Concurrency: 3}}
		spider := starts("usual.example few.example many.example", 40)
		start := spider.Start
		spider.Start = func(ctx context.Context, out *crawl.Out) error {
			for i := range 40 {
				out.Request(crawl.Get(fmt.Sprintf("http://s%d.example/%d", i%4, i), func(r *crawl.Request) { r.Knobs = &crawl.Knobs{Slot: "shared"} }))
			}
			return start(ctx, out)
		}
		res := crawltest.Run(t, spider, settings, site)
		require.Len(t, res.Asked, 160)
		require.Equal(t, 5+2+9+3, site.MostAtOnce(""))
		require.Equal(t, 5, site.MostAtOnce("usual.example"))
		require.Equal(t, 2, site.MostAtOnce("few.example"))
		require.Equal(t, 9, site.MostAtOnce("many.example"))
		for i := range 4 {
			require.LessOrEqual(t, site.MostAtOnce(fmt.Sprintf("s%d.example", i)), 3)
		}
	})
}

// TestDelaysAtTheServer has a server that answers at once, and one that takes longer than the delay.
func TestDelaysAtTheServer(t *testing.T) {
	t.Parallel()
	const n = 200
	second := time.Second
	for name, c := range map[string]struct {
		change      func(*crawl.Settings)
		robots      string
		least, most time.Duration // between two
		mean        time.Duration // give or take a tenth
	}{
		"fixed": {func(s *crawl.Settings) { s.DownloadDelay, s.FixedDelay = 3*second, true }, "", 3 * second, 3 * second, 3 * second},
		"drawn": {func(s *crawl.Settings) { s.DownloadDelay = 4 * second }, "", 2 * second, 6 * second, 4 * second},
		"a slot's own, longer": {func(s *crawl.Settings) {
			s.DownloadDelay, s.Slots = second, map[string]crawl.Limits{"delayed.example": {Delay: 6 * second, FixedDelay: true}}
		}, "", 6 * second, 6 * second, 6 * second},
		"a slot's own, shorter": {func(s *crawl.Settings) {
			s.DownloadDelay, s.Slots = 9*second, map[string]crawl.Limits{"delayed.example": {Delay: 2 * second, FixedDelay: true}}
		}, "", 2 * second, 2 * second, 2 * second},
		"a slot's own, fixed as all are": {func(s *crawl.Settings) {
			s.FixedDelay, s.Slots = true, map[string]crawl.Limits{"delayed.example": {Delay: 2 * second}}
		}, "", 2 * second, 2 * second, 2 * second},
		"a slot's own, drawn though all others are fixed": {func(s *crawl.Settings) {
			s.DownloadDelay, s.FixedDelay, s.Slots = 4*second, true, map[string]crawl.Limits{"delayed.example": {RandomDelay: true}}
		}, "", 2 * second, 6 * second, 4 * second},
		"a slot that fixes the delay of all": {func(s *crawl.Settings) {
			s.DownloadDelay, s.Slots = 3*second, map[string]crawl.Limits{"delayed.example": {FixedDelay: true}}
		}, "", 3 * second, 3 * second, 3 * second},
		"Crawl-delay":                   {func(*crawl.Settings) {}, "User-agent: *\nCrawl-delay: 2.5", 2500 * time.Millisecond, 2500 * time.Millisecond, 2500 * time.Millisecond},
		"Crawl-delay, and a longer one": {func(s *crawl.Settings) { s.DownloadDelay = 8 * second }, "User-agent: *\nCrawl-delay: 2", 4 * second, 12 * second, 8 * second},
		"Crawl-delay, and one that would be drawn below it": {func(s *crawl.Settings) { s.DownloadDelay = 5 * second }, "User-agent: *\nCrawl-delay: 4", 5 * second, 5 * second, 5 * second},
		"Crawl-delay beyond the most":                       {func(*crawl.Settings) {}, "User-agent: *\nCrawl-delay: 86400", time.Minute, time.Minute, time.Minute},
		"Crawl-delay that is not obeyed":                    {func(s *crawl.Settings) { s.Robots.MaxDelay = -1 }, "User-agent: *\nCrawl-delay: 5", 0, 0, 0},
	} {
		for _, latency := range []time.Duration{0, 5 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/robots.txt" {
						fmt.Fprint(w, c.robots)
						return
					}
					time.Sleep(latency)
				}))
				settings := impolite()
				settings.Robots.Ignore = c.robots == ""
				settings.ConcurrentPerHost = 16
				c.change(&settings)
				res := crawltest.Run(t, starts("delayed.example", n), settings, site)
				require.Len(t, res.Asked, n)
				all := gaps(site, "delayed.example")
				var sum, longest time.Duration
				different := make(map[time.Duration]bool)
				for _, gap := range all {
					if c.most > 0 {
						require.GreaterOrEqual(t, gap, c.least, name)
						require.LessOrEqual(t, gap, c.most, name)
					}
					sum, longest = sum+gap, max(longest, gap)
					different[gap] = true
				}
				require.InDelta(t, c.mean.Seconds(), (sum / time.Duration(len(all))).Seconds(), 0.1*c.mean.Seconds()+0.5, name)
				if c.most > c.least {
					require.Greater(t, len(different), n/2, "%s: they are drawn", name)
				}
				if c.most > 0 && latency > c.most {
					require.Greater(t, site.MostAtOnce("delayed.example"), 1, "%s: the delay is from start to start", name)
				}
			})
		}
	}
}

// TestRetryAfterAtTheServer has a page that is refused once, and others of its host, and one of another host, that wait behind it.
func TestRetryAfterAtTheServer(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) func() string {
		return func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	}
	is := func(s string) func() string { return func() string { return s } }
	for name, c := range map[string]struct {
		status int
		value  func() string
		hold   time.Duration // of the host
		wait   time.Duration // of the request, if it is longer than the back-off
	}{
		"seconds":                     {429, is("120"), 2 * time.Minute, 2 * time.Minute},
		"seconds, of a 503":           {503, is("7"), 7 * time.Second, 7 * time.Second},
		"seconds, of a 500":           {500, is("120"), 0, 2 * time.Minute},
		"a date":                      {429, at(90 * time.Second), 90 * time.Second, 90 * time.Second},
		"a date that has passed":      {429, at(-time.Hour), 0, 0},
		"a date in a thousand years":  {429, is("Fri, 31 Dec 2999 23:59:59 GMT"), 5 * time.Minute, 5 * time.Minute},
		"more than the most":          {429, is("86400"), 5 * time.Minute, 5 * time.Minute},
		"more than a number can hold": {503, is("99999999999999999999999"), 5 * time.Minute, 5 * time.Minute},
		"nothing":                     {429, is("0"), 0, 0},
		"nonsense":                    {429, is("soon"), 0, 0},
		"a negative number":           {503, is("-30"), 0, 0},
		"a fraction":                  {503, is("1.5"), 0, 0},
		"none":                        {429, is(""), 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			var tried []time.Time
			site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host == "busy.example" && r.URL.Path == "/0" {
					if tried = append(tried, time.Now()); len(tried) == 1 {
						w.Header().Set("Retry-After", c.value())
						w.WriteHeader(c.status)
					}
				}
			}))
			settings := impolite()
			settings.ConcurrentPerHost = 1
			begun := time.Now()
			res := crawltest.Run(t, starts("busy.example idle.example", 5), settings, site)
			require.Len(t, res.Asked, 11)
			require.Equal(t, c.hold, gaps(site, "busy.example")[0], name)
			require.Equal(t, begun, site.Arrivals("idle.example")[4], "%s: the other host does not wait", name)
			require.GreaterOrEqual(t, tried[1].Sub(tried[0]), max(c.wait, 500*time.Millisecond), name)
			require.LessOrEqual(t, tried[1].Sub(tried[0]), max(c.wait, time.Second), name)
		})
	}
}

// TestDelaysHoldOverAllThatIsAsked has redirects between hosts and within one, retries with and without Retry-After, files, and robots.txt, on the same hosts.
func TestDelaysHoldOverAllThatIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const delay, hosts = 2 * time.Second, 3
		var mu sync.Mutex
		tries := make(map[string]int)
		var held []time.Time // until when the first host holds all
		site := crawltest.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(3 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			key := r.Host + r.URL.Path
			tries[key]++
			var n int
			_, _ = fmt.Sscanf(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], "%d", &n)
			switch {
			case r.URL.Path == "/robots.txt":
				fmt.Fprint(w, "User-agent: *\nDisallow: /secret")
			case strings.HasPrefix(r.URL.Path, "/moved/"):
				http.Redirect(w, r, fmt.Sprintf("http://h%d.example/target/%d", n%hosts, n), http.StatusFound)
			case n%7 == 3 && tries[key] < 3:
				w.WriteHeader(http.StatusBadGateway)
			case r.URL.Path == "/20" && tries[key] == 1:
				w.Header().Set("Retry-After", "60")
				w.WriteHeader(http.StatusServiceUnavailable)
				held = append(held, time.Now())
			default:
				fmt.Fprint(w, r.URL.Path)
			}
		}))
		spider := starts("h0.example h1.example h2.example", 12)
		start := spider.Start
		spider.Start = func(ctx context.Context, out *crawl.Out) error {
			for i := range 12 {
				out.Request(crawl.Get(fmt.Sprintf("http://h%d.example/moved/%d", i%hosts, 100+i)))
			}
			out.Request(crawl.Get("http://h0.example/20"))
			return start(ctx, out)
		}
		spider.Parse = func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			var n int
			_, _ = fmt.Sscanf(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], "%d", &n)
			out.Item(wants(
				fmt.Sprintf("http://h%d.example/file/%d", n%hosts, n), fmt.Sprintf("http://h%d.example/moved/%d", (n+1)%hosts, 1000+n), "http://h1.example/secret",
			))
			return nil
		}
		settings := filed()
		settings.Robots.Ignore, settings.Media.AllowRedirects = false, true
		settings.DownloadDelay, settings.FixedDelay = delay, true
		res := crawltest.Run(t, spider, settings, site)
		require.Equal(t, "finished", res.Reason)
		require.Len(t, res.Items, 49)
		for _, item := range res.Items {
			require.Len(t, filesOf(item), 2, "all but the secret one")
		}
		for i := range hosts {
			host := fmt.Sprintf("h%d.example", i)
			all := gaps(site, host)
			require.Greater(t, len(all), 50)
			for k, gap := range all {
				require.GreaterOrEqual(t, gap, delay, "%s, arrival %d", host, k)
			}
		}
		require.Len(t, held, 1)
		for _, at := range site.Arrivals("h0.example") {
			require.False(t, at.After(held[0]) && at.Before(held[0].Add(time.Minute)), "it had asked for a minute")
		}
		require.Positive(t, res.Stats.Int("retry/count"))
	})
}

// TestManyHostsInTheQueueCostLittle has a page of each of thirty thousand hosts in the queue, while nothing is answered.
func TestManyHostsInTheQueueCostLittle(t *testing.T) {
	const hosts = 30_000
	site := ok(0)
	hold := site.Hold("/")
	queued := make(chan struct{})
	spider := &crawl.Spider{
		Name: "broad",
		Start: func(_ context.Context, out *crawl.Out) error {
			for i := range hosts {
				out.Request(crawl.Get(fmt.Sprintf("http://host-%d.example/", i)))
			}
			close(queued)
			return nil
		},
		Parse: func(context.Context, *crawl.Response, *crawl.Out) error { return nil },
	}
	settings := impolite()
	settings.Start.Ahead = -1
	settings.AutoThrottle.On = true
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	e, wait := crawltest.Start(t, spider, settings, site)
	for range 16 {
		hold.Wait()
	}
	<-queued
	require.Eventually(t, func() bool { return e.Snapshot().Queue.Queued >= hosts-100 }, 20*time.Second, 10*time.Millisecond)
	more, each := runtime.NumGoroutine()-goroutines, (int64(heapInUse())-int64(heap))/hosts
	t.Logf("%d goroutines, %d bytes a host", more, each)
	require.Less(t, more, 200, "16 downloads, with a server in the same process")
	require.Less(t, each, int64(2000), "of which the harness remembers its share")
	e.Stop("enough")
	hold.Release()
	require.Equal(t, "enough", wait().Reason)
}

func heapInUse() uint64 {
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapAlloc
}
