package robotstxt

import (
	"bytes"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func parseURL(t testing.TB, raw string) *url.URL {
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	for _, c := range []googleCase{
		// RFC 9309, section 2.2.2, the table of percent-encoded paths: rule and URL in every form of a row.
		{
			name:    "a plain query",
			file:    []string{"User-agent: *", "Disallow: /foo/bar?baz=quz"},
			allowed: []string{"a /foo/bar", "a /foo/bar?baz=qu"},
			refused: []string{"a /foo/bar?baz=quz"},
		},
		{
			name:    "delimiters in a query",
			file:    []string{"User-agent: *", "Disallow: /foo/bar?baz=https://foo.bar"},
			allowed: []string{"a /foo/bar?baz=http://foo.bar", "a /foo/bar?baz=https%3A%2Ffoo.bar"},
			refused: []string{"a /foo/bar?baz=https://foo.bar", "a /foo/bar?baz=https%3A%2F%2Ffoo.bar", "a /foo/bar?baz=https%3a//foo.bar"},
		},
		{
			name:    "escaped delimiters in a query",
			file:    []string{"User-agent: *", "Disallow: /foo/bar?baz=https%3a%2F%2Ffoo.bar"},
			refused: []string{"a /foo/bar?baz=https://foo.bar", "a /foo/bar?baz=https%3A%2F%2Ffoo.bar"},
		},
		{
			name:    "delimiters behind a wildcard",
			file:    []string{"User-agent: *", "Disallow: /*u=http://", "Disallow: /*v=http%3A%2F%2F"},
			refused: []string{"a /r?u=http://x", "a /r?u=http%3A%2F%2Fx", "a /r?v=http%3A%2F%2Fx"},
		},
		{
			name:    "an escaped slash in a path is no slash",
			file:    []string{"User-agent: *", "Disallow: /a%2fb", "Disallow: /c/d"},
			allowed: []string{"a /a/b", "a /c%2Fd"},
			refused: []string{"a /a%2Fb", "a /a%2fb", "a /c/d"},
		},
		{
			name:    "other delimiters in a query are not the same escaped",
			file:    []string{"User-agent: *", "Disallow: /?a=1&b=2"},
			allowed: []string{"a /?a=1%26b=2", "a /?a%3D1&b=2"},
			refused: []string{"a /?a=1&b=2"},
		},
		{
			name:    "escapes of unreserved octets anywhere",
			file:    []string{"User-agent: *", "Disallow: /~joe", "Disallow: /%7eann"},
			refused: []string{"a /~joe", "a /%7Ejoe", "a /%7ejoe", "a /~ann", "a /%7Eann"},
		},
		{
			name:    "octets that a URL cannot have unescaped",
			file:    []string{"User-agent: *", "Disallow: /a|b c\"d"},
			refused: []string{"a /a%7Cb%20c%22d"},
		},
		{
			name:    "special characters verbatim, section 2.2.3",
			file:    []string{"User-agent: *", "Disallow: /file-with-a-%2A.html", "Disallow: /foo-%24", "Disallow: /a$b", "Disallow: /c$$"},
			allowed: []string{"a /file-with-a-x.html", "a /foo-", "a /a", "a /c", "a /c$d"},
			refused: []string{"a /file-with-a-*.html", "a /file-with-a-%2a.html", "a /foo-$", "a /foo-%24x", "a /a$b", "a /a%24bc", "a /c$"},
		},
		{
			name:    "half an escape is a prefix",
			file:    []string{"User-agent: *", "Disallow: /a/%", "Disallow: /b/%E3%8"},
			allowed: []string{"a /a/b", "a /b/%E3"},
			refused: []string{"a /a/%E3%83%84", "a /b/%E3%83%84"},
		},
		{
			name:    "robots.txt itself is always allowed",
			file:    []string{"User-agent: *", "Disallow: /"},
			allowed: []string{"a /robots.txt", "a /robots.txt?v=2"},
			refused: []string{"a /robots.txt.bak", "a /a/robots.txt", "a /Robots.txt"},
		},
		{
			name:    "rules without a slash match nothing",
			file:    []string{"User-agent: *", "Disallow: secret", "Disallow: http://foo.bar/", "Disallow: $", "Disallow: ?"},
			allowed: []string{"a /secret", "a /", "a /?"},
		},
		{
			name:    "a wildcard in front",
			file:    []string{"User-agent: *", "Disallow: *secret", "Disallow: *.gif$"},
			allowed: []string{"a /Secret", "a /a.gif?x"},
			refused: []string{"a /secret", "a /a/b?secrets", "a /a.gif"},
		},
		{
			name:    "wildcards that could go back and forth",
			file:    []string{"User-agent: *", "Disallow: /a*b*b$", "Disallow: /x**y", "Disallow: /z*$", "Disallow: /q*ab*$"},
			allowed: []string{"a /ab", "a /abcbc", "a /x/z", "a /qa"},
			refused: []string{"a /abb", "a /abcb", "a /abbbbb", "a /xy", "a /x/y/z", "a /z", "a /z/", "a /qaab", "a /qabx"},
		},
		{
			name:    "a query alone",
			file:    []string{"User-agent: *", "Disallow: /*?"},
			allowed: []string{"a /", "a /x"},
			refused: []string{"a /?", "a /x?", "a ?x", "a /x?y"},
		},
		{
			name:    "misspelled names",
			file:    []string{"useragent: a", "disalow: /1", "dissallow: /2", "dissalow: /3", "diasllow: /4", "disallaw: /5", "User agent: b", "Disallowed: /6"},
			allowed: []string{"a /0", "a /6", "b /1"},
			refused: []string{"a /1", "a /2", "a /3", "a /4", "a /5", "b /6"},
		},
		{
			name:    "a forgotten colon, but too many words",
			file:    []string{"User-agent: *", "Disallow /a", "Disallow\t\t/b", "Disallow /c d", "Disallow"},
			allowed: []string{"a /c", "a /"},
			refused: []string{"a /a", "a /b"},
		},
		{
			name:    "white space",
			file:    []string{"  User-agent \t: \t* \v", "\tDisallow\t:\t/a ", "Disallow:/b#", " # Disallow: /c", "Disallow: /d e\f"},
			allowed: []string{"a /c", "a /d"},
			refused: []string{"a /a", "a /b", "a /d%20e"},
		},
		{
			name:    "several agents share a group",
			file:    []string{"User-agent: a", "", "# and", "User-agent: b", "Disallow: /x", "User-agent: c", "Disallow: /y"},
			allowed: []string{"a /y", "b /y", "c /x", "d /x"},
			refused: []string{"a /x", "b /x", "c /y"},
		},
		{
			name:    "groups merge whatever stands between them",
			file:    []string{"User-agent: *", "Disallow: /1", "User-agent: a", "Disallow: /2", "User-agent: *", "Disallow: /3", "User-agent: A/2.0", "Disallow: /4"},
			allowed: []string{"a /1", "a /3", "b /2", "b /4"},
			refused: []string{"a /2", "a /4", "b /1", "b /3"},
		},
		{
			name:    "a group with one's name and everybody's",
			file:    []string{"User-agent: *", "User-agent: a", "Disallow: /1", "User-agent: *", "Disallow: /2"},
			allowed: []string{"a /2"},
			refused: []string{"a /1", "b /1", "b /2"},
		},
		{
			name:    "a group without rules allows everything",
			file:    []string{"User-agent: *", "Disallow: /", "User-agent: a"},
			allowed: []string{"a /x"},
			refused: []string{"b /x"},
		},
		{
			name:    "an empty rule ends the list of agents",
			file:    []string{"User-agent: a", "Disallow:", "User-agent: b", "Disallow: /"},
			allowed: []string{"a /x"},
			refused: []string{"b /x"},
		},
		{
			name:    "a crawl delay does not, as Google documents",
			file:    []string{"User-agent: a", "Crawl-delay: 5", "User-agent: b", "Disallow: /"},
			refused: []string{"a /x", "b /x"},
		},
		{
			name:    "a name matches whole",
			file:    []string{"User-agent: foo", "Disallow: /1", "User-agent: foobar", "Disallow: /2", "User-agent: foo-bar_baz", "Disallow: /3"},
			allowed: []string{"foobar /1", "foo /2", "fo /1", "barfoo /1", "foo-bar /1"},
			refused: []string{"foo /1", "FooBar/1.0 /2", "FOO-bar_BAZ /3"},
		},
		{
			name:    "names with digits",
			file:    []string{"User-agent: 360Spider", "Disallow: /1", "User-agent: AI2Bot", "Disallow: /2"},
			allowed: []string{"ai /2", "360 /1"},
			refused: []string{"360spider/1.0 /1", "AI2Bot /2"},
		},
		{
			name:    "everybody, with a word more",
			file:    []string{"User-agent: * bots", "Disallow: /1", "User-agent: *bot", "Disallow: /2"},
			allowed: []string{"a /2", "bot /2"},
			refused: []string{"a /1"},
		},
		{
			name:    "a user-agent line that names nobody",
			file:    []string{"User-agent: *", "Disallow: /1", "User-agent:", "Disallow: /2", "User-agent: ツ", "Disallow: /3"},
			allowed: []string{"a /2", "a /3", " /2"},
			refused: []string{"a /1", " /1", "* /1"},
		},
		{
			name:    "index.htm and only that",
			file:    []string{"User-agent: *", "Allow: /a/index.htm", "Allow: /b/index.html$", "Allow: /c/index.php", "Disallow: /"},
			allowed: []string{"a /a/", "a /a/index.html", "a /b/", "a /b/index.html"},
			refused: []string{"a /a", "a /a/x", "a /b/x", "a /b/index.htm", "a /c/"},
		},
	} {
		robots := Parse([]byte(strings.Join(c.file, "\n")))
		for _, check := range c.allowed {
			require.True(t, allowed(t, robots, check), "%s: %q", c.name, check)
		}
		for _, check := range c.refused {
			require.False(t, allowed(t, robots, check), "%s: %q", c.name, check)
		}
	}
}

func TestProductToken(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"tulle":                         "tulle",
		"Tulle/1.0 (+https://h/bot)":    "tulle",
		" my-bot_x/2":                   "my-bot_x",
		"Foo Bar":                       "foo",
		"":                              "",
		"*":                             "",
		"/1.0":                          "",
		"Mozilla/5.0 (X11; Linux) Geck": "mozilla",
		"Mozilla/5.0 (compatible; ExampleBot/0.1; https://www.example.com/bot.html)":                              "examplebot",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://h/bot) Chrome/W.X": "googlebot",
	} {
		require.Equal(t, want, productToken(agent), agent)
	}
}

