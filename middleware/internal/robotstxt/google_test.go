package robotstxt

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The cases of Google's robots_test.cc (https://github.com/google/robotstxt), with its expectations. A file is written with one line per
// element; a check is "agent path" with the expected answer. Where this package differs on purpose, the case says why.

type googleCase struct {
	name    string
	file    []string
	allowed []string // "agent path"
	refused []string
}

var googleCases = []googleCase{
	{
		name:    "empty file",
		allowed: []string{"FooBot ", " "},
	},
	{
		name:    "empty agent and empty path",
		file:    []string{"user-agent: FooBot", "disallow: /"},
		allowed: []string{" "},
		refused: []string{"FooBot "},
	},
	{
		name:    "lines have a name, a colon and a value",
		file:    []string{"user-agent: FooBot", "disallow: /"},
		refused: []string{"FooBot /x/y"},
	},
	{
		name:    "unknown names",
		file:    []string{"foo: FooBot", "bar: /"},
		allowed: []string{"FooBot /x/y"},
	},
	{
		name:    "colons forgotten",
		file:    []string{"user-agent FooBot", "disallow /"},
		refused: []string{"FooBot /x/y"},
	},
	{
		name: "groups",
		file: []string{
			"allow: /foo/bar/", "",
			"user-agent: FooBot", "disallow: /", "allow: /x/",
			"user-agent: BarBot", "disallow: /", "allow: /y/", "", "", "allow: /w/",
			"user-agent: BazBot", "",
			"user-agent: FooBot", "allow: /z/", "disallow: /",
		},
		allowed: []string{"FooBot /x/b", "FooBot /z/d", "BarBot /y/c", "BarBot /w/a", "BazBot /z/d"},
		refused: []string{"FooBot /y/c", "BarBot /z/d", "FooBot /foo/bar/", "BarBot /foo/bar/", "BazBot /foo/bar/"},
	},
	{
		name:    "a sitemap does not close a group",
		file:    []string{"User-agent: BarBot", "Sitemap: https://foo.bar/sitemap", "User-agent: *", "Disallow: /"},
		refused: []string{"FooBot /", "BarBot /"},
	},
	{
		name:    "an unknown line does not close a group",
		file:    []string{"User-agent: FooBot", "Invalid-Unknown-Line: unknown", "User-agent: *", "Disallow: /"},
		refused: []string{"FooBot /", "BarBot /"},
	},
	{
		name:    "names in upper case",
		file:    []string{"USER-AGENT: FooBot", "ALLOW: /x/", "DISALLOW: /"},
		allowed: []string{"FooBot /x/y"},
		refused: []string{"FooBot /a/b"},
	},
	{
		name:    "names in lower case",
		file:    []string{"user-agent: FooBot", "allow: /x/", "disallow: /"},
		allowed: []string{"FooBot /x/y"},
		refused: []string{"FooBot /a/b"},
	},
	{
		name:    "names in mixed case",
		file:    []string{"uSeR-aGeNt: FooBot", "AlLoW: /x/", "dIsAlLoW: /"},
		allowed: []string{"FooBot /x/y"},
		refused: []string{"FooBot /a/b"},
	},
	{
		name:    "agents in upper case",
		file:    []string{"User-Agent: FOO BAR", "Allow: /x/", "Disallow: /"},
		allowed: []string{"Foo /x/y", "foo /x/y"},
		refused: []string{"Foo /a/b", "foo /a/b"},
	},
	{
		name:    "agents in lower case",
		file:    []string{"User-Agent: foo bar", "Allow: /x/", "Disallow: /"},
		allowed: []string{"Foo /x/y", "foo /x/y"},
		refused: []string{"Foo /a/b", "foo /a/b"},
	},
	{
		name:    "agents in mixed case",
		file:    []string{"User-Agent: FoO bAr", "Allow: /x/", "Disallow: /"},
		allowed: []string{"Foo /x/y", "foo /x/y"},
		refused: []string{"Foo /a/b", "foo /a/b"},
	},
	{
		// Google has "Foo Bar" refused: there the crawler must pass a valid product token. Here it may pass its whole User-Agent, whose
		// token is Foo; TestProductToken.
		name:    "an agent up to the first space",
		file:    []string{"User-Agent: *", "Disallow: /", "User-Agent: Foo Bar", "Allow: /x/", "Disallow: /"},
		allowed: []string{"Foo /x/y"},
		refused: []string{"Qux /x/y"},
	},
	{
		name:    "everybody's group is second choice",
		file:    []string{"user-agent: *", "allow: /", "user-agent: FooBot", "disallow: /"},
		allowed: []string{"BarBot /x/y"},
		refused: []string{"FooBot /x/y"},
	},
	{
		name:    "no group for everybody",
		file:    []string{"user-agent: FooBot", "allow: /", "user-agent: BarBot", "disallow: /", "user-agent: BazBot", "disallow: /"},
		allowed: []string{"QuxBot /x/y"},
	},
	{
		name:    "paths are case-sensitive, same",
		file:    []string{"user-agent: FooBot", "disallow: /x/"},
		refused: []string{"FooBot /x/y"},
	},
	{
		name:    "paths are case-sensitive, other",
		file:    []string{"user-agent: FooBot", "disallow: /X/"},
		allowed: []string{"FooBot /x/y"},
	},
	{
		name:    "longest match disallows",
		file:    []string{"user-agent: FooBot", "disallow: /x/page.html", "allow: /x/"},
		refused: []string{"FooBot /x/page.html"},
	},
	{
		name:    "longest match allows",
		file:    []string{"user-agent: FooBot", "allow: /x/page.html", "disallow: /x/"},
		allowed: []string{"FooBot /x/page.html"},
		refused: []string{"FooBot /x/"},
	},
	{
		name:    "both empty",
		file:    []string{"user-agent: FooBot", "disallow: ", "allow: "},
		allowed: []string{"FooBot /x/page.html"},
	},
	{
		name:    "both the root",
		file:    []string{"user-agent: FooBot", "disallow: /", "allow: /"},
		allowed: []string{"FooBot /x/page.html"},
	},
	{
		name:    "with a slash and without",
		file:    []string{"user-agent: FooBot", "disallow: /x", "allow: /x/"},
		allowed: []string{"FooBot /x/"},
		refused: []string{"FooBot /x"},
	},
	{
		name:    "both the same page",
		file:    []string{"user-agent: FooBot", "disallow: /x/page.html", "allow: /x/page.html"},
		allowed: []string{"FooBot /x/page.html"},
	},
	{
		name:    "a longer wildcard",
		file:    []string{"user-agent: FooBot", "allow: /page", "disallow: /*.html"},
		allowed: []string{"FooBot /page"},
		refused: []string{"FooBot /page.html"},
	},
	{
		name:    "a shorter wildcard",
		file:    []string{"user-agent: FooBot", "allow: /x/page.", "disallow: /*.html"},
		allowed: []string{"FooBot /x/page.html"},
		refused: []string{"FooBot /x/y.html"},
	},
	{
		name:    "the specific group alone",
		file:    []string{"User-agent: *", "Disallow: /x/", "User-agent: FooBot", "Disallow: /y/"},
		allowed: []string{"FooBot /x/page"},
		refused: []string{"FooBot /y/page"},
	},
	{
		name:    "a query with a URL",
		file:    []string{"User-agent: FooBot", "Disallow: /", "Allow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par"},
		allowed: []string{"FooBot /foo/bar?qux=taz&baz=http://foo.bar?tar&par"},
	},
	{
		// Google has the unescaped URL refused, for there the caller escapes URLs first. RFC 9309, section 2.2.2, has both sides escaped
		// before they are compared.
		name:    "octets outside ASCII",
		file:    []string{"User-agent: FooBot", "Disallow: /", "Allow: /foo/bar/ツ"},
		allowed: []string{"FooBot /foo/bar/%E3%83%84", "FooBot /foo/bar/ツ"},
	},
	{
		name:    "octets outside ASCII, escaped",
		file:    []string{"User-agent: FooBot", "Disallow: /", "Allow: /foo/bar/%E3%83%84"},
		allowed: []string{"FooBot /foo/bar/%E3%83%84", "FooBot /foo/bar/ツ"},
	},
	{
		// Google has the unescaped URL refused and says that this should not be relied on. RFC 9309's table has it match.
		name:    "escaped unreserved octets",
		file:    []string{"User-agent: FooBot", "Disallow: /", "Allow: /foo/bar/%62%61%7A"},
		allowed: []string{"FooBot /foo/bar/baz", "FooBot /foo/bar/%62%61%7A"},
	},
	{
		name:    "a wildcard",
		file:    []string{"User-agent: FooBot", "Disallow: /foo/bar/quz", "Allow: /foo/*/qux"},
		allowed: []string{"FooBot /foo/quz", "FooBot /foo//quz", "FooBot /foo/bax/quz"},
		refused: []string{"FooBot /foo/bar/quz"},
	},
	{
		name:    "an end",
		file:    []string{"User-agent: FooBot", "Disallow: /foo/bar$", "Allow: /foo/bar/qux"},
		allowed: []string{"FooBot /foo/bar/qux", "FooBot /foo/bar/", "FooBot /foo/bar/baz"},
		refused: []string{"FooBot /foo/bar"},
	},
	{
		name:    "comments",
		file:    []string{"User-agent: FooBot", "# Disallow: /", "Disallow: /foo/quz#qux", "Allow: /"},
		allowed: []string{"FooBot /foo/bar"},
		refused: []string{"FooBot /foo/quz"},
	},
	{
		name:    "index.html is its directory",
		file:    []string{"User-Agent: *", "Allow: /allowed-slash/index.html", "Disallow: /"},
		allowed: []string{"foobot /allowed-slash/", "foobot /allowed-slash/index.html"},
		refused: []string{"foobot /allowed-slash/index.htm", "foobot /anyother-url"},
	},
	{
		name: "documentation: /fish",
		file: []string{"user-agent: FooBot", "disallow: /", "allow: /fish"},
		allowed: []string{
			"FooBot /fish", "FooBot /fish.html", "FooBot /fish/salmon.html", "FooBot /fishheads",
			"FooBot /fishheads/yummy.html", "FooBot /fish.html?id=anything",
		},
		refused: []string{"FooBot /bar", "FooBot /Fish.asp", "FooBot /catfish", "FooBot /?id=fish"},
	},
	{
		name: "documentation: /fish*",
		file: []string{"user-agent: FooBot", "disallow: /", "allow: /fish*"},
		allowed: []string{
			"FooBot /fish", "FooBot /fish.html", "FooBot /fish/salmon.html", "FooBot /fishheads",
			"FooBot /fishheads/yummy.html", "FooBot /fish.html?id=anything",
		},
		refused: []string{"FooBot /bar", "FooBot /Fish.bar", "FooBot /catfish", "FooBot /?id=fish"},
	},
	{
		name: "documentation: /fish/",
		file: []string{"user-agent: FooBot", "disallow: /", "allow: /fish/"},
		allowed: []string{
			"FooBot /fish/", "FooBot /fish/salmon", "FooBot /fish/?salmon", "FooBot /fish/salmon.html", "FooBot /fish/?id=anything",
		},
		refused: []string{"FooBot /bar", "FooBot /fish", "FooBot /fish.html", "FooBot /Fish/Salmon.html"},
	},
	{
		name: "documentation: /*.php",
		file: []string{"user-agent: FooBot", "disallow: /", "allow: /*.php"},
		allowed: []string{
			"FooBot /filename.php", "FooBot /folder/filename.php", "FooBot /folder/filename.php?parameters",
			"FooBot //folder/any.php.file.html", "FooBot /filename.php/", "FooBot /index?f=filename.php/",
		},
		refused: []string{"FooBot /bar", "FooBot /php/", "FooBot /index?php", "FooBot /windows.PHP"},
	},
	{
		name:    "documentation: /*.php$",
		file:    []string{"user-agent: FooBot", "disallow: /", "allow: /*.php$"},
		allowed: []string{"FooBot /filename.php", "FooBot /folder/filename.php"},
		refused: []string{
			"FooBot /bar", "FooBot /filename.php?parameters", "FooBot /filename.php/", "FooBot /filename.php5", "FooBot /php/",
			"FooBot /filename?php", "FooBot /aaaphpaaa", "FooBot //windows.PHP",
		},
	},
	{
		name:    "documentation: /fish*.php",
		file:    []string{"user-agent: FooBot", "disallow: /", "allow: /fish*.php"},
		allowed: []string{"FooBot /fish.php", "FooBot /fishheads/catfish.php?parameters"},
		refused: []string{"FooBot /bar", "FooBot /Fish.PHP"},
	},
	{
		name:    "documentation: precedence of the longer",
		file:    []string{"user-agent: FooBot", "allow: /p", "disallow: /"},
		allowed: []string{"FooBot /page"},
	},
	{
		name:    "documentation: precedence of allow",
		file:    []string{"user-agent: FooBot", "allow: /folder", "disallow: /folder"},
		allowed: []string{"FooBot /folder/page"},
	},
	{
		name:    "documentation: precedence of the longer wildcard",
		file:    []string{"user-agent: FooBot", "allow: /page", "disallow: /*.htm"},
		refused: []string{"FooBot /page.htm"},
	},
	{
		name:    "documentation: the root alone",
		file:    []string{"user-agent: FooBot", "allow: /$", "disallow: /"},
		allowed: []string{"FooBot /"},
		refused: []string{"FooBot /page.html"},
	},
}

