package middleware

import (
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func loggedIn(domain string) func(*crawl.Spider, *crawl.Settings) {
	return func(_ *crawl.Spider, s *crawl.Settings) {
		s.HTTPAuth = crawl.HTTPAuthSettings{User: "me", Password: "s3cret", Domain: domain}
	}
}

func who(user string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(user)) }

// sentTo is the Authorization that a request leaves with, "" if it has none.
func sentTo(t testing.TB, f crawl.Fetcher, site *stub, req *crawl.Request) string {
	t.Helper()
	resp, err := f.Fetch(t.Context(), req)
	require.NoError(t, err)
	require.Nil(t, resp.URL.User)
	return site.last().Header.Get("Authorization")
}

// CVE-2021-41125 and those that came after it: who is sent the settings' password.
func TestHTTPAuthDomains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		domain string
		yes    []string
		no     []string
	}{
		{
			"example.com",
			[]string{"http://example.com/", "https://example.com/", "https://EXAMPLE.com:8443/x", "http://www.example.com/", "http://a.b.example.com./"},
			[]string{"http://example.org/", "http://notexample.com/", "http://example.com.evil/", "http://com/", "ftp://example.com/"},
		},
		{".example.com", []string{"http://example.com/", "http://www.example.com/"}, []string{"http://notexample.com/"}},
		{"example.com:8080", []string{"http://example.com:8080/", "https://www.example.com:8080/"}, []string{"http://example.com/"}},
		{
			"https://example.com",
			[]string{"https://example.com/", "https://example.com:443/"},
			[]string{"http://example.com/", "https://example.com:8443/", "https://www.example.com/"},
		},
		{"192.0.2.1", []string{"http://192.0.2.1/"}, []string{"http://1.192.0.2.1.example/", "http://192.0.2.10/"}},
		{"[2001:db8::1]", []string{"http://[2001:db8::1]:80/"}, []string{"http://[2001:db8::2]/"}},
		{"bücher.example", []string{"http://xn--bcher-kva.example/", "http://bücher.example/"}, nil},
	} {
		site := serveOK()
		f := newBundle(t, loggedIn(c.domain)).build(t, HTTPAuth, site)
		for _, raw := range c.yes {
			require.Equal(t, "Basic bWU6czNjcmV0", sentTo(t, f, site, crawl.Get(raw)), "%s: %s", c.domain, raw)
		}
		for _, raw := range c.no {
			require.Empty(t, sentTo(t, f, site, crawl.Get(raw)), "%s: %s", c.domain, raw)
		}
	}
}

func TestHTTPAuthSettings(t *testing.T) {
	t.Parallel()
	_, err := crawl.Settings{HTTPAuth: crawl.HTTPAuthSettings{User: "me"}}.Effective(nil)
	require.EqualError(t, err, "http_auth.domain is empty: want the domain that the user and password are for: they are sent nowhere else")
	for _, domain := range []string{"ftp://h", "http://", "h/path", "me:s3cret@h", "a b"} {
		_, err := HTTPAuth(newBundle(t, loggedIn(domain)).Env, serveOK())
		require.ErrorContains(t, err, "http_auth.domain: ", domain)
	}
	b := newBundle(t, loggedIn("h"))
	b.Settings.HTTPAuth.User = "a:b"
	_, err = HTTPAuth(b.Env, serveOK())
	require.ErrorContains(t, err, "http_auth.user has a colon")

	// RFC 7617, section 2.1: the user "test" with the password "123£", in UTF-8.
	b.Settings.HTTPAuth = crawl.HTTPAuthSettings{User: "test", Password: "123£", Domain: "h"}
	site := serveOK()
	require.Equal(t, "Basic dGVzdDoxMjPCow==", sentTo(t, b.build(t, HTTPAuth, site), site, crawl.Get("http://h/")))
}

