package cookiejar_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	stdjar "net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/publicsuffix"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/middleware/internal/cookiejar"
)

// clock is a clock that stands until it is moved.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.t }

func newJar(o cookiejar.Options) (*cookiejar.Jar, *clock) {
	c := newClock()
	o.Now = c.now
	return cookiejar.New(o), c
}

func parseURL(t require.TestingT, raw string) *url.URL {
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

// set gives the jar a response to raw with these Set-Cookie lines.
func set(t require.TestingT, jar *cookiejar.Jar, raw string, lines ...string) {
	jar.SetHeader(parseURL(t, raw), http.Header{"Set-Cookie": lines})
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		from string   // the URL that sets
		set  []string // Set-Cookie lines
		to   map[string]string
	}{
		{"host-only", "http://www.example.com/", []string{"a=1"}, map[string]string{
			"http://www.example.com/x": "a=1", "http://WWW.Example.COM./": "a=1", "https://www.example.com:8080/": "a=1",
			"http://example.com/": "", "http://sub.www.example.com/": "", "http://ww.example.com/": "",
		}},
		{"domain", "http://www.example.com/", []string{"a=1; Domain=example.com"}, map[string]string{
			"http://www.example.com/": "a=1", "http://example.com/": "a=1", "http://a.b.example.com/": "a=1", "http://myexample.com/": "",
		}},
		{"domain with a dot, in capitals", "http://www.example.com/", []string{"a=1; DOMAIN=.EXAMPLE.com"}, map[string]string{"http://b.example.com/": "a=1"}},
		{"another's domain", "http://www.example.com/", []string{"a=1; Domain=example.org", "b=2; Domain=x.www.example.com", "c=3; Domain=ample.com"}, map[string]string{
			"http://www.example.com/": "", "http://example.org/": "", "http://x.www.example.com/": "",
		}},
		{"empty domain", "http://www.example.com/", []string{"a=1; Domain=", "b=2; Domain=example.com; Domain="}, map[string]string{
			"http://www.example.com/": "a=1; b=2", "http://example.com/": "b=2",
		}},
		{"malformed domains", "http://www.example.com/", []string{"a=1; Domain=example.com.", "b=2; Domain=.", "c=3; Domain=..example.com", "d=4; Domain=example.com:80"}, map[string]string{
			"http://www.example.com/": "",
		}},
		{"public suffixes", "http://shop.co.uk/", []string{"a=1; Domain=co.uk", "b=2; Domain=uk"}, map[string]string{"http://shop.co.uk/": "", "http://co.uk/": ""}},
		{"private public suffixes", "http://joe.github.io/", []string{"a=1; Domain=github.io"}, map[string]string{"http://joe.github.io/": "", "http://ann.github.io/": ""}},
		{"a public suffix names itself", "http://github.io/", []string{"a=1; Domain=github.io"}, map[string]string{"http://github.io/": "a=1", "http://joe.github.io/": ""}},
		{"a single label", "http://localhost/", []string{"a=1; Domain=localhost", "b=2"}, map[string]string{"http://localhost:9/": "a=1; b=2", "http://x.localhost/": ""}},
		{"below a single label", "http://www.shop.localhost/", []string{"a=1; Domain=localhost", "b=2; Domain=shop.localhost"}, map[string]string{
			"http://www.shop.localhost/": "b=2", "http://shop.localhost/": "b=2", "http://localhost/": "",
		}},
		{"IPv4", "http://127.0.0.1/", []string{"a=1", "b=2; Domain=127.0.0.1", "c=3; Domain=0.0.1"}, map[string]string{
			"http://127.0.0.1:8080/": "a=1; b=2", "http://1.127.0.0.1/": "", "http://0.0.1/": "",
		}},
		{"an address does not end in a domain", "http://x.3.4/", []string{"a=1; Domain=3.4"}, map[string]string{"http://y.3.4/": "a=1", "http://1.2.3.4/": ""}},
		{"IPv6", "http://[2001:DB8::0:1]/", []string{"a=1", "b=2; Domain=2001:db8::1"}, map[string]string{"http://[2001:db8:0::1]/": "a=1", "http://[2001:db8::2]/": ""}},
		{"IDN", "http://www.bücher.example/", []string{"a=1", "b=2; Domain=Bücher.example", "c=3; Domain=xn--bcher-kva.example"}, map[string]string{
			"http://www.xn--bcher-kva.example/": "a=1; b=2; c=3", "http://WWW.BÜCHER.EXAMPLE/": "a=1; b=2; c=3", "http://bücher.example/": "b=2; c=3",
		}},
		{"underscores", "http://my_shop.example.com/", []string{"a=1"}, map[string]string{"http://my_shop.example.com/": "a=1"}},

		{"default path", "http://h/dir/page?q=/x/", []string{"a=1"}, map[string]string{
			"http://h/dir": "a=1", "http://h/dir/": "a=1", "http://h/dir/other": "a=1", "http://h/dirs": "", "http://h/": "", "http://h/x/": "",
		}},
		{"path", "http://h/", []string{"a=1; Path=/foo", "b=2; path=/foo/"}, map[string]string{
			"http://h/foo": "a=1", "http://h/foo/": "b=2; a=1", "http://h/foo/bar": "b=2; a=1", "http://h/foobar": "", "http://h/": "",
		}},
		{"paths that are none", "http://h/d/x", []string{"a=1; Path=foo", "b=2; Path=", "c=3; Path=/; Path=rel"}, map[string]string{"http://h/d/y": "a=1; b=2; c=3", "http://h/": ""}},
		{"escaped path", "http://h/caf%C3%A9/x", []string{"a=1", "b=2; Path=/caf%C3%A9"}, map[string]string{"http://h/caf%C3%A9/y": "a=1; b=2", "http://h/café/y": "a=1; b=2"}},
		{"empty path", "http://h", []string{"a=1"}, map[string]string{"http://h": "a=1", "http://h?x": "a=1", "http://h/y": "a=1"}},
		{"order", "http://h/a/b/c", []string{"1=x; Path=/", "2=x; Path=/a/b", "3=x; Path=/a", "4=x; Path=/a/b", "5=x; Path=/"}, map[string]string{
			"http://h/a/b/c": "2=x; 4=x; 3=x; 1=x; 5=x",
		}},
		{"one name, several paths", "http://h/a/", []string{"a=1; Path=/", "a=2; Path=/a"}, map[string]string{"http://h/a": "a=2; a=1", "http://h/": "a=1"}},

		{"secure", "https://h/", []string{"a=1; Secure", "b=2"}, map[string]string{
			"https://h/": "a=1; b=2", "http://h/": "b=2", "wss://h/": "a=1; b=2", "ws://h/": "b=2", "ftp://h/": "", "file:///h": "",
		}},
		{"secure from a site without TLS", "http://h/", []string{"a=1; secure"}, map[string]string{"https://h/": ""}},
		{"prefixes", "https://www.example.com/x/", []string{
			"__Secure-a=1; Secure", "__Secure-b=2", "__Host-c=3; Secure; Path=/", "__Host-d=4; Secure", "__Host-e=5; Path=/",
			"__Host-f=6; Secure; Path=/; Domain=www.example.com", "__host-g=7; Secure; Path=/x/", "__SECURE-h=8", "__Hostess=9",
		}, map[string]string{"https://www.example.com/x/": "__Secure-a=1; __Hostess=9; __Host-c=3"}},
		{"prefixes from a site without TLS", "http://h/", []string{"__Secure-a=1; Secure", "__Host-b=2; Secure; Path=/"}, map[string]string{"https://h/": ""}},
		{"other attributes", "http://h/", []string{"a=1; SameSite=Strict; HttpOnly; Priority=High; =x; ;; Partitioned", "b=2;secure=;max-age"}, map[string]string{"http://h/": "a=1"}},

		{"values as they came", "http://h/", []string{`q="x y"`, `j={"a":[1,"b"]}`, "s=a b, c", "e=", "eq=a=b==", "u=žluť", "back=\\", "latin=\xe9"}, map[string]string{
			"http://h/": `q="x y"; j={"a":[1,"b"]}; s=a b, c; e=; eq=a=b==; u=žluť; back=\; latin=` + "\xe9",
		}},
		{"white space", "http://h/", []string{" \t a \t = \t 1 \t ; Path = / "}, map[string]string{"http://h/x": "a=1"}},
		{"no cookies", "http://h/", []string{"", "a", "=1", " = 1", ";", "; a=1", "a;b=2", "x=\x01", "y=\r\nz", "n=a\x00b", "\x7f=1", "\xff=1"}, map[string]string{"http://h/": ""}},
		{"too large", "http://h/", []string{"a=" + strings.Repeat("x", 4096), "b=" + strings.Repeat("y", 10)}, map[string]string{"http://h/": "b=yyyyyyyyyy"}},
		{"attributes too large", "http://h/d/", []string{"a=1; Path=/" + strings.Repeat("x", 1024), "b=2; Domain=" + strings.Repeat("h", 1025)}, map[string]string{"http://h/d/": "a=1; b=2"}},
		{"no host", "http:///x", []string{"a=1"}, map[string]string{"http:///x": ""}},
		{"no cookies for other schemes", "ftp://h/", []string{"a=1"}, map[string]string{"http://h/": ""}},
	} {
		jar, _ := newJar(cookiejar.Options{})
		set(t, jar, c.from, c.set...)
		for to, want := range c.to {
			require.Equal(t, want, jar.Header(parseURL(t, to)), "%s: %s", c.name, to)
		}
	}
}

