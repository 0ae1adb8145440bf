package canon_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl/internal/canon"
)

type scrapyURL struct{ URL, Safe, Canonical, Fingerprint, Error string }

type scrapyLink struct{ Base, Ref, Scrapy, Browser, Error string }

type scrapyRequest struct{ Method, URL, Body, Fingerprint string }

// load reads golden results; testdata/README.md says where they are from.
func load[T any](tb testing.TB, name string) []T {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(tb, err)
	var rows []T
	require.NoError(tb, json.Unmarshal(data, &rows))
	require.NotEmpty(tb, rows)
	return rows
}

// differences are the URLs of urls.json that we take otherwise than Scrapy does, on purpose. safe "" is an error.
var differences = []struct {
	why             string
	url             string
	safe, canonical string
}{
	{"browsers left IDNA 2003, which is another host", "http://straße.de/", "http://xn--strae-oqa.de/", "http://xn--strae-oqa.de/"},
	{"browsers left IDNA 2003, which is another host", "http://βόλος.gr/", "http://xn--nxasmm1c.gr/", "http://xn--nxasmm1c.gr/"},
	{"browsers decode hosts", "http://b%C3%BCcher.example/", "http://xn--bcher-kva.example/", "http://xn--bcher-kva.example/"},
	{"browsers decode hosts", "http://ex%41mple.com/", "http://example.com/", "http://example.com/"},
	{"browsers skip slashes before the host", "http:/example.com/a", "http://example.com/a", "http://example.com/a"},
	{"browsers skip slashes before the host", "http:///example.com/a", "http://example.com/a", "http://example.com/a"},
	{"browsers skip slashes before the host", "http:////example.com", "http://example.com", "http://example.com/"},
	{"browsers skip slashes before the host", "http:example.com/a", "http://example.com/a", "http://example.com/a"},
	{"browsers skip slashes before the host", `https:\example.com`, "https://example.com", "https://example.com/"},
	{"browsers skip slashes before the host", "http:///a", "http://a", "http://a/"},

	{"RFC 6874, and all that a url.URL can hold", "http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/"},
	{"all that a url.URL can hold", "http://u;x=y!:p'(z)*+,&$@example.com/", "http://u;x=y%21:p%27%28z%29%2A+,&$@example.com/", "http://u%3Bx%3Dy!:p'(z)*+,&$@example.com/"},
	{"all that a url.URL can hold", "file://", "file:", "file:///"},
	{"all that a url.URL can hold", "file:", "file:", "file:///"},
	{"all that a url.URL can hold", "http://example.com/%%34%31", "http://example.com/%25%34%31", "http://example.com/%2541"},
	{"as browsers; Scrapy refuses both spellings", "foo:///a", "foo:///a", "foo:/a"},
	{"RFC 5952, and Python since 3.13", "http://[::ffff:1.2.3.4]/", "http://[::ffff:1.2.3.4]/", "http://[::ffff:1.2.3.4]/"},

	{"DNS knows no such name", "http://" + strings.Repeat("é", 64) + ".fr/", "", ""},
	{"DNS knows no such name", "http://[v1.fe80]/", "", ""},
	{"DNS knows no such name", "http://exa mple.com/", "", ""},
	{"DNS knows no such name", "http://exa%20mple.com/", "", ""},
	{"DNS knows no such name", "http://exa<mple.com/", "", ""},
	{"DNS knows no such name", "http://exa^mple.com/", "", ""},
	{"DNS knows no such name", "http://exa|mple.com/", "", ""},
	{"DNS knows no such name", "http://{{host}}/", "", ""},
	{"DNS knows no such name", `foo://h\x/y`, "", ""},
	{"no host", "http:", "", ""},
	{"no host", "http:/", "", ""},
	{"no host", "http://", "", ""},
	{"no host", "https://", "", ""},
	{"no host", "http:///", "", ""},
	{"no host", "http://?", "", ""},
	{"no host", "http://?a=1", "", ""},
	{"no host", "http://#", "", ""},
	{"no host", "http://:80/", "", ""},
	{"no host", "http://@/", "", ""},
	{"no host", "http://:@:/", "", ""},
	{"no scheme", "://example.com", "", ""},
	{"no scheme", "\u00a0http://example.com/", "", ""},
	{"no scheme", "1http://a", "", ""},
	{"no scheme", "a b://c", "", ""},
	{"no scheme", "-a://b", "", ""},
}

