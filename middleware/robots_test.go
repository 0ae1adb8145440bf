package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/tulle-go/tulle/crawl"
)

// robotsSite answers /robots.txt by a function, and everything else with 200.
func robotsSite(answerRobots func(req *crawl.Request) (*crawl.Response, error)) *stub {
	return serve(func(req *crawl.Request) (*crawl.Response, error) {
		if req.URL.Path == "/robots.txt" {
			return answerRobots(req)
		}
		return answer(req, 200, "page"), nil
	})
}

func robotsFileSite(text string) *stub {
	return robotsSite(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 200, text), nil })
}

// opens does what the engine does: a request whose host is not open is fetched again when it is.
type opens struct{ crawl.Fetcher }

func (o opens) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	resp, err := o.Fetcher.Fetch(ctx, req)
	if again, ok := errors.AsType[*crawl.RescheduleError](err); !ok || !again.Reopen {
		return resp, err
	}
	if _, err := openHost(ctx, o.Fetcher, req, o.Fetcher); err != nil {
		return nil, err
	}
	return o.Fetcher.Fetch(ctx, req)
}

// openHost opens a host as the engine does. What is to be asked after a while is waited for.
func openHost(ctx context.Context, f crawl.Fetcher, req *crawl.Request, through crawl.Fetcher) (crawl.Limits, error) {
	for {
		l, err := f.(crawl.RequestOpener).OpenHostFor(ctx, req, through)
		again, ok := errors.AsType[*crawl.RescheduleError](err)
		if !ok {
			return l, err
		}
		time.Sleep(again.After)
	}
}

func TestRobots(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	site := robotsFileSite("User-agent: *\nDisallow: /private\n\nUser-agent: tulle\nDisallow: /tulle")
	f := opens{b.build(t, Robots, site)}
	for range 2 {
		resp, err := f.Fetch(t.Context(), crawl.Get("http://h/private"))
		require.NoError(t, err)
		require.Equal(t, 200, resp.Status)
		_, err = f.Fetch(t.Context(), crawl.Get("http://h/tulle/x"))
		requireIgnored(t, err, "robots.txt")
	}
	req := crawl.Get("http://h/tulle/x")
	req.Knobs = &crawl.Knobs{IgnoreRobots: true}
	_, err := f.Fetch(t.Context(), req)
	require.NoError(t, err)
	for _, raw := range []string{"data:,x", "file:///tulle/x"} {
		_, err := f.Fetch(t.Context(), crawl.Get(raw))
		require.NoError(t, err)
	}
	require.Equal(t, 1, strings.Count(strings.Join(site.urls(), " "), "robots.txt"))
	require.Equal(t, map[string]any{
		"robotstxt/request_count": int64(1), "robotstxt/response_count": int64(1), "robotstxt/response_status_count/200": int64(1),
		"robotstxt/forbidden": int64(2),
	}, b.Stats.Snapshot())
}

func TestRobotsOrigins(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	site := robotsFileSite("")
	f := opens{b.build(t, Robots, site)}
	for _, raw := range []string{"http://h/a", "http://h:80/b", "http://H/c", "https://h/", "https://h:443/", "http://h:8080/", "http://www.h/"} {
		req := &crawl.Request{URL: mustParse(t, raw)}
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err)
	}
	var asked []string
	for _, u := range site.urls() {
		if strings.HasSuffix(u, "/robots.txt") {
			asked = append(asked, u)
		}
	}
	require.Equal(t, []string{"http://h/robots.txt", "https://h/robots.txt", "http://h:8080/robots.txt", "http://www.h/robots.txt"}, asked)
}