func TestReplaceAndRemove(t *testing.T) {
	t.Parallel()
	jar, clock := newJar(cookiejar.Options{})
	u := parseURL(t, "http://www.example.com/")
	set(t, jar, u.String(), "a=1", "b=2; Domain=example.com", "c=3")
	clock.t = clock.t.Add(time.Minute)
	set(t, jar, u.String(), "a=changed", "b=host only") // a keeps its place; the second b is another cookie
	require.Equal(t, "a=changed; b=2; c=3; b=host only", jar.Header(u))
	require.Equal(t, 4, jar.Len())

	set(t, jar, u.String(), "c=; Max-Age=0", "a=; Max-Age=-5", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
	require.Equal(t, "b=2", jar.Header(u))
	set(t, jar, u.String(), "b=; Domain=example.com; Max-Age=0", "never=there; Max-Age=0")
	require.Empty(t, jar.Header(u))
	require.Zero(t, jar.Len())
}

func TestSecureIsNotReplacedWithoutTLS(t *testing.T) {
	t.Parallel()
	jar, _ := newJar(cookiejar.Options{})
	set(t, jar, "https://www.example.com/", "sid=good; Secure; Domain=example.com; Path=/login")
	set(t, jar, "http://www.example.com/", "sid=evil; Domain=example.com; Path=/login", "sid=evil; Path=/login/now", "sid=; Max-Age=0; Domain=example.com; Path=/login")
	set(t, jar, "http://example.com/", "sid=evil; Path=/login")
	require.Equal(t, "sid=good", jar.Header(parseURL(t, "https://www.example.com/login/now")))
	require.Equal(t, 1, jar.Len())

	set(t, jar, "http://www.example.com/", "sid=elsewhere; Path=/", "other=fine; Path=/login") // neither hides it
	require.Equal(t, "sid=good; other=fine; sid=elsewhere", jar.Header(parseURL(t, "https://www.example.com/login")))
	set(t, jar, "https://example.com/", "sid=new; Domain=example.com; Path=/login") // TLS may
	require.Equal(t, "sid=new; other=fine; sid=elsewhere", jar.Header(parseURL(t, "http://www.example.com/login")))
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attributes string
		life       time.Duration // -1: refused or gone at once; 0: a session cookie
	}{
		{"", 0},
		{"Max-Age=60", time.Minute},
		{"max-age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", time.Minute},
		{"Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", time.Minute},
		{"Max-Age=60; Max-Age=30", 30 * time.Second},
		{"Max-Age=0", -1},
		{"Max-Age=-1", -1},
		{"Max-Age=-99999999999999999999", -1},
		{"Max-Age=99999999999999999999", 400 * 24 * time.Hour},
		{"Expires=Fri, 31 Dec 9999 23:59:59 GMT", 400 * 24 * time.Hour},
		{"Max-Age=", 0},
		{"Max-Age=1h", 0},
		{"Max-Age=+60", 0},
		{"Max-Age=-", 0},
		{"Max-Age=1.5", 0},
		{"Expires=Sun, 01 Mar 2026 12:00:01 GMT", time.Second},
		{"Expires=Sun, 01 Mar 2026 12:00:00 GMT", -1},
		{"Expires=Sunday, 01-Mar-26 13:00:00 GMT", time.Hour},
		{"Expires=Sun Mar  1 13:00:00 2026", time.Hour},
		{"Expires=1 march 2026 13:0:0", time.Hour},
		{"Expires=2026 MAR 1st 13:00:00.5+00:00", time.Hour},
		{"Expires=01 Mar 26 13:00:00", time.Hour},
		{"Expires=01 Mar 99 13:00:00", -1},
		{"Expires=Mon, 30 Feb 2026 00:00:00 GMT", 0},
		{"Expires=0 Mar 2026 13:00:00", 0},
		{"Expires=01 Mar 1600 13:00:00", 0},
		{"Expires=01 Mar 2026 24:00:00", 0},
		{"Expires=01 Mar 2026 13:60:00", 0},
		{"Expires=01 Mar 2026 13:00", 0},
		{"Expires=01 Mar 20266 13:00:00", 0},
		{"Expires=01 Foo 2026 13:00:00", 0},
		{"Expires=tomorrow", 0},
		{"Expires=", 0},
		{"Expires=Sun, 01 Mar 2026 13:00:00 GMT; Expires=later", time.Hour},
	} {
		jar, clock := newJar(cookiejar.Options{})
		u := parseURL(t, "http://h/")
		start := clock.t
		set(t, jar, u.String(), "a=1; "+c.attributes)
		if c.life < 0 {
			require.Empty(t, jar.Export(), c.attributes)
			require.Empty(t, jar.Header(u), c.attributes)
			continue
		}
		require.Len(t, jar.Export(), 1, c.attributes)
		if c.life == 0 {
			require.Zero(t, jar.Export()[0].Expires, c.attributes)
			clock.t = start.Add(100_000 * time.Hour)
			require.Equal(t, "a=1", jar.Header(u), c.attributes)
			continue
		}
		require.Equal(t, start.Add(c.life), jar.Export()[0].Expires, c.attributes)
		clock.t = start.Add(c.life - 1)
		require.Equal(t, "a=1", jar.Header(u), c.attributes)
		clock.t = start.Add(c.life)
		require.Empty(t, jar.Header(u), c.attributes)
		require.Empty(t, jar.Cookies(u), c.attributes)
		require.Empty(t, jar.Export(), c.attributes)
	}
}