func TestCrawlDelay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines string
		want  time.Duration
		asked bool
	}{
		{"Disallow: /x", 0, false},
		{"Crawl-delay: 10", 10 * time.Second, true},
		{"crawl-delay:0.5 # be nice", 500 * time.Millisecond, true},
		{"Crawl-delay: .25", 250 * time.Millisecond, true},
		{"Crawl-delay 3", 3 * time.Second, true},
		{"Crawl-delay: 0", 0, true},
		{"Crawl-delay: 99999999999999999999", math.MaxInt64, true},
		{"Crawl-delay: " + strings.Repeat("9", 400), math.MaxInt64, true},
		{"Crawl-delay: -1", 0, false},
		{"Crawl-delay: NaN", 0, false},
		{"Crawl-delay: inf", 0, false},
		{"Crawl-delay: 1e3", 0, false},
		{"Crawl-delay: 0x10", 0, false},
		{"Crawl-delay: 1.2.3", 0, false},
		{"Crawl-delay: .", 0, false},
		{"Crawl-delay:", 0, false},
		{"Crawl-delay: soon", 0, false},
		{"Crawl-delay: 1\nCrawl-delay: 3\nCrawl-delay: 2", 3 * time.Second, true},
		{"Disallow: /x\nCrawl-delay: 4", 4 * time.Second, true},
		{"Request-rate: 1/5", 5 * time.Second, true},
		{"Request-rate: 10/1m", 6 * time.Second, true},
		{"Request-rate: 2 / 1h", 30 * time.Minute, true},
		{"Request-rate: 1/1d", 24 * time.Hour, true},
		{"Request-rate: 4/2s", 500 * time.Millisecond, true},
		{"Request-rate: 1/10m 1300-1659", 0, false},
		{"Request-rate: 0/5", 0, false},
		{"Request-rate: -1/5", 0, false},
		{"Request-rate: 1/m", 0, false},
		{"Request-rate: 1/", 0, false},
		{"Request-rate: 5", 0, false},
		{"Crawl-delay: 1\nRequest-rate: 1/2", 2 * time.Second, true},
	} {
		got, asked := Parse([]byte("User-agent: *\n" + c.lines)).CrawlDelay("bot")
		require.Equal(t, c.want, got, c.lines)
		require.Equal(t, c.asked, asked, c.lines)
	}

	robots := Parse([]byte("Crawl-delay: 9\nUser-agent: *\nCrawl-delay: 8\nDisallow: /x\nUser-agent: a\nCrawl-delay: 1\nDisallow: /\n" +
		"User-agent: b\nDisallow:\nUser-agent: a\nCrawl-delay: 2"))
	for agent, want := range map[string]time.Duration{"a": 2 * time.Second, "b": 0, "c": 8 * time.Second} {
		got, asked := robots.CrawlDelay(agent)
		require.Equal(t, want, got, agent)
		require.Equal(t, want > 0, asked, agent)
	}
}