// RFC 9309, section 2.3.1: what an answer means.
func TestRobotsAnswers(t *testing.T) {
	t.Parallel()
	const all = "User-agent: *\nDisallow: /"
	cases := []struct {
		name    string
		answer  func(req *crawl.Request) (*crawl.Response, error)
		allowed bool
	}{
		{"200", func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 200, all), nil }, false},
		{"204", func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 204, ""), nil }, true},
		{"a page", func(req *crawl.Request) (*crawl.Response, error) {
			return answer(req, 200, "<html><p>Not found</html>"), nil
		}, true},
		{"301 without a way", func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 301, all), nil }, true},
		{"401", func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 401, all), nil }, true},
		{"404", func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 404, all), nil }, true},
		{"429", func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 429, ""), nil }, false},
		{"500", func(req *crawl.Request) (*crawl.Response, error) { return answer(req, 500, ""), nil }, false},
		{"a rule beyond 500 KiB", func(req *crawl.Request) (*crawl.Response, error) {
			return answer(req, 200, "User-agent: *\n"+strings.Repeat("# padding\n", 60_000)+"Disallow: /"), nil
		}, true},
		{"200, stopped", func(req *crawl.Request) (*crawl.Response, error) { return cutOff(req, "download_stopped", ""), nil }, false},
		{"200, truncated", func(req *crawl.Request) (*crawl.Response, error) {
			return cutOff(req, "truncated", "User-agent: *\nDis"), nil
		}, false},
		{"200, truncated behind 500 KiB", func(req *crawl.Request) (*crawl.Response, error) {
			return cutOff(req, "truncated", "User-agent: *\n"+strings.Repeat("# padding\n", 60_000)), nil
		}, true},
		{"no answer", func(req *crawl.Request) (*crawl.Response, error) {
			return nil, &crawl.DownloadError{Kind: crawl.KindDNS, URL: req.URL.String(), Err: errors.New("no such host")}
		}, false},
	}
	for _, c := range cases {
		b := newBundle(t)
		site := robotsSite(c.answer)
		f := opens{b.build(t, Robots, site)}
		for range 2 {
			_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
			if c.allowed {
				require.NoError(t, err, c.name)
			} else {
				var ignored *crawl.IgnoreRequestError
				require.ErrorAs(t, err, &ignored, c.name)
			}
		}
		require.Equal(t, 1, strings.Count(strings.Join(site.urls(), " "), "robots.txt"), "%s: it is asked for once", c.name)
	}
}

// cutOff is an answer whose body is not all of it.
func cutOff(req *crawl.Request, flag, body string) *crawl.Response {
	resp := answer(req, 200, body)
	resp.Flags = []string{flag}
	return resp
}

func TestRobotsUnreadable(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := opens{b.build(t, Robots, failing(crawl.KindDNS))}
	for range 3 {
		_, err := f.Fetch(t.Context(), crawl.Get("https://h/x"))
		requireIgnored(t, err, "robots.txt of https://h could not be read")
		var failed *crawl.DownloadError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, crawl.KindDNS, failed.Kind)
	}
	require.Equal(t, 1, b.logs.FilterLevelExact(zap.WarnLevel).Len())
	require.Equal(t, map[string]any{
		"robotstxt/request_count": int64(1), "robotstxt/exception_count/dns": int64(1), "robotstxt/unread": int64(3),
	}, b.Stats.Snapshot())
}

func TestRobotsAgents(t *testing.T) {
	t.Parallel()
	const file = "User-agent: *\nDisallow: /all\n\nUser-agent: shopbot\nDisallow: /bot\n\nUser-agent: tulle\nDisallow: /tulle"
	cases := []struct {
		name          string
		robots, crawl string // Robots.UserAgent, UserAgent
		header        string // the request's
		refused       string
		asked         string // the User-Agent that robots.txt is asked with, if it is not the crawl's
	}{
		{"the crawl", "", "", "", "/tulle", ""},
		{"the crawl's name", "", "ShopBot/1.0 (+http://shop)", "", "/bot", ""},
		{"nobody", "", "x", "", "/all", ""},
		{"the settings'", "shopbot", "", "", "/bot", ""},
		{"the request's", "", "", "ShopBot/2.0", "/bot", "ShopBot/2.0"},
		{"the request's, as browsers have it", "", "", "Mozilla/5.0 (compatible; ShopBot/2.0)", "/bot", "Mozilla/5.0 (compatible; ShopBot/2.0)"},
		{"the request's, a browser", "", "", "Mozilla/5.0 (X11)", "/all", "Mozilla/5.0 (X11)"},
		{"the settings' above the request's", "shopbot", "", "tulle", "/bot", ""},
		{"the crawl's, said once more", "", "", crawl.DefaultUserAgent, "/tulle", ""},
	}
	for _, c := range cases {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Robots.UserAgent, s.UserAgent = c.robots, c.crawl })
		site := robotsFileSite(file)
		f := opens{b.build(t, Robots, site)}
		for _, path := range []string{"/all", "/bot", "/tulle"} {
			req := crawl.Get("http://h" + path)
			if c.header != "" {
				req.Header = http.Header{"User-Agent": {c.header}}
			}
			_, err := f.Fetch(t.Context(), req)
			if path == c.refused {
				requireIgnored(t, err, "robots.txt")
			} else {
				require.NoError(t, err, "%s %s", c.name, path)
			}
		}
		require.Equal(t, c.asked, site.asked[0].Header.Get("User-Agent"), c.name)
		require.Len(t, site.asked, 3, c.name)
	}
}