func TestGoogleCases(t *testing.T) {
	t.Parallel()
	for _, c := range googleCases {
		for _, newline := range []string{"\n", "\r", "\r\n"} {
			robots := Parse([]byte(strings.Join(c.file, newline) + newline))
			for _, check := range c.allowed {
				require.True(t, allowed(t, robots, check), "%s: %q", c.name, check)
			}
			for _, check := range c.refused {
				require.False(t, allowed(t, robots, check), "%s: %q", c.name, check)
			}
		}
	}
}

// allowed asks "agent path".
func allowed(t testing.TB, robots *Robots, check string) bool {
	agent, path, _ := strings.Cut(check, " ")
	return robots.Allowed(agent, parseURL(t, "http://foo.bar"+path))
}

func TestGoogleLongLines(t *testing.T) {
	t.Parallel()
	long := func(field, letter string) string {
		path := "/x/"
		return path + strings.Repeat(letter, 2083*8-len(path)-len(field)-len(": ")+len("\n"))
	}
	t.Run("a rule that is cut still disallows", func(t *testing.T) {
		t.Parallel()
		path := long("disallow", "a")
		robots := Parse([]byte("user-agent: FooBot\ndisallow: " + path + "/qux\n"))
		require.True(t, allowed(t, robots, "FooBot /fux"))
		require.False(t, allowed(t, robots, "FooBot "+path+"/fux"))
	})
	t.Run("a rule that is cut still allows", func(t *testing.T) {
		t.Parallel()
		a, b := long("allow", "a"), long("allow", "b")
		robots := Parse(fmt.Appendf(nil, "user-agent: FooBot\ndisallow: /\nallow: %s/qux\nallow: %s/qux\n", a, b))
		require.False(t, allowed(t, robots, "FooBot /"))
		require.True(t, allowed(t, robots, "FooBot "+a+"/qux"))
		require.True(t, allowed(t, robots, "FooBot "+b+"/fux"))
	})
}