func TestSitemaps(t *testing.T) {
	t.Parallel()
	robots := Parse([]byte("Sitemap: https://h/1.xml # first\nUser-agent: *\nSITEMAP:/2.xml\nSitemaps: https://h/3.xml\nSite-map: 4\nSitemap:\nSitemap: https://h/1.xml"))
	require.Equal(t, []string{"https://h/1.xml", "/2.xml", "https://h/3.xml", "4", "https://h/1.xml"}, robots.Sitemaps())
	require.Empty(t, Parse(nil).Sitemaps())
}

func TestParseTakesAnything(t *testing.T) {
	t.Parallel()
	home := parseURL(t, "http://h/")
	for name, body := range map[string]string{
		"nothing":        "",
		"blank":          "\n\r\n \t\n",
		"a page":         "<!doctype html>\n<html><head><title>404: not found</title>\n<a href=\"https://h/disallow: /\">\n<p>Disallow: /</p></html>",
		"a picture":      "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00disallow: /\xff",
		"UTF-16":         "\xff\xfeU\x00s\x00e\x00r\x00-\x00a\x00g\x00e\x00n\x00t\x00:\x00*\x00\n\x00D\x00i\x00s\x00a\x00l\x00l\x00o\x00w\x00:\x00/\x00",
		"only colons":    strings.Repeat(":", 1000),
		"only comments":  strings.Repeat("#Disallow: /\n", 1000),
		"rules, nobody":  "Disallow: /\nAllow: /x\n",
		"a mark, alone":  "\xEF\xBB\xBF",
		"NULs":           strings.Repeat("\x00", 5000),
		"agents, no end": strings.Repeat("User-agent: a\n", 10_000),
	} {
		robots := Parse([]byte(body))
		require.True(t, robots.Allowed("bot", home), name)
	}
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	file := func(size int, last string) []byte {
		head := "User-agent: *\n"
		return []byte(head + strings.Repeat("#", size-len(head)-len(last)-1) + "\n" + last)
	}
	// The last rule ends exactly at the limit.
	body := file(MaxSize, "Disallow: /private")
	require.False(t, allowed(t, Parse(body), "a /private"))
	require.False(t, allowed(t, Parse(append(bytes.Clone(body), "\nDisallow: /"...)), "a /private"))
	require.True(t, allowed(t, Parse(append(bytes.Clone(body), "\nDisallow: /"...)), "a /public"))
	// It is cut after "Disallow: /": that would forbid the site, so it is left out.
	require.True(t, allowed(t, Parse(append(body[:MaxSize-len("private")], "private/x\nAllow: /y"...)), "a /public"))
	body = append(file(MaxSize, "Disallow: /"), "private"...)
	require.True(t, allowed(t, Parse(body), "a /public"))
	require.True(t, Parse(bytes.Repeat([]byte("a"), 2*MaxSize)).Allowed("a", parseURL(t, "http://h/")))
}