var strayPercent = regexp.MustCompile(`%(?:[^0-9A-Fa-f]|[0-9A-Fa-f][^0-9A-Fa-f]|[0-9A-Fa-f]?$)`)

// fixPercent writes "%" as "%25" where it starts no escape: what we do in paths and fragments, because a url.URL holds them
// decoded, and w3lib does not do yet.
func fixPercent(s string) string {
	for i := 0; i < len(s); {
		at := strayPercent.FindStringIndex(s[i:])
		if at == nil {
			break
		}
		i += at[0] + 1
		s = s[:i] + "25" + s[i:]
	}
	return s
}

// fixPercents is fixPercent for all of a URL but its query.
func fixPercents(s string) string {
	rest, fragment, hasFragment := strings.Cut(s, "#")
	path, query, hasQuery := strings.Cut(rest, "?")
	s = fixPercent(path)
	if hasQuery {
		s += "?" + query
	}
	if hasFragment {
		s += "#" + fixPercent(fragment)
	}
	return s
}

// withoutDots is a URL as browsers have it (the URL Standard's path state), where Scrapy leaves dots until it compares URLs.
func withoutDots(s string) string {
	scheme, rest, _ := strings.Cut(s, "://")
	if !slices.Contains([]string{"http", "https", "file"}, scheme) {
		return s
	}
	end := strings.IndexAny(rest, "?#")
	if end < 0 {
		end = len(rest)
	}
	segments := strings.Split(rest[:end], "/")
	var kept []string
	for i, segment := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".":
		case "..":
			kept = kept[:max(1, len(kept)-1)] // the host stays
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "")
		}
	}
	return scheme + "://" + strings.Join(kept, "/") + rest[end:]
}

func TestURLsAreScrapys(t *testing.T) {
	t.Parallel()
	rows := load[scrapyURL](t, "urls.json")
	known := map[string]scrapyURL{}
	for _, d := range differences {
		known[d.url] = scrapyURL{Safe: d.safe, Canonical: d.canonical}
	}
	for _, row := range rows {
		want := scrapyURL{Safe: fixPercents(row.Safe), Canonical: fixPercents(row.Canonical), Fingerprint: row.Fingerprint}
		if want.Safe != row.Safe {
			want.Fingerprint = ""
		}
		want.Safe = withoutDots(want.Safe)
		if ours, ok := known[row.URL]; ok {
			require.NotEqual(t, scrapyURL{Safe: row.Safe, Canonical: row.Canonical}, ours, "%q is no difference any more", row.URL)
			want = ours
			delete(known, row.URL)
		}
		u, err := canon.Parse(row.URL)
		if want.Safe == "" || strings.Contains(row.Error, "Missing scheme") && err != nil {
			require.Error(t, err, "%q", row.URL)
			continue
		}
		require.NoError(t, err, "%q", row.URL)
		require.Equal(t, want.Safe, u.String(), "%q", row.URL)
		require.Equal(t, want.Canonical, canon.Canonical(u), "%q", row.URL)
		if want.Fingerprint != "" {
			sum := canon.Fingerprint("GET", u, nil)
			require.Equal(t, want.Fingerprint, hex.EncodeToString(sum[:]), "%q", row.URL)
		}
	}
	require.Empty(t, known, "differences that are not in urls.json")
}

func TestCanonicalIsW3libs(t *testing.T) {
	t.Parallel()
	for _, row := range load[scrapyURL](t, "w3lib.json") {
		u, err := canon.Parse(row.URL)
		require.NoError(t, err, "%q", row.URL)
		require.Equal(t, row.Canonical, canon.Canonical(u), "%q", row.URL)
	}
}