// Google counts the lines it understands; here the effect of the two groups is what shows.
func TestGoogleLineEndings(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"Unix":             "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\nDisallow: /\n",
		"DOS":              "User-Agent: foo\r\nAllow: /some/path\r\nUser-Agent: bar\r\n\r\n\r\nDisallow: /\r\n",
		"Mac":              "User-Agent: foo\rAllow: /some/path\rUser-Agent: bar\r\r\rDisallow: /\r",
		"no final newline": "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\nDisallow: /",
		"mixed":            "User-Agent: foo\nAllow: /some/path\r\nUser-Agent: bar\n\r\n\nDisallow: /",
	} {
		robots := Parse([]byte(file))
		require.Len(t, robots.groups, 2, name)
		require.Len(t, robots.groups[0].rules, 1, name)
		require.True(t, allowed(t, robots, "foo /"), name)
		require.False(t, allowed(t, robots, "bar /"), name)
	}
}

func TestGoogleByteOrderMark(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		obeyed     bool
	}{
		{"whole", "\xEF\xBB\xBFUser-Agent: foo\nDisallow: /AnyValue\n", true},
		{"two octets of it", "\xEF\xBBUser-Agent: foo\nDisallow: /AnyValue\n", true},
		{"one octet of it", "\xEFUser-Agent: foo\nDisallow: /AnyValue\n", true},
		{"broken: the first line is garbage", "\xEF\x11\xBFUser-Agent: foo\nDisallow: /AnyValue\n", false},
		{"in the middle: that line is garbage", "User-Agent: foo\n\xEF\xBB\xBFDisallow: /AnyValue\n", false},
	} {
		require.Equal(t, c.obeyed, !allowed(t, Parse([]byte(c.file)), "foo /AnyValue"), c.name)
	}
}

func TestGoogleSitemap(t *testing.T) {
	t.Parallel()
	const groups = "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\n"
	want := []string{"http://foo.bar/sitemap.xml"}
	require.Equal(t, want, Parse([]byte(groups+"Sitemap: http://foo.bar/sitemap.xml\n")).Sitemaps())
	require.Equal(t, want, Parse([]byte("Sitemap: http://foo.bar/sitemap.xml\n"+groups)).Sitemaps())
}

func TestGoogleEscape(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"http://www.example.com": "http://www.example.com",
		"/a/b/c":                 "/a/b/c",
		"á":                      "%C3%A1",
		"%aa":                    "%AA",
	} {
		require.Equal(t, want, string(appendPattern(nil, path)))
	}
}