// It is not parallel: it counts what the process allocates.
func TestAllowedDoesNotAllocate(t *testing.T) {
	rules := Parse([]byte(realistic())).Agent("tulle")
	for _, raw := range []string{"http://h/", "http://h/catalogue/a-light-in-the-attic_1000/index.html", "http://h/search?q=lamp&page=2&next=https%3A%2F%2Fh%2F"} {
		u := parseURL(t, raw)
		require.Zero(t, testing.AllocsPerRun(100, func() { rules.Allowed(u) }), raw)
	}
}

// A file and a path that a matcher which tries every split of the path would not finish in a lifetime.
func TestHostileWildcards(t *testing.T) {
	t.Parallel()
	rules := Parse([]byte("User-agent: *\nDisallow: /" + strings.Repeat("*a", 5000) + "b$\n")).Agent("bot")
	u := parseURL(t, "http://h/"+strings.Repeat("a", 20_000))
	require.True(t, rules.Allowed(u))
	u.Path += "b"
	require.False(t, rules.Allowed(u))
}

// simpleMatch is the definition of a match, written as the set of all positions that each octet of the pattern can reach.
func simpleMatch(pattern string, anchored bool, path string) bool {
	at := make([]bool, len(path)+1)
	at[0] = true
	for _, c := range []byte(pattern) {
		next := make([]bool, len(path)+1)
		reached := false
		for i := range at {
			if c == '*' {
				reached = reached || at[i]
				next[i] = reached
			} else if i > 0 {
				next[i] = at[i-1] && path[i-1] == c
			}
		}
		at = next
	}
	if anchored {
		return at[len(path)]
	}
	for _, ok := range at {
		if ok {
			return true
		}
	}
	return false
}