func TestSetCookies(t *testing.T) {
	t.Parallel()
	jar, clock := newJar(cookiejar.Options{})
	u := parseURL(t, "https://www.example.com/d/x")
	jar.SetCookies(u, []*http.Cookie{
		{Name: "a", Value: "1"},
		{Name: "q", Value: "2", Quoted: true},
		{Name: "d", Value: "3", Domain: ".example.com", Path: "/", MaxAge: 60, Secure: true, HttpOnly: true},
		{Name: "e", Value: "4", Path: "/", Expires: clock.t.Add(time.Hour)},
		{Name: "gone", Value: "5", MaxAge: -1},
		{Name: "bad", Value: "x\r\nSet-Cookie: y"},
		{Name: "bad2", Value: "x; y"},
		{Name: "ba;d"}, {Name: "ba=d"}, {Name: ""}, {Name: "long", Path: "/" + strings.Repeat("x", 1024)},
		nil,
	})
	require.Equal(t, `a=1; q="2"; d=3; e=4`, jar.Header(u))
	require.Equal(t, []*http.Cookie{{Name: "a", Value: "1"}, {Name: "q", Value: "2", Quoted: true}, {Name: "d", Value: "3"}, {Name: "e", Value: "4"}}, jar.Cookies(u))
	require.Equal(t, []cookiejar.Entry{
		{Name: "d", Value: "3", Domain: "example.com", Path: "/", Secure: true, HTTPOnly: true, Expires: clock.t.Add(time.Minute), Created: clock.t},
		{Name: "e", Value: "4", Domain: "www.example.com", HostOnly: true, Path: "/", Expires: clock.t.Add(time.Hour), Created: clock.t},
		{Name: "a", Value: "1", Domain: "www.example.com", HostOnly: true, Path: "/d", Created: clock.t},
		{Name: "q", Value: `"2"`, Domain: "www.example.com", HostOnly: true, Path: "/d", Created: clock.t},
	}, jar.Export())
	jar.SetCookies(u, nil)
	jar.SetHeader(u, nil)
	require.Equal(t, 4, jar.Len())
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("of a site", func(t *testing.T) {
		t.Parallel()
		jar, clock := newJar(cookiejar.Options{MaxPerDomain: 3})
		for i := range 3 {
			clock.t = clock.t.Add(time.Second)
			set(t, jar, fmt.Sprintf("http://%d.example.com/", i), fmt.Sprintf("c%d=x", i))
		}
		clock.t = clock.t.Add(time.Second)
		require.Equal(t, "c0=x", jar.Header(parseURL(t, "http://0.example.com/"))) // so c1 was not used for longest
		set(t, jar, "http://other.com/", "safe=x")
		clock.t = clock.t.Add(time.Second)
		set(t, jar, "http://3.example.com/", "c3=x")
		require.Equal(t, []string{"c0", "c2", "c3", "safe"}, names(jar))
		set(t, jar, "http://4.example.com/", "c4=x; Max-Age=1")
		clock.t = clock.t.Add(time.Second)
		set(t, jar, "http://5.example.com/", "c5=x") // c4 has expired: it goes first
		require.Equal(t, []string{"c0", "c3", "c5", "safe"}, names(jar))
		require.Equal(t, 4, jar.Len())
	})
	t.Run("of the jar", func(t *testing.T) {
		t.Parallel()
		jar, clock := newJar(cookiejar.Options{MaxCookies: 20, Tracked: true})
		for i := range 20 {
			clock.t = clock.t.Add(time.Second)
			set(t, jar, fmt.Sprintf("http://h%02d.com/", i), fmt.Sprintf("c%02d=x", i))
		}
		clock.t = clock.t.Add(time.Second)
		jar.Header(parseURL(t, "http://h00.com/"))
		_, version := jar.Changes(0)
		set(t, jar, "http://h20.com/", "c20=x")
		require.Equal(t, 18, jar.Len())
		require.Equal(t, []string{"c00", "c04", "c05"}, names(jar)[:3])
		changes, _ := jar.Changes(version)
		require.Len(t, changes, 4)
		for _, gone := range []string{"h01.com", "h02.com", "h03.com"} {
			require.Contains(t, changes, gone)
			require.Empty(t, changes[gone])
		}
		require.Len(t, changes["h20.com"], 1)
	})
	t.Run("defaults", func(t *testing.T) {
		t.Parallel()
		jar, _ := newJar(cookiejar.Options{})
		for i := range 200 {
			set(t, jar, "http://h/", fmt.Sprintf("c%d=x", i))
		}
		require.Equal(t, 180, jar.Len())
		require.NotContains(t, names(jar), "c19")
		for i := range 10_001 - 180 {
			set(t, jar, fmt.Sprintf("http://h%d.com/", i), "a=1")
		}
		require.Equal(t, 9_000, jar.Len())
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		jar, _ := newJar(cookiejar.Options{MaxCookies: -1, MaxPerDomain: -1})
		for i := range 500 {
			set(t, jar, "http://h/", fmt.Sprintf("c%d=x", i))
		}
		require.Equal(t, 500, jar.Len())
	})
}