// What does not make another request does not make another fingerprint: the order of the query, how it and the path are escaped, the case of scheme and host, a
// fragment.
func TestFingerprintIsStable(t *testing.T) {
	t.Parallel()
	text := rapid.StringMatching(`[a-zA-Z0-9é日 '"+&=;,~!/?#%._-]{0,6}`)
	// spell escapes what must be, and as much else as it likes, in either case.
	spell := func(t *rapid.T, s string) string {
		var b strings.Builder
		for _, c := range []byte(s) {
			plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
			switch choice := rapid.IntRange(0, 3).Draw(t, "spelling"); {
			case plain && choice < 2:
				b.WriteByte(c)
			case choice == 2:
				fmt.Fprintf(&b, "%%%02x", c)
			default:
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		return b.String()
	}
	rapid.Check(t, func(t *rapid.T) {
		segments := rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9é日]{1,5}`), 0, 4).Draw(t, "segments")
		query := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string { return [2]string{text.Draw(t, "key"), text.Draw(t, "value")} }), 0, 5).Draw(t, "query")
		written := func(scheme, host string, query [][2]string) *url.URL {
			s := scheme + "://" + host
			for _, seg := range segments {
				s += "/" + spell(t, seg)
			}
			for i, kv := range query {
				s += string("?&&&&"[i]) + spell(t, kv[0]) + "=" + spell(t, kv[1])
			}
			u, err := canon.Parse(s + rapid.SampledFrom([]string{"", "#", "#a?b=c"}).Draw(t, "fragment"))
			require.NoError(t, err)
			return u
		}
		a := written("http", "example.com", query)
		b := written("HTTP", "EXAMPLE.com", rapid.Permutation(query).Draw(t, "shuffled"))
		require.Equal(t, canon.Canonical(a), canon.Canonical(b))
		require.Equal(t, canon.Fingerprint("", a, nil), canon.Fingerprint("", b, nil))
		again, err := canon.Parse(canon.Canonical(a))
		require.NoError(t, err)
		require.Equal(t, canon.Canonical(a), canon.Canonical(again))
	})
}

// What net/url parsed has the canonical form of what net/http would ask for.
func TestCanonicalOfNetURLs(t *testing.T) {
	t.Parallel()
	for _, row := range load[scrapyURL](t, "urls.json") {
		u, err := url.Parse(strings.TrimSpace(row.URL))
		if err != nil || u.Scheme == "" || u.Host == "" && strings.HasPrefix(u.Scheme, "http") || strings.Contains(u.Opaque, `\`) {
			continue
		}
		parsed, err := canon.Parse(u.String())
		if err != nil {
			canon.Canonical(u)
			continue
		}
		require.Equal(t, canon.Canonical(parsed), canon.Canonical(u), "%q", row.URL)
	}
}

// TestDots has paths whose dots lead out of a folder: what robots.txt, a cookie's path and a cache see is where they lead to, as in browsers.
func TestDots(t *testing.T) {
	t.Parallel()
	base, err := canon.Parse("http://h/public/x")
	require.NoError(t, err)
	for ref, want := range map[string]string{
		"http://h/public/../secret/1": "http://h/secret/1", "../secret/1": "http://h/secret/1", "%2e%2E/secret/1": "http://h/secret/1", "/public/%2E./secret/1": "http://h/secret/1",
		"//h/./secret/1": "http://h/secret/1", "http://h/%2e": "http://h/", "http://h/a/b/%2e%2e": "http://h/a/", "/../../x": "http://h/x", "/.../x": "http://h/.../x", "/..a": "http://h/..a",
		"/%2ea": "http://h/%2ea", "/a%2f../x": "http://h/a%2f../x", "/x?a=/../b#/../c": "http://h/x?a=/../b#/../c", "s3://bucket/a/../b": "s3://bucket/a/../b", "/%252e%252e/x": "http://h/%252e%252e/x",
	} {
		u, err := canon.Resolve(base, ref)
		require.NoError(t, err)
		require.Equal(t, want, u.String(), ref)
	}
}

func TestLinksAreScrapysOrBrowsers(t *testing.T) {
	t.Parallel()
	// Links that Python's urljoin takes otherwise than browsers, where we take the browsers' side.
	browsers := map[string]string{
		"":                "the base without its fragment",
		"?":               "an empty query is none, not the base's",
		`\g`:              "backslashes",
		`\\o.example\x`:   "backslashes",
		`/\o.example/x`:   "backslashes",
		"a//b":            "empty segments stay",
		"g//h":            "empty segments stay",
		"//":              "slashes lead to a host, and without one there is no URL",
		"///o.example/x":  "slashes lead to a host",
		"////o.example/x": "slashes lead to a host",
		"http:":           "no host",
		"http://":         "no host",
		"http:?x":         "no host",
		"http:#x":         "no host",
		"http:g":          "with another scheme than the base's, a host",
		"http:/g":         "with another scheme than the base's, a host",
		"https:g":         "with another scheme than the base's, a host",
		"//o o/":          "no such host",
	}
	disagreed := map[string]bool{}
	for _, row := range load[scrapyLink](t, "links.json") {
		base, err := canon.Parse(row.Base)
		require.NoError(t, err)
		u, err := canon.Resolve(base, row.Ref)
		got := ""
		if err == nil {
			got = u.String()
		}
		if got == withoutDots(fixPercents(row.Scrapy)) {
			continue
		}
		emptySegments := strings.Contains(base.Path, "//")
		if _, known := browsers[row.Ref]; !known && !emptySegments {
			require.Equal(t, row.Scrapy, got, "%q in %q: %v", row.Ref, row.Base, err)
		}
		disagreed[row.Ref] = true
		if row.Browser == "" {
			require.Error(t, err, "%q in %q", row.Ref, row.Base)
			continue
		}
		require.NoError(t, err, "%q in %q", row.Ref, row.Base)
		browser, err := canon.Parse(row.Browser)
		require.NoError(t, err)
		require.Equal(t, canon.Canonical(browser), canon.Canonical(u), "%q in %q", row.Ref, row.Base)
		require.Equal(t, browser.Fragment, u.Fragment)
	}
	for ref := range browsers {
		require.True(t, disagreed[ref], "%q is no difference any more", ref)
	}
}

func TestRequestsAreScrapys(t *testing.T) {
	t.Parallel()
	for _, row := range load[scrapyRequest](t, "requests.json") {
		u, err := canon.Parse(row.URL)
		require.NoError(t, err)
		body, err := hex.DecodeString(row.Body)
		require.NoError(t, err)
		sum := canon.Fingerprint(row.Method, u, body)
		require.Equal(t, row.Fingerprint, hex.EncodeToString(sum[:]), "%s %s", row.Method, row.URL)
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ method, url, body, want string }{
		{"GET", "http://example.com", "", "cebe46deeab7ee5915824a38cf73ee6f7eb0aba5"},
		{"", "http://example.com/", "", "cebe46deeab7ee5915824a38cf73ee6f7eb0aba5"},
		{"GET", "http://www.example.com/query?id=111&cat=222", "", "8fcf173c15d0d14f77c0c9a61209caf224e90164"},
		{"get", "http://www.example.com/query?cat=222&id=111", "", "8fcf173c15d0d14f77c0c9a61209caf224e90164"},
		{"GET", "http://example.com/a#f", "", "7f4b2fd8200202b2bb197dcdf3896e5dc9e065fb"},
		{"POST", "http://example.com/a", "x=1", "15a7b57221fed8a3d829cea4a2a4a23bff196936"},
		{"GET", "http://EXAMPLE.com:80/a b?q=%e9&z=&a=1", "", "80e14282e4805110c0f94cccd3a4cd28a05e6d43"},
		{"GET", "https://example.com/résumé", "", "efdc5170ad09f663475b72cc4574c804c40a3cf7"},
	} {
		u, err := url.Parse(test.url)
		require.NoError(t, err)
		sum := canon.Fingerprint(test.method, u, []byte(test.body))
		require.Equal(t, test.want, hex.EncodeToString(sum[:]), "net/url: %s %s", test.method, test.url)
		u, err = canon.Parse(test.url)
		require.NoError(t, err)
		sum = canon.Fingerprint(test.method, u, []byte(test.body))
		require.Equal(t, test.want, hex.EncodeToString(sum[:]), "%s %s", test.method, test.url)
	}
}

// Stored files are named after the hash of the request's URL.
func TestNamesOfStoredFiles(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"https://dev.mydeco.com/mydeco.pdf":                                           "c9b564df929f4bc635bdd19fde4f3d4847c757c5",
		"http://www.maddiebrown.co.uk///catalogue-items//image_54642_12175_95307.txt": "4ce274dd83db0368bafd7e406f382ae088e39219",
		"https://dev.mydeco.com/two/dirs/with spaces%2Bsigns.doc":                     "94ccc495a17b9ac5d40e3eabf3afcb8c2c9b9e1a",
		"https://dev.mydeco.com/two/dirs/with%20spaces%2Bsigns.doc":                   "94ccc495a17b9ac5d40e3eabf3afcb8c2c9b9e1a",
		"http://www.dfsonline.co.uk/get_prod_image?img=status_0907_mdm.jpg":           "c67f916ff9d542e822dedf38f9fcb146d1faba78",
		"http://www.dorma.co.uk/images/product_details/2532/":                         "97ee6f8a46cbbb418ea91502fd24176865cf39b2",
		"http://www.dorma.co.uk/images/product_details/2532":                          "244e0dd7d96a3b7b01f54eded250c9e272577aa1",
		"http://foo.bar/baz.txt?fizz":                                                 "a2b4913a62f65445aeae2bac08cd8c3b41d7195e",
		"file:///tmp/foo.jpg":                                                         "38a86208c36e59d4404db9e37ce04be863ef0335",
		"file://foo.png":                                                              "e55b765eba0ec7348e50a1df496040449071b96a",
	} {
		u, err := canon.Parse(link)
		require.NoError(t, err)
		sum := sha1.Sum([]byte(u.String()))
		require.Equal(t, want, hex.EncodeToString(sum[:]), link)
	}
}

// URLs that people put together by hand.
func TestCanonicalOfLiterals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		url  url.URL
		want string
	}{
		{"upper case", url.URL{Scheme: "HTTP", Host: "EXAMPLE.com", Path: "/A"}, "http://example.com/A"},
		{"script", url.URL{Scheme: "http", Host: "bücher.example:080", Path: "/é"}, "http://xn--bcher-kva.example:80/%C3%A9"},
		{"no slash", url.URL{Scheme: "http", Host: "example.com", Path: "a"}, "http://example.com/a"},
		{"decoded", url.URL{Scheme: "http", Host: "example.com", Path: "/50%/a?b#c;d e"}, "http://example.com/50%25/a%3Fb%23c;d%20e"},
		{"stale RawPath", url.URL{Scheme: "http", Host: "example.com", Path: "/a/b", RawPath: "/a%2Fc"}, "http://example.com/a/b"},
		{"messy query", url.URL{Scheme: "http", Host: "example.com", RawQuery: "b=#&a=x y"}, "http://example.com/?a=x+y&b=%23"},
		{"forced query", url.URL{Scheme: "http", Host: "example.com", ForceQuery: true}, "http://example.com/"},
		{"opaque request", url.URL{Scheme: "http", Opaque: "//Example.com/%2f/../a", RawQuery: "b&a"}, "http://example.com/a?a=&b="},
		{"opaque", url.URL{Scheme: "data", Opaque: `,a?b#c"d`}, "data:,a%3Fb%23c%22d"},
		{"no such host", url.URL{Scheme: "http", Host: `Exa mple"?`, Path: "/"}, "http://exa%20mple%22?/"},
		{"IPv6", url.URL{Scheme: "http", Host: "[FE80::0:1%Eth0]:080"}, "http://[fe80::1%25eth0]:80/"},
		{"no address", url.URL{Scheme: "http", Host: "[::1%]"}, "http://%5B::1%25%5D/"},
		{"only a port", url.URL{Scheme: "http", Host: ":80"}, "http://:80/"},
		{"half a bracket", url.URL{Scheme: "http", Host: "["}, "http://%5B/"},
		{"user", url.URL{Scheme: "ftp", User: url.UserPassword("a:b", "c@d"), Host: "h"}, "ftp://a%3Ab:c%40d@h/"},
		{"path like a host", url.URL{Scheme: "foo", OmitHost: true, Path: "/.//h"}, "foo:////h"},
		{"relative", url.URL{Path: "a/b", RawQuery: "x"}, "a/b?x="},
		{"nothing", url.URL{}, "/"},
	} {
		require.Equal(t, test.want, canon.Canonical(&test.url), test.name)
		require.Equal(t, "dst "+test.want, string(canon.AppendCanonical([]byte("dst "), &test.url)), test.name)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		link string
		is   error
		text string
	}{
		{"www.example.com/a", canon.ErrNoScheme, `parse "www.example.com/a": no scheme`},
		{"", canon.ErrNoScheme, `parse "": no scheme`},
		{"http:///", canon.ErrNoHost, `parse "http:///": no host`},
		{"http://h:99999/", nil, `parse "http://h:99999/": invalid port "99999"`},
		{"http://h:+1/", nil, `parse "http://h:+1/": invalid port "+1"`},
		{"http://[::1/", nil, `parse "http://[::1/": invalid host "[::1"`},
		{"http://[[::1]/", nil, `parse "http://[[::1]/": invalid host "[[::1]"`},
		{"http://%5B/", nil, `parse "http://%5B/": invalid host "[": a character that no host name has`},
		{"http://%5B::1]/", nil, `parse "http://%5B::1]/": invalid port ":1]"`},
		{"http://[::1%25]/", nil, `parse "http://[::1%25]/": invalid host "[::1%]"`},
		{"http://a b/", nil, `parse "http://a b/": invalid host "a b": a character that no host name has`},
		{"http://\xff/", nil, `parse "http://\xff/": invalid host "\xff": a character that no host name has`},
		{"http://" + strings.Repeat("é", 507) + "/", nil, `parse "http://` + strings.Repeat("é", 246) + `\xc3...": invalid host "` + strings.Repeat("é", 50) + `"...: longer than any host name`},
		{"http://h:" + strings.Repeat("0", 1000) + "x/", nil, `parse "http://h:` + strings.Repeat("0", 491) + `...": invalid port "` + strings.Repeat("0", 1000) + `x"`},
	} {
		_, err := canon.Parse(test.link)
		require.EqualError(t, err, test.text, "%q", test.link)
		var urlError *url.Error
		require.True(t, errors.As(err, &urlError))
		if test.is != nil {
			require.ErrorIs(t, err, test.is)
		}
	}
}

// A base is as good as what it came from: a user's literal, a redirect, net/url.
func TestResolveBases(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		base url.URL
		ref  string
		want string
	}{
		{"upper case", url.URL{Scheme: "HTTP", Host: "Example.COM:080", Path: "/a/b"}, "c", "http://example.com:80/a/c"},
		{"script", url.URL{Scheme: "http", Host: "bücher.example", Path: "/é/b"}, "c", "http://xn--bcher-kva.example/%C3%A9/c"},
		{"decoded path", url.URL{Scheme: "http", Host: "h", Path: "/a?b/50%/c"}, "d", "http://h/a%3Fb/50%25/d"},
		{"brackets", url.URL{Scheme: "http", Host: "h", Path: "/[a]/b", RawPath: "/[a]/b"}, "c", "http://h/%5Ba%5D/c"},
		{"messy query", url.URL{Scheme: "http", Host: "h", Path: "/a", RawQuery: "x y#'"}, "#f", "http://h/a?x%20y%23%27#f"},
		{"user", url.URL{Scheme: "http", Host: "h", User: url.UserPassword("a", "b"), Path: "/c"}, "d", "http://a:b@h/d"},
		{"no path", url.URL{Scheme: "http", Host: "h"}, "a", "http://h/a"},
		{"no path, query", url.URL{Scheme: "http", Host: "h"}, "?a", "http://h/?a"},
		{"fragment of data", url.URL{Scheme: "data", Opaque: ",x", Fragment: "a"}, "#b", "data:,x#b"},
		{"path like a host", url.URL{Scheme: "foo", OmitHost: true, Path: "/a/b"}, "..//h", "foo:////h"},
	} {
		before := test.base
		u, err := canon.Resolve(&test.base, test.ref)
		require.NoError(t, err, test.name)
		require.Equal(t, test.want, u.String(), test.name)
		require.Equal(t, before, test.base, test.name)
	}
}

func TestResolveErrors(t *testing.T) {
	t.Parallel()
	_, err := canon.Resolve(&url.URL{Scheme: "data", Opaque: ",x"}, "a")
	require.ErrorIs(t, err, canon.ErrBase)
	require.EqualError(t, err, `resolve "a": base has no path to start from`)
	_, err = canon.Resolve(&url.URL{Path: "/a"}, "b")
	require.ErrorIs(t, err, canon.ErrNoScheme)
	_, err = canon.Resolve(&url.URL{Scheme: "http", Host: "a b"}, "b")
	require.ErrorContains(t, err, `invalid host "a b"`)
	_, err = canon.Resolve(&url.URL{Scheme: "http", Host: "h"}, "//:80")
	require.ErrorIs(t, err, canon.ErrNoHost)
	u, err := canon.Resolve(&url.URL{Scheme: "data", Opaque: ",x"}, "http://h/a")
	require.NoError(t, err, "an absolute link needs no base")
	require.Equal(t, "http://h/a", u.String())
}