func FuzzMatches(f *testing.F) {
	for _, seed := range [][2]string{
		{"/fish*.php$", "/fishheads/catfish.php?parameters"}, {"/a*b*b$", "/abb"}, {"/**", "/"}, {"*", ""}, {"/a*$", "/a"}, {"/*a*aa*aaa$", "/aaaaaaaa"},
		{"/%62*%2F$", "/b%2f"}, {"/$$", "/$"}, {"/ab*ab", "/abab"}, {"/*aab", "/aaab"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, value, path string) {
		for _, r := range appendRules(nil, value, true) {
			canonical := appendCanonical(nil, path)
			require.Equal(t, simpleMatch(string(r.pattern), r.anchored, string(canonical)), r.matches(canonical), "%q %q", value, path)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(realistic()), "/a?b=%2F")
	for _, c := range googleCases {
		f.Add([]byte(strings.Join(c.file, "\r\n")), "/x")
	}
	f.Add([]byte("\xEF\xBBUser-agent *\nDisallow: /%\nCrawl-delay: .\nRequest-rate: 1/0s"), "/%zz*$")
	f.Fuzz(func(t *testing.T, body []byte, path string) {
		robots := Parse(body)
		for _, agent := range []string{"", "*", "tulle", "Mozilla/5.0 (compatible; FooBot)"} {
			rules := robots.Agent(agent)
			delay, asked := rules.CrawlDelay()
			require.GreaterOrEqual(t, delay, time.Duration(0))
			require.True(t, asked || delay == 0)
			require.Equal(t, robots.Allowed(agent, &url.URL{Path: path}), rules.Allowed(&url.URL{Path: path}))
			rules.Allowed(&url.URL{Path: path, RawPath: path, RawQuery: path})
			require.True(t, rules.Allowed(&url.URL{Path: "/robots.txt"}))
			// A file without the path's rules cannot forbid it.
			if !bytes.Contains(body, []byte("/")) && !bytes.Contains(body, []byte("*")) {
				require.True(t, rules.Allowed(&url.URL{Path: path}))
			}
		}
	})
}

// realistic is a file as large shops have it.
func realistic() string {
	var b strings.Builder
	for _, bot := range []string{"GPTBot", "CCBot", "AhrefsBot", "SemrushBot", "MJ12bot", "PetalBot"} {
		b.WriteString("User-agent: " + bot + "\nDisallow: /\n\n")
	}
	b.WriteString("User-agent: *\nCrawl-delay: 1\nDisallow: /checkout/\nDisallow: /account/\nDisallow: /*?sort=\nDisallow: /*&page=\nDisallow: /*.pdf$\nAllow: /account/help$\n")
	for i := range 60 {
		b.WriteString("Disallow: /internal/section-" + string(rune('a'+i%26)) + strings.Repeat("x", i/26+1) + "/\n")
	}
	b.WriteString("Sitemap: https://h/sitemap.xml\n")
	return b.String()
}

func BenchmarkAllowed(b *testing.B) {
	rules := Parse([]byte(realistic())).Agent("tulle")
	u := parseURL(b, "https://h/catalogue/category/books/a-light-in-the-attic_1000/index.html?ref=home&color=blue")
	b.ReportAllocs()
	for b.Loop() {
		if !rules.Allowed(u) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	body := []byte(realistic())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		Parse(body).Agent("tulle")
	}
}

// Rules with wildcards and a path may be so long that comparing them takes seconds: they are given up, and the path is forbidden.
func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	body := "User-agent: *\n" + strings.Repeat("Disallow: /*aaaaaaaaaaaaaab\n", MaxSize/28-1)
	rules := Parse([]byte(body)).Agent("tulle")
	at := func(n int) *url.URL { return &url.URL{Scheme: "http", Host: "h", Path: "/" + strings.Repeat("a", n)} }
	require.True(t, rules.Allowed(at(2000)), "the longest URL that is usual")
	require.False(t, rules.Allowed(at(100_000)))
	require.True(t, Parse([]byte("User-agent: *\nDisallow: /*b")).Agent("tulle").Allowed(at(100_000)), "of few rules it is decided")
	require.True(t, Parse([]byte("User-agent: *\n"+strings.Repeat("Disallow: /x\n", MaxSize/13-2))).Agent("tulle").Allowed(at(100_000)), "and of those without wildcards")
}