func TestRobotsOpenHost(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, origin, file string
		max                time.Duration
		want               crawl.Limits
		asked              int
	}{
		{"none", "http://h", "User-agent: *\nDisallow:", 0, crawl.Limits{}, 1},
		{"seconds", "https://h:8443", "User-agent: *\nCrawl-delay: 2.5", 0, crawl.Limits{Delay: 2500 * time.Millisecond, FixedDelay: true}, 1},
		{"years", "http://h", "User-agent: *\nCrawl-delay: 99999999999", 0, crawl.Limits{Delay: time.Minute, FixedDelay: true}, 1},
		{"capped", "http://h", "User-agent: *\nCrawl-delay: 10", 3 * time.Second, crawl.Limits{Delay: 3 * time.Second, FixedDelay: true}, 1},
		{"not obeyed", "http://h", "User-agent: *\nCrawl-delay: 10", -1, crawl.Limits{}, 1},
		{"another scheme", "ftp://h", "", 0, crawl.Limits{}, 0},
	}
	for _, c := range cases {
		b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Robots.MaxDelay = c.max })
		outer, inner := robotsFileSite(c.file), serveOK()
		f := b.build(t, Robots, inner)
		limits, err := openHost(t.Context(), f, crawl.Get(c.origin+"/page"), outer)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, limits, c.name)
		require.Len(t, outer.asked, c.asked, c.name)
		if c.asked == 0 {
			continue
		}
		req := outer.asked[0]
		require.Equal(t, c.origin+"/robots.txt", req.URL.String())
		require.True(t, req.DontFilter)
		require.True(t, req.Knob().IgnoreRobots)
		require.True(t, req.Knob().AllowOffsite)
		_, err = f.Fetch(t.Context(), crawl.Get(c.origin+"/page"))
		require.NoError(t, err)
		require.Equal(t, []string{c.origin + "/page"}, inner.urls(), "%s: what OpenHostFor has read is not asked for again", c.name)
	}
}

// The layers within find a header map on the request for robots.txt too, and what they add once is not added twice.
func TestRobotsThroughInnerLayers(t *testing.T) {
	t.Parallel()
	b := newBundle(t, layers(crawl.Layer{Order: 300, Middleware: func(_ *crawl.Env, next crawl.Fetcher) (crawl.Fetcher, error) {
		return crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			req.Header.Add("X-Own", "1")
			return next.Fetch(ctx, req)
		}), nil
	}}), func(_ *crawl.Spider, s *crawl.Settings) { s.Retry.BackOff = -1 })
	failures := 2
	site := robotsSite(func(req *crawl.Request) (*crawl.Response, error) {
		require.Equal(t, []string{"1"}, req.Header["X-Own"])
		require.Equal(t, crawl.DefaultUserAgent, req.Header.Get("User-Agent"))
		if failures--; failures >= 0 {
			return answer(req, 503, ""), nil
		}
		return answer(req, 200, "User-agent: *\nDisallow: /private"), nil
	})
	chain, err := Build(b.Env, site)
	require.NoError(t, err)
	_, err = opens{chain}.Fetch(t.Context(), crawl.Get("http://h/private"))
	requireIgnored(t, err, "robots.txt")
	require.Len(t, site.asked, 3)
}

func TestRobotsOff(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Robots.Ignore = true })
	_, err := Robots(b.Env, serveOK())
	requireOff(t, err)
}