// What a request says for itself stays with the origin that it was made for, or the domain that it names.
func TestHTTPAuthOfRequests(t *testing.T) {
	t.Parallel()
	site := serveOK()
	f := newBundle(t, loggedIn("h")).build(t, HTTPAuth, site)
	own := who("own:pw")
	for _, c := range []struct {
		url    string
		knobs  crawl.Knobs
		came   []string
		header string
		want   string
	}{
		{"http://other/", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, nil, "", own},
		{"http://h/", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, nil, "", own},
		{"http://h/", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, nil, "Bearer x", "Bearer x"},
		{"http://h/", crawl.Knobs{}, nil, "Bearer x", "Bearer x"},
		{"http://h/", crawl.Knobs{HTTPPassword: "token"}, nil, "", who(":token")},
		// After redirects.
		{"http://other/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, []string{"http://other/a"}, "", own},
		{"https://other/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, []string{"http://other/a"}, "", own},
		{"https://other:8443/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, []string{"http://other/a"}, "", ""},
		{"http://other:81/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, []string{"http://other/a"}, "", ""},
		{"http://other/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, []string{"https://other/a"}, "", ""},
		{"http://www.other/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, []string{"http://other/a"}, "", ""},
		{"http://other/c", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw"}, []string{"http://other/a", "http://evil/b"}, "", own},
		{"http://www.other/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw", HTTPAuthDomain: "other"}, []string{"http://other/a"}, "", own},
		{"http://evil/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw", HTTPAuthDomain: "other"}, []string{"http://other/a"}, "", ""},
		{"http://evil/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw", HTTPAuthDomain: "::"}, nil, "", ""},
		{"http://other/b", crawl.Knobs{HTTPUser: "own", HTTPPassword: "pw", HTTPAuthDomain: "other"}, []string{"https://other/a"}, "", ""},
		// The settings' too are not sent in clear text where they came encrypted.
		{"http://h/b", crawl.Knobs{}, []string{"http://h/a"}, "", who("me:s3cret")},
		{"http://h/b", crawl.Knobs{}, []string{"https://h/a"}, "", ""},
		{"http://h/c", crawl.Knobs{}, []string{"https://h/a", "http://x/b"}, "", ""},
	} {
		req := crawl.Get(c.url)
		req.Knobs, req.Redirects = &c.knobs, c.came
		if c.header != "" {
			req.Header = http.Header{"Authorization": {c.header}}
		}
		require.Equal(t, c.want, sentTo(t, f, site, req), "%+v", c)
		require.Equal(t, c.header, req.Header.Get("Authorization"), "what was added is taken back")
	}
}

// A user in a URL is sent to its origin, and seen nowhere afterwards. What a start request has brought counts for its whole origin, what a link has for the link alone.
func TestHTTPAuthInURLs(t *testing.T) {
	t.Parallel()
	site := serveOK()
	b := newBundle(t, loggedIn("other"), func(_ *crawl.Spider, s *crawl.Settings) { s.Job.Dir = "job" })
	f := b.build(t, HTTPAuth, site)
	start := crawl.Get("http://me:p%3aw@h/")
	start.IsStart = true
	require.Equal(t, who("me:p:w"), sentTo(t, f, site, start))
	require.Equal(t, who("me:p:w"), sentTo(t, f, site, crawl.Get("http://h:80/picture.jpg")))
	require.Equal(t, who("link:x"), sentTo(t, f, site, crawl.Get("http://link:x@h/")))
	require.Equal(t, who("me:p:w"), sentTo(t, f, site, crawl.Get("http://H/")), "a link changes nothing")
	require.Equal(t, who("link:"), sentTo(t, f, site, crawl.Get("http://link@evil/")))
	require.Empty(t, sentTo(t, f, site, crawl.Get("http://evil/")))
	require.Empty(t, sentTo(t, f, site, crawl.Get("https://h/")), "another origin")
	require.Empty(t, sentTo(t, f, site, crawl.Get("http://h:81/")))
	require.Empty(t, sentTo(t, f, site, crawl.Get("http://@nobody/")))
	require.Equal(t, who("me:s3cret"), sentTo(t, f, site, crawl.Get("http://other/")))

	state := f.(crawl.Stateful).TakeChanges()
	require.Equal(t, map[string][]byte{"httpauth/http://h:80": []byte(`"` + who("me:p:w") + `"`)}, state)
	require.Empty(t, f.(crawl.Stateful).TakeChanges())
	resumed := b.build(t, HTTPAuth, site)
	require.NoError(t, resumed.(crawl.Stateful).Restore(state))
	require.Equal(t, who("me:p:w"), sentTo(t, resumed, site, crawl.Get("http://h/")))
	require.Empty(t, resumed.(crawl.Stateful).TakeChanges())
	require.ErrorContains(t, resumed.(crawl.Stateful).Restore(map[string][]byte{"httpauth/x": []byte("{")}), "restore httpauth/x")
}

// A redirect of a request with a user in its URL: the user goes along within the origin, and Redirects do not tell.
func TestHTTPAuthAndRedirects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ to, url, want string }{
		{"/b", "http://h/b", who("me:pw")},
		{"http://h/b", "http://h/b", who("me:pw")},
		{"https://h/b", "https://h/b", who("me:pw")},
		{"http://other/b", "http://other/b", ""},
		{"http://h:81/b", "http://h:81/b", ""},
		{"http://x:y@other/b", "http://x:y@other/b", who("x:y")},
	} {
		b := newBundle(t)
		site := serve(func(req *crawl.Request) (*crawl.Response, error) {
			if req.URL.Path == "/a" {
				return answer(req, 302, "", "Location", c.to), nil
			}
			return answer(req, 200, ""), nil
		})
		chain := b.build(t, HTTPAuth, b.build(t, Redirect, site))
		resp, err := follow(t.Context(), chain, crawl.Get("http://me:pw@h/a"))
		require.NoError(t, err)
		require.Equal(t, c.want, site.last().Header.Get("Authorization"), c.to)
		require.Equal(t, c.url, resp.Request.URL.String())
		require.Equal(t, []string{"http://h/a"}, resp.Request.Redirects)
		require.Empty(t, resp.Request.Header.Get("Authorization"))
	}
}

// The credentials of a URL that a redirect leads to are for its origin. The one that the request was first made for never gets them.
func TestHTTPAuthOfAURLOnTheWay(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	to := map[string]string{
		"https://a.example/": "https://c.example/", "https://c.example/": "https://user:secret@b.example/1", "https://b.example/1": "/2", "https://b.example/2": "https://a.example/end",
	}
	got := make(map[string]string)
	site := serve(func(req *crawl.Request) (*crawl.Response, error) {
		got[withoutUser(req.URL).String()] = req.Header.Get("Authorization")
		if location := to[withoutUser(req.URL).String()]; location != "" {
			return answer(req, 302, "", "Location", location), nil
		}
		return answer(req, 200, ""), nil
	})
	_, err := follow(t.Context(), b.build(t, HTTPAuth, b.build(t, Redirect, site)), crawl.Get("https://a.example/"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"https://a.example/": "", "https://c.example/": "", "https://b.example/1": who("user:secret"), "https://b.example/2": who("user:secret"), "https://a.example/end": "",
	}, got)
}