func names(jar *cookiejar.Jar) (names []string) {
	for e := range jar.All() {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return names
}

func TestAllMayBeLeftAndJarUsedMeanwhile(t *testing.T) {
	t.Parallel()
	jar, _ := newJar(cookiejar.Options{})
	set(t, jar, "http://h/", "a=1", "b=2", "c=3")
	var seen []string
	for e := range jar.All() {
		set(t, jar, "http://h/", e.Name+"=; Max-Age=0")
		if seen = append(seen, e.Name); len(seen) == 2 {
			break
		}
	}
	require.Equal(t, []string{"a", "b"}, seen)
	require.Equal(t, []string{"c"}, names(jar))
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	jar, clock := newJar(cookiejar.Options{})
	set(t, jar, "https://www.example.com/d/x", "s=1", "e=2; Max-Age=3600; Path=/; Domain=example.com; HttpOnly; Secure", "short=3; Max-Age=10", "q=\"žluť\"", "bin=\xff\xfe")
	clock.t = clock.t.Add(time.Second)
	set(t, jar, "http://127.0.0.1/", "ip=4")
	set(t, jar, "http://localhost/", "l=5")

	saved, err := json.Marshal(jar.Export())
	require.NoError(t, err)
	require.Contains(t, string(saved), `{"name":"e","value":"2","domain":"example.com","path":"/","secure":true,"http_only":true,"expires":"2026-03-01T13:00:00Z","created":"2026-03-01T12:00:00Z"}`)
	var entries []cookiejar.Entry
	require.NoError(t, json.Unmarshal(saved, &entries))
	slices.Reverse(entries) // their order does not matter: Created does

	again, clock2 := newJar(cookiejar.Options{Tracked: true})
	clock2.t = clock.t.Add(time.Minute)
	clock.t = clock2.t
	require.NoError(t, again.Load(entries))
	require.Equal(t, jar.Export(), again.Export())
	for _, raw := range []string{"https://www.example.com/d/", "http://example.com/", "http://127.0.0.1/", "http://localhost/"} {
		require.Len(t, again.Header(parseURL(t, raw)), len(jar.Header(parseURL(t, raw))), raw)
	}
	require.Equal(t, "e=2", again.Header(parseURL(t, "https://example.com/")))
	require.Equal(t, 6, again.Len(), "short has expired")
	changes, _ := again.Changes(0)
	require.Empty(t, changes, "what was loaded is saved already")

	require.Error(t, json.Unmarshal([]byte(`{"name": 1}`), new(cookiejar.Entry)))
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	jar, _ := newJar(cookiejar.Options{})
	err := jar.Load([]cookiejar.Entry{
		{Name: "good", Domain: "example.com", Path: "/"},
		{Name: "", Domain: "example.com", Path: "/"},
		{Name: "v", Value: "a;b", Domain: "example.com", Path: "/"},
		{Name: "d1", Domain: "", Path: "/"},
		{Name: "d2", Domain: "Example.com", Path: "/"},
		{Name: "d3", Domain: ".example.com", Path: "/"},
		{Name: "d4", Domain: "bücher.example", Path: "/"},
		{Name: "d5", Domain: "co.uk", Path: "/"},
		{Name: "d6", Domain: "127.0.0.1", Path: "/"},
		{Name: "p", Domain: "example.com", Path: "x"},
		{Name: "ok1", Domain: "co.uk", HostOnly: true, Path: "/"},
		{Name: "ok2", Domain: "127.0.0.1", HostOnly: true, Path: "/"},
	})
	require.Equal(t, []string{"good", "ok1", "ok2"}, names(jar))
	for _, refused := range []string{`""`, `"v"`, `"d1"`, `"d2"`, `"d3"`, `"d4"`, `"d5"`, `"d6"`, `"p"`} {
		require.ErrorContains(t, err, "load cookie "+refused)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	jar, clock := newJar(cookiejar.Options{Tracked: true})
	changes, version := jar.Changes(0)
	require.Empty(t, changes)
	require.Zero(t, version)

	set(t, jar, "http://www.example.com/", "a=1", "b=2; Domain=example.com")
	set(t, jar, "http://other.com/", "c=3")
	changes, version = jar.Changes(version)
	require.Equal(t, jar.Version(), version)
	require.Len(t, changes, 2)
	require.Len(t, changes["example.com"], 2, "a site is a registrable domain with all its hosts")
	require.Len(t, changes["other.com"], 1)

	t.Log("not saved yet, so they are reported again")
	again, _ := jar.Changes(0)
	require.Equal(t, changes, again)

	t.Log("to set the same again, to read and to remove what is not there are no changes")
	clock.t = clock.t.Add(time.Minute)
	set(t, jar, "http://www.example.com/", "a=1", "nothing=; Max-Age=0")
	jar.Header(parseURL(t, "http://www.example.com/"))
	changes, same := jar.Changes(version)
	require.Empty(t, changes)
	require.Equal(t, version, same)

	set(t, jar, "http://other.com/", "c=; Max-Age=0")
	set(t, jar, "http://www.example.com/", "a=1; HttpOnly")
	changes, version = jar.Changes(version)
	require.Len(t, changes, 2)
	require.Contains(t, changes, "other.com")
	require.Empty(t, changes["other.com"], "its last cookie went")
	changes, _ = jar.Changes(version)
	require.Empty(t, changes)

	untracked, _ := newJar(cookiejar.Options{})
	set(t, untracked, "http://h/", "a=1")
	changes, version = untracked.Changes(0)
	require.Empty(t, changes)
	require.EqualValues(t, 1, version)
}

// The same answers as the standard library's jar, wherever both follow RFC 6265: without Secure, prefixes and limits.
func TestAgreesWithStandardLibrary(t *testing.T) {
	t.Parallel()
	hosts := []string{"example.com", "www.example.com", "a.b.example.com", "example.co.uk", "x.example.co.uk", "co.uk", "joe.github.io", "github.io", "localhost", "s.localhost", "10.0.0.1", "[::1]", "com"}
	domains := []string{"", "", "example.com", ".example.com", "www.example.com", "b.example.com", "example.co.uk", "co.uk", "github.io", "com", "localhost", "10.0.0.1", "::1", "example.com.", "Example.COM"}
	paths := []string{"", "/", "/a", "/a/", "/a/b", "/ab", "a"}
	rapid.Check(t, func(t *rapid.T) {
		std, err := stdjar.New(&stdjar.Options{PublicSuffixList: publicsuffix.List})
		require.NoError(t, err)
		ours := cookiejar.New(cookiejar.Options{})
		draw := func(label string) *url.URL {
			return parseURL(t, "http://"+rapid.SampledFrom(hosts).Draw(t, label+" host")+rapid.SampledFrom(paths[:6]).Draw(t, label+" path"))
		}
		for range rapid.IntRange(1, 12).Draw(t, "cookies") {
			from := draw("set")
			c := &http.Cookie{
				Name:   rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"),
				Value:  rapid.SampledFrom([]string{"1", "2"}).Draw(t, "value"),
				Domain: rapid.SampledFrom(domains).Draw(t, "domain"),
				Path:   rapid.SampledFrom(paths).Draw(t, "path"),
				MaxAge: rapid.SampledFrom([]int{0, 0, 100, -1}).Draw(t, "max-age"),
			}
			std.SetCookies(from, []*http.Cookie{c})
			ours.SetHeader(from, http.Header{"Set-Cookie": {c.String() + "; Domain=" + c.Domain}}) // String leaves out what it finds invalid
		}
		to := draw("get")
		require.Equal(t, header(std.Cookies(to)), ours.Header(to), "%s", to)
		require.Equal(t, header(std.Cookies(to)), header(ours.Cookies(to)), "%s", to)
	})
}

func header(cookies []*http.Cookie) string {
	var pairs []string
	for _, c := range cookies {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

// The race detector is what this test is for; that limits hold is checked at the end.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	jar := cookiejar.New(cookiejar.Options{MaxCookies: 50, MaxPerDomain: 5, Tracked: true})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var version uint64
			for i := range 200 {
				u := &url.URL{Scheme: "http", Host: fmt.Sprintf("h%d.com", (g+i)%20), Path: "/"}
				jar.SetHeader(u, http.Header{"Set-Cookie": {fmt.Sprintf("c%d=%d", i%10, i)}})
				jar.Header(u)
				jar.Cookies(u)
				if i%50 == 0 {
					entries := jar.Export()
					_ = jar.Load(entries)
					_, version = jar.Changes(version)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, jar.Len(), 50)
	require.Len(t, jar.Export(), jar.Len())
}

func FuzzSetHeader(f *testing.F) {
	for _, seed := range []string{
		"a=1", "a=1; Domain=.example.com; Path=/x; Max-Age=60; Secure; HttpOnly; SameSite=Lax", "a=1; Expires=Wed, 09 Jun 2027 10:18:14 GMT",
		"__Host-a=1; Path=/; Secure", "a=\"q\"; ;=;", "a=1; Domain=ÅÅ", "a=1; Domain=[::1]", "a=1; Domain=xn--a", ";;;===", "a=\xff; Expires=1 1 1:1:1",
	} {
		f.Add("https://www.example.com/x/y", seed)
	}
	for _, odd := range []string{"https://.h", "http://0..", "http://h.。/", "http://[fe80::1%25eth0]/", "http://[::ffff:1.2.3.4]/"} {
		f.Add(odd, "a=1")
	}
	f.Fuzz(func(t *testing.T, raw, line string) {
		u, err := url.Parse(raw)
		if err != nil {
			return // a jar is only ever given URLs that parse
		}
		jar, _ := newJar(cookiejar.Options{Tracked: true})
		jar.SetHeader(u, http.Header{"Set-Cookie": {line}})
		require.False(t, strings.ContainsAny(jar.Header(u), "\r\n\x00"))

		// Whatever got in survives saving, and is acceptable to Load.
		entries := jar.Export()
		saved, err := json.Marshal(entries)
		require.NoError(t, err)
		var loaded []cookiejar.Entry
		require.NoError(t, json.Unmarshal(saved, &loaded))
		again, _ := newJar(cookiejar.Options{})
		require.NoError(t, again.Load(loaded))
		require.Equal(t, len(entries), again.Len())
		require.Equal(t, jar.Header(u), again.Header(u))
	})
}

func benchmarkJar(b *testing.B) *cookiejar.Jar {
	jar := cookiejar.New(cookiejar.Options{})
	for i := range 1000 {
		set(b, jar, fmt.Sprintf("https://www.site%d.com/", i), "session=0123456789abcdef; Path=/; Secure; HttpOnly", "theme=dark; Domain=site"+fmt.Sprint(i)+".com; Path=/", "cart=7; Path=/cart")
	}
	return jar
}

func BenchmarkHeader(b *testing.B) {
	jar := benchmarkJar(b)
	for name, raw := range map[string]string{"three": "https://www.site500.com/cart/x", "other host": "https://www.nothing-there.com/cart/x"} {
		u := parseURL(b, raw)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				jar.Header(u)
			}
		})
	}
	b.Run("empty jar", func(b *testing.B) {
		empty, u := cookiejar.New(cookiejar.Options{}), parseURL(b, "https://www.site500.com/")
		b.ReportAllocs()
		for b.Loop() {
			empty.Header(u)
		}
	})
}

func BenchmarkCookies(b *testing.B) {
	jar, u := benchmarkJar(b), parseURL(b, "https://www.site500.com/cart/x")
	b.ReportAllocs()
	for b.Loop() {
		jar.Cookies(u)
	}
}

func BenchmarkSetHeader(b *testing.B) {
	jar, u := benchmarkJar(b), parseURL(b, "https://www.site500.com/cart/x")
	header := http.Header{"Set-Cookie": {"session=0123456789abcdef; Path=/; Secure; HttpOnly", "theme=dark; Domain=site500.com; Path=/; Max-Age=3600"}}
	b.ReportAllocs()
	for b.Loop() {
		jar.SetHeader(u, header)
	}
}

// TestKnown tells of the cookies that a request carries what their header does not.
func TestKnown(t *testing.T) {
	t.Parallel()
	j := cookiejar.New(cookiejar.Options{})
	page, err := url.Parse("https://www.shop.example/a/b")
	require.NoError(t, err)
	j.SetHeader(page, http.Header{"Set-Cookie": {`a="1"; HttpOnly; Path=/`, "b=2; Path=/a; Domain=shop.example; Secure", "c=3; HttpOnly; Path=/elsewhere"}})
	require.Equal(t, []*http.Cookie{{Name: "b", Value: "2", Path: "/a", Domain: "shop.example", Secure: true}, {Name: "a", Value: `"1"`, Path: "/", HttpOnly: true}}, j.Known(page))
}

// TestDomainOfAnAddress takes a Domain that is the host's IPv4 address, and none beside an IPv6 address.
func TestDomainOfAnAddress(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{"http://10.0.0.1/ a=1; Domain=10.0.0.1": "a=1", "http://[::1]/ a=1; Domain=::1": "", "http://[::1]/ a=1": "a=1"} {
		raw, line, _ := strings.Cut(line, " ")
		u := parseURL(t, raw)
		j := cookiejar.New(cookiejar.Options{})
		j.SetHeader(u, http.Header{"Set-Cookie": {line}})
		require.Equal(t, want, j.Header(u), "%s %s", raw, line)
	}
}

// A cookie that is kept keeps nothing else of the header it came in, which may be a quarter of a megabyte.
func TestCookiesKeepNoHeader(t *testing.T) {
	t.Parallel()
	jar, _ := newJar(cookiejar.Options{})
	line := "name=value; path=/dir; domain=h.example; junk=" + strings.Repeat("x", 1000)
	jar.SetHeader(parseURL(t, "http://h.example/dir/x"), http.Header{"Set-Cookie": {line}})
	var kept []cookiejar.Entry
	for e := range jar.All() {
		kept = append(kept, e)
	}
	require.Len(t, kept, 1)
	from, to := uintptr(unsafe.Pointer(unsafe.StringData(line))), uintptr(unsafe.Pointer(unsafe.StringData(line)))+uintptr(len(line))
	for _, s := range []string{kept[0].Name, kept[0].Value, kept[0].Domain, kept[0].Path} {
		at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
		require.False(t, from <= at && at < to, s)
	}
}
