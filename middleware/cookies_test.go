package middleware

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// login sets the cookies that a path's query lists, and answers.
func login() *stub {
	return serve(func(req *crawl.Request) (*crawl.Response, error) {
		var header []string
		for _, line := range req.URL.Query()["set"] {
			header = append(header, "Set-Cookie", line)
		}
		return answer(req, 200, "", header...), nil
	})
}

func TestCookies(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	site := login()
	f := b.build(t, Cookies, site)
	ask := func(raw string, with ...func(*crawl.Request)) string {
		req := crawl.Get(raw, with...)
		own := req.Header.Clone()
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, own, req.Header, "the jar's cookies do not stay in the request")
		return site.last().Header.Get("Cookie")
	}
	jar := func(name string) func(*crawl.Request) {
		return func(req *crawl.Request) { req.Knobs = &crawl.Knobs{CookieJar: name} }
	}
	header := func(values ...string) func(*crawl.Request) {
		return func(req *crawl.Request) { req.Header = http.Header{"Cookie": values} }
	}

	require.Empty(t, ask("https://shop.example/?set=session%3D1&set=theme%3Ddark%3B+Path%3D/x"))
	require.Equal(t, "session=1", ask("https://shop.example/"))
	require.Equal(t, "theme=dark; session=1", ask("https://shop.example/x/y"))
	require.Empty(t, ask("https://other.example/"), "another site")
	require.Empty(t, ask("https://www.shop.example/"), "a host's own cookie")

	// Jars do not know each other.
	require.Empty(t, ask("https://shop.example/?set=session%3D2", jar("two")))
	require.Equal(t, "session=2", ask("https://shop.example/", jar("two")))
	require.Equal(t, "session=1", ask("https://shop.example/"))

	// What the spider has set wins by name.
	require.Equal(t, "session=mine; a=b; theme=dark", ask("https://shop.example/x/", header("session=mine; a=b")))
	require.Equal(t, "theme=mine; a=b; session=1", ask("https://shop.example/x/", header("theme=mine", "a=b")))
	require.Equal(t, "session=mine", ask("https://shop.example/", header("session=mine")))
	require.Equal(t, "session=1", ask("https://shop.example/"), "and does not enter the jar")

	// Nor is the jar asked, or told, when it is not to be.
	none := func(req *crawl.Request) { req.Knobs = &crawl.Knobs{DontMergeCookies: true} }
	require.Empty(t, ask("https://shop.example/?set=session%3D3", none))
	require.Equal(t, "session=1", ask("https://shop.example/"))
}

// Scrapy's advisory GHSA-mfjm: one shop must not set cookies for all shops of a public suffix.
func TestCookiesOfPublicSuffixes(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	site := login()
	f := b.build(t, Cookies, site)
	for _, raw := range []string{
		"https://a.co.uk/?set=x%3D1%3B+Domain%3Dco.uk", "https://a.co.uk/?set=x%3D1%3B+Domain%3D.uk", "https://a.github.io/?set=x%3D1%3B+Domain%3Dgithub.io",
		"https://a.co.uk/?set=x%3D1%3B+Domain%3Db.co.uk",
	} {
		_, err := f.Fetch(t.Context(), crawl.Get(raw))
		require.NoError(t, err)
	}
	for _, raw := range []string{"https://b.co.uk/", "https://b.github.io/", "https://a.co.uk/"} {
		_, err := f.Fetch(t.Context(), crawl.Get(raw))
		require.NoError(t, err)
		require.Empty(t, site.last().Header.Get("Cookie"), raw)
	}
}

func TestCookiesOff(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Cookies.Off = true })
	_, err := Cookies(b.Env, serveOK())
	requireOff(t, err)
}

func TestCookiesDebug(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Cookies.Debug = true })
	f := b.build(t, Cookies, login())
	for range 2 {
		_, err := f.Fetch(t.Context(), crawl.Get("http://h/?set=a%3Db"))
		require.NoError(t, err)
	}
	require.Equal(t, 2, b.logs.FilterMessage("cookie received").Len())
	sent := b.logs.FilterMessage("cookies sent").All()
	require.Len(t, sent, 1)
	require.Equal(t, "a=b", sent[0].ContextMap()["cookies"])
}

// A layer further in that asks again has copied the request with the jar's cookies in it.
func TestCookiesLeaveWhatIsRescheduled(t *testing.T) {
	t.Parallel()
	for _, own := range []string{"", "mine=1"} {
		b := newBundle(t)
		jarred := false
		f := b.build(t, Cookies, serve(func(req *crawl.Request) (*crawl.Response, error) {
			if !jarred {
				jarred = true
				return answer(req, 200, "", "Set-Cookie", "jar=1"), nil
			}
			require.Contains(t, req.Header.Get("Cookie"), "jar=1")
			return nil, crawl.Reschedule(req.Clone(), 0, "again")
		}))
		_, err := f.Fetch(t.Context(), crawl.Get("http://h/"))
		require.NoError(t, err)
		req := crawl.Get("http://h/")
		if own != "" {
			req.Header = http.Header{"Cookie": {own}}
		}
		_, err = f.Fetch(t.Context(), req)
		require.Equal(t, own, requireAgain(t, err).Request.Header.Get("Cookie"))
	}
}