// OpenHostFor does what the engine does with a retry or a redirect, for a bounded time.
func TestRobotsReschedules(t *testing.T) {
	t.Parallel()
	later := func(req *crawl.Request, after time.Duration) error {
		c := repeat(req)
		c.Retries++
		return &crawl.RescheduleError{Request: c, After: after, Reason: "503 Service Unavailable"}
	}
	redirected := func(req *crawl.Request) *crawl.Response {
		return answer(req, 301, "", "Location", req.URL.String()+"?")
	}
	cases := []struct {
		name    string
		answer  func(req *crawl.Request) (*crawl.Response, error)
		asked   int
		took    time.Duration
		allowed bool
	}{
		{"a retry", func(req *crawl.Request) (*crawl.Response, error) {
			if req.Retries < 2 {
				return nil, later(req, 3*time.Second)
			}
			return answer(req, 200, ""), nil
		}, 3, 6 * time.Second, true},
		{"too long", func(req *crawl.Request) (*crawl.Response, error) { return nil, later(req, time.Hour) }, 1, 0, false},
		{"too long in all", func(req *crawl.Request) (*crawl.Response, error) { return nil, later(req, 4*time.Second) }, 3, 8 * time.Second, false},
		{"for ever", func(req *crawl.Request) (*crawl.Response, error) { return nil, later(req, 0) }, 20, 0, false},
		{"five redirects", func(req *crawl.Request) (*crawl.Response, error) {
			if len(req.Redirects) < 5 {
				return redirected(req), nil
			}
			return answer(req, 200, "User-agent: *\nDisallow: /"), nil
		}, 6, 0, false},
		{"six redirects", func(req *crawl.Request) (*crawl.Response, error) { return redirected(req), nil }, 6, 0, true},
		{"a redirect out of the web", func(req *crawl.Request) (*crawl.Response, error) {
			return answer(req, 301, "", "Location", "file:///robots.txt"), nil
		}, 1, 0, true},
		{"a redirect to a URL that is too long", func(req *crawl.Request) (*crawl.Response, error) {
			return answer(req, 301, "", "Location", "/"+strings.Repeat("x", 3000)), nil
		}, 1, 0, true},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			b := newBundle(t)
			site := robotsSite(c.answer)
			f := b.build(t, Robots, serveOK())
			start := time.Now()
			_, err := openHost(t.Context(), f, crawl.Get("http://h/"), site)
			require.NoError(t, err)
			require.Equal(t, c.took, time.Since(start), c.name)
			require.Len(t, site.asked, c.asked, c.name)
			_, err = f.Fetch(t.Context(), crawl.Get("http://h/"))
			require.Equal(t, c.allowed, err == nil, c.name)
		})
	}
}

// A server that never answers holds a host up for a minute, not for ever.
func TestRobotsTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t)
		f := b.build(t, Robots, serveOK())
		start := time.Now()
		_, err := openHost(t.Context(), f, crawl.Get("http://h/"), crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			<-ctx.Done()
			return nil, &crawl.DownloadError{Kind: crawl.KindTimeout, URL: req.URL.String(), Err: ctx.Err()}
		}))
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(start))
		_, err = f.Fetch(t.Context(), crawl.Get("http://h/"))
		requireIgnored(t, err, "robots.txt of http://h could not be read")
	})
}

// Who asks may be cancelled, when the crawl ends: then nothing is remembered.
func TestRobotsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t)
		f := opens{b.build(t, Robots, crawl.FetcherFunc(func(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
			select {
			case <-time.After(time.Second):
				return answer(req, 200, ""), nil
			case <-ctx.Done():
				return nil, &crawl.DownloadError{Kind: crawl.KindConnection, URL: req.URL.String(), Err: ctx.Err()}
			}
		}))}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		_, err := f.Fetch(ctx, crawl.Get("http://h/1"))
		require.Equal(t, context.Canceled, err)
		_, err = f.Fetch(t.Context(), crawl.Get("http://h/2"))
		require.NoError(t, err)
		require.EqualValues(t, 2, b.Stats.Int("robotstxt/request_count"))
		require.Zero(t, b.Stats.Int("robotstxt/exception_count/connection"))
		require.Zero(t, b.Stats.Int("robotstxt/forbidden"))
	})
}

func TestRobotsGrowsOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t)
		text, up := "User-agent: *\nDisallow: /a", true
		f := opens{b.build(t, Robots, robotsSite(func(req *crawl.Request) (*crawl.Response, error) {
			if !up {
				return answer(req, 503, ""), nil
			}
			return answer(req, 200, text), nil
		}))}
		refused := func(path string) bool {
			_, err := f.Fetch(t.Context(), crawl.Get("http://h"+path))
			return err != nil
		}
		require.True(t, refused("/a"))
		text = "User-agent: *\nDisallow: /b"
		time.Sleep(23 * time.Hour)
		require.False(t, refused("/b"))
		time.Sleep(2 * time.Hour)
		require.True(t, refused("/b"))
		require.False(t, refused("/a"))

		// Old rules are better than none.
		up = false
		time.Sleep(25 * time.Hour)
		require.True(t, refused("/b"))
		require.False(t, refused("/a"))
		require.EqualValues(t, 3, b.Stats.Int("robotstxt/request_count"))

		// And they are renewed when that is possible again.
		up, text = true, ""
		time.Sleep(6 * time.Minute)
		require.False(t, refused("/b"))
		require.EqualValues(t, 4, b.Stats.Int("robotstxt/request_count"))
	})
}

func TestRobotsIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBundle(t)
		status := 500
		f := opens{b.build(t, Robots, robotsSite(func(req *crawl.Request) (*crawl.Response, error) { return answer(req, status, ""), nil }))}
		_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
		requireIgnored(t, err, "robots.txt of http://h could not be read")
		status = 200
		time.Sleep(6 * time.Minute)
		_, err = f.Fetch(t.Context(), crawl.Get("http://h/"))
		require.NoError(t, err)
	})
}

// robots.txt is asked for as the request that waits for it would be.
func TestRobotsIsAskedForAsTheRequest(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	site := robotsSite(func(req *crawl.Request) (*crawl.Response, error) {
		if len(req.Redirects) == 0 {
			return answer(req, 301, "", "Location", "https://elsewhere/robots.txt"), nil
		}
		return answer(req, 200, ""), nil
	})
	f := opens{b.build(t, Robots, site)}
	_, err := f.Fetch(t.Context(), crawl.Get("http://h/", func(r *crawl.Request) {
		r.Knobs = &crawl.Knobs{Proxy: "socks5://p:1", BindAddress: "10.0.0.1", Slot: "s", CookieJar: "j", HTTPUser: "u", HTTPPassword: "p", Render: &crawl.Render{}}
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"http://h/robots.txt", "https://elsewhere/robots.txt", "http://h/"}, site.urls())
	for _, req := range site.asked[:2] {
		require.Equal(t, "socks5://p:1", req.Knob().Proxy)
		require.Equal(t, "10.0.0.1", req.Knob().BindAddress)
		require.Equal(t, "s", req.Slot())
		require.Empty(t, req.Knob().CookieJar)
		require.Empty(t, req.Knob().HTTPUser)
		require.Nil(t, req.Knob().Render)
	}
}

// A file with many short rules costs what its rules take, and whatever its first line is.
func TestRobotsCountsRules(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"", "<!-- -->\n"} {
		b := newBundle(t)
		r := b.build(t, Robots, robotsFileSite(first+"User-agent: *\n"+strings.Repeat("Allow:/\n", 10_000))).(*robots)
		_, err := opens{r}.Fetch(t.Context(), crawl.Get("http://h/"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, r.cost, 10_000*(48+8), "a rule, and the least allocation")
	}
	b := newBundle(t)
	r := b.build(t, Robots, robotsFileSite("<html>"+strings.Repeat("a page\n", 10_000))).(*robots)
	_, err := opens{r}.Fetch(t.Context(), crawl.Get("http://h/"))
	require.NoError(t, err)
	require.Equal(t, robotsEntry, r.cost)
}

// What is kept is bounded, however many hosts there are and however long their files.
func TestRobotsIsBounded(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	r := b.build(t, Robots, serveOK()).(*robots)
	for i := range 1000 {
		r.keep(robotsKey{scheme: "http", host: fmt.Sprintf("h%d", i)}, robotsFile{rules: allowAll, cost: 400_000})
	}
	require.LessOrEqual(t, r.cost, robotsBudget)
	require.Greater(t, r.cost, robotsBudget-400_000)
	require.Len(t, r.known, r.cost/400_000)
	require.Contains(t, r.known, robotsKey{scheme: "http", host: "h999"})
	r.keep(robotsKey{scheme: "http", host: "h999"}, robotsFile{rules: allowAll, cost: 100})
	require.Equal(t, (len(r.known)-1)*400_000+100, r.cost)
}