func TestCookiesInParallel(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := b.build(t, Cookies, login())
	shared := http.Header{"Accept": {"*/*"}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				req := crawl.Get("http://h/?set=a%3Db")
				req.Header, req.Knobs = shared, &crawl.Knobs{CookieJar: "j"}
				if _, err := f.Fetch(t.Context(), req); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, shared, 1)
}

// TestCookiesOfAJob hands what one process has kept to the next.
func TestCookiesOfAJob(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(_ *crawl.Spider, s *crawl.Settings) { s.Job.Dir = "job" })
	site := login()
	ask := func(f crawl.Fetcher, raw, jar string) string {
		req := crawl.Get(raw)
		req.Knobs = &crawl.Knobs{CookieJar: jar}
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err)
		return site.last().Header.Get("Cookie")
	}
	state := make(map[string][]byte)
	commit := func(f crawl.Fetcher) (keys []string) {
		for k, v := range f.(crawl.Stateful).TakeChanges() {
			keys = append(keys, k)
			if state[k] = v; v == nil {
				delete(state, k)
			}
		}
		return keys
	}
	first := b.build(t, Cookies, site)
	require.Empty(t, commit(first))
	ask(first, "https://shop.example/?set=session%3D1", "")
	ask(first, "https://www.other.example/?set=a%3Db", "")
	ask(first, "https://shop.example/?set=session%3D2", "two/2")
	require.ElementsMatch(t, []string{"cookies//shop.example", "cookies//other.example", "cookies/two%2F2/shop.example"}, commit(first))
	require.Empty(t, commit(first))
	ask(first, "https://shop.example/", "")
	ask(first, "https://shop.example/?set=session%3D1", "")
	require.Empty(t, commit(first), "the same again is no change")
	ask(first, "https://www.other.example/?set=a%3D%3B+Max-Age%3D0", "")
	require.Equal(t, []string{"cookies//other.example"}, commit(first))
	require.Len(t, state, 2)

	state["spider/x"] = []byte("not ours")
	next := b.build(t, Cookies, site)
	require.NoError(t, next.(crawl.Stateful).Restore(state))
	require.Empty(t, commit(next))
	require.Equal(t, "session=1", ask(next, "https://shop.example/", ""))
	require.Equal(t, "session=2", ask(next, "https://shop.example/", "two/2"))
	require.Empty(t, ask(next, "https://www.other.example/", ""))
	ask(next, "https://shop.example/?set=more%3D1", "")
	require.Equal(t, []string{"cookies//shop.example"}, commit(next))
	require.Contains(t, string(state["cookies//shop.example"]), "session")

	state["cookies//com"] = []byte(`[{"name":"a","value":"b","domain":"com","path":"/"}]`)
	require.NoError(t, b.build(t, Cookies, site).(crawl.Stateful).Restore(state))
	require.Equal(t, 1, b.logs.FilterMessage("cookies of the job are left out").Len())
	for _, bad := range []string{"cookies//a.example", "cookies/%zz/a.example"} {
		require.ErrorContains(t, b.build(t, Cookies, site).(crawl.Stateful).Restore(map[string][]byte{bad: []byte("{")}), bad)
	}
}

func TestStatefulLayersOfTheChain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	c, err := Build(b.Env, login())
	require.NoError(t, err)
	require.Len(t, c.Stateful(), 2, "passwords and cookies")
	require.NoError(t, c.Close())
}

// noteKnown is a browser that notes what it is told of cookies.
type noteKnown struct{ known *[]*http.Cookie }

func (n noteKnown) Fetch(ctx context.Context, req *crawl.Request) (*crawl.Response, error) {
	*n.known = crawl.Cookies(ctx)
	return answer(req, 200, "", "Set-Cookie", "secret=1; HttpOnly", "Set-Cookie", "open=2; Domain=shop.example"), nil
}

// TestCookiesOfPagesThatAreRendered tells the browser what it is to know of them.
func TestCookiesOfPagesThatAreRendered(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var known []*http.Cookie
	f := b.build(t, Cookies, noteKnown{&known})
	for _, want := range [][]*http.Cookie{nil, {{Name: "secret", Value: "1", Path: "/", HttpOnly: true}, {Name: "open", Value: "2", Path: "/", Domain: "shop.example"}}} {
		req := crawl.Get("https://shop.example/")
		req.Knobs = &crawl.Knobs{Render: new(crawl.Render)}
		_, err := f.Fetch(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, want, known)
	}
	_, err := f.Fetch(t.Context(), crawl.Get("https://shop.example/"))
	require.NoError(t, err)
	require.Empty(t, known, "it is nobody's business where there are no scripts")
}
