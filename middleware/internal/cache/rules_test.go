package cache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// t0 is when the responses of the tests came.
var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func date(d time.Duration) string { return t0.Add(d).Format(http.TimeFormat) }

// header reads "Name: value" lines. DATE, DATE+1h, DATE-240h are times before and after t0.
func header(t *testing.T, lines ...string) http.Header {
	t.Helper()
	h := make(http.Header)
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		if rest, ok := strings.CutPrefix(value, "DATE"); ok {
			d := time.Duration(0)
			if rest != "" {
				var err error
				d, err = time.ParseDuration(rest)
				require.NoError(t, err)
			}
			value = date(d)
		}
		h.Add(name, value)
	}
	return h
}

func stored(t *testing.T, status int, lines ...string) *Stored {
	t.Helper()
	return &Stored{Status: status, Header: header(t, lines...), Asked: t0, Got: t0}
}

// TestUsable has the cases of RFC 9111, section by section, and those of the public suite cache-tests of the HTTP working group, under its names (cc-freshness,
// cc-parse, expires-*, age-parse, heuristic, cc-request, cc-response, pragma).
func TestUsable(t *testing.T) {
	t.Parallel()
	list := func(lines ...string) []string { return lines }
	for _, c := range []struct {
		name     string
		request  []string
		response []string
		status   int           // 0: 200
		after    time.Duration // 0: 2 s
		want     bool
	}{
		// Section 4.2.1: the lifetime.
		{name: "none", want: false},
		{name: "max-age", response: list("Cache-Control: max-age=3600"), want: true},
		{name: "max-age is over", response: list("Cache-Control: max-age=3600"), after: time.Hour, want: false},
		{name: "max-age in its last second", response: list("Cache-Control: max-age=3600"), after: time.Hour - time.Second, want: true},
		{name: "freshness-max-age-quoted", response: list(`Cache-Control: max-age="3600"`), want: true},
		{name: "freshness-max-age-single-quoted", response: list(`Cache-Control: max-age='3600'`)},
		{name: "quote without an end", response: list(`Cache-Control: max-age="3600`)},
		{name: "text after the quote", response: list(`Cache-Control: max-age="3600"0`)},
		{name: "freshness-max-age-ignore-quoted", response: list(`Cache-Control: extension="max-age=100", max-age=1`)},
		{name: "freshness-max-age-ignore-quoted-rev", response: list(`Cache-Control: max-age=1, extension="max-age=100"`)},
		{name: "freshness-max-age-ignore-quoted-all", response: list(`Cache-Control: extension="max-age=100", max-age="1"`)},
		{name: "comma in quotes", response: list(`Cache-Control: extension="a, max-age=0", max-age=100`), want: true},
		{name: "escaped quote in quotes", response: list(`Cache-Control: extension="a\", max-age=0", max-age=100`), want: true},
		{name: "freshness-max-age-space-before-equals", response: list("Cache-Control: max-age =100")},
		{name: "freshness-max-age-space-after-equals", response: list("Cache-Control: max-age= 100")},
		{name: "freshness-max-age-0", response: list("Cache-Control: max-age=0")},
		{name: "freshness-max-age-a100", response: list("Cache-Control: max-age=a100")},
		{name: "freshness-max-age-100a", response: list("Cache-Control: max-age=100a")},
		{name: "freshness-max-age-negative", response: list("Cache-Control: max-age=-100")},
		{name: "max-age with a fraction", response: list("Cache-Control: max-age=3600.0")},
		{name: "max-age without a value", response: list("Cache-Control: max-age")},
		{name: "freshness-max-age-max", response: list("Cache-Control: max-age=2147483648"), want: true},
		{name: "freshness-max-age-max-plus", response: list("Cache-Control: max-age=99999999999"), want: true},
		{name: "beyond 64 bits", response: list("Cache-Control: max-age=99999999999999999999999999"), want: true},
		{name: "two max-age, the least counts", response: list("Cache-Control: max-age=3600, max-age=1")},
		{name: "two max-age, the least counts, in two lines", response: list("Cache-Control: max-age=1", "Cache-Control: max-age=3600")},
		{name: "freshness-max-age-extension", response: list("Cache-Control: foobar, max-age=3600"), want: true},
		{name: "freshness-max-age-case-insenstive", response: list("Cache-Control: MaX-aGe=3600"), want: true},
		{name: "freshness-max-age-expires", response: list("Cache-Control: max-age=3600", "Expires: DATE-10000s", "Date: DATE"), want: true},
		{name: "freshness-max-age-expires-invalid", response: list("Cache-Control: max-age=3600", "Expires: 0", "Date: DATE"), want: true},
		{name: "freshness-max-age-0-expires", response: list("Expires: DATE+10000s", "Cache-Control: max-age=0", "Date: DATE")},
		{name: "freshness-max-age-s-maxage-private", response: list("Cache-Control: s-maxage=3600, max-age=1")},
		{name: "s-maxage alone is for shared caches", response: list("Cache-Control: s-maxage=3600")},

		// Section 5.3: Expires.
		{name: "freshness-expires-future", response: list("Expires: DATE+720h", "Date: DATE"), want: true},
		{name: "freshness-expires-past", response: list("Expires: DATE-720h", "Date: DATE")},
		{name: "freshness-expires-present", response: list("Expires: DATE", "Date: DATE")},
		{name: "freshness-expires-old-date", response: list("Expires: DATE+300s", "Date: DATE+400s")},
		{name: "freshness-expires-invalid", response: list("Expires: 0", "Date: DATE")},
		{name: "Expires without Date", response: list("Expires: DATE+1h"), want: true},
		{name: "Expires with a Date that is none", response: list("Expires: DATE+1h", "Date: yesterday"), want: true},
		{name: "freshness-expires-ansi-c", response: list("Expires: Thu Aug 18 02:01:18 2050", "Date: DATE"), want: true},
		{name: "freshness-expires-rfc850", response: list("Expires: Thursday, 18-Aug-50 02:01:18 GMT", "Date: DATE"), want: true},
		{name: "Expires with an offset is none", response: list("Expires: Thu, 18 Aug 2050 02:01:18 +0100", "Date: DATE")},
		{name: "two Expires, the least counts", response: list("Expires: DATE+720h", "Expires: DATE-1h", "Date: DATE")},

		// Section 4.2.3 and 5.1: the age.
		{name: "freshness-max-age-age", response: list("Date: DATE", "Cache-Control: max-age=10", "Age: 15")},
		{name: "Age below the lifetime", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: 1800"), want: true},
		{name: "age-parse-nonnumeric", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: abc"), want: true},
		{name: "age-parse-negative", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: -7200"), want: true},
		{name: "age-parse-float", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: 7200.0"), want: true},
		{name: "age-parse-suffix", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: 7200,0")},
		{name: "age-parse-suffix-twoline", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: 7200", "Age: 0")},
		{name: "age-parse-prefix", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: 0,7200"), want: true},
		{name: "age-parse-dup-old", response: list("Date: DATE", "Cache-Control: max-age=3600", "Age: 7200, 7200")},
		{name: "made long ago", response: list("Date: DATE-2h", "Cache-Control: max-age=3600")},
		{name: "a clock that is ahead", response: list("Date: DATE+2h", "Cache-Control: max-age=3600"), want: true},

		// Section 4.2.2: heuristics, a tenth of the time since the last change.
		{name: "heuristic", response: list("Date: DATE", "Last-Modified: DATE-100h"), after: 9 * time.Hour, want: true},
		{name: "heuristic is over", response: list("Date: DATE", "Last-Modified: DATE-100h"), after: 11 * time.Hour},
		{name: "heuristic ends after a week", response: list("Date: DATE", "Last-Modified: DATE-87600h"), after: 8 * 24 * time.Hour},
		{name: "heuristic of the future", response: list("Date: DATE", "Last-Modified: DATE+100h")},
		{name: "heuristic of a date that is none", response: list("Date: DATE", "Last-Modified: never")},
		{name: "heuristic of 404", status: 404, response: list("Date: DATE", "Last-Modified: DATE-100h"), want: true},
		{name: "heuristic-201", status: 201, response: list("Date: DATE", "Last-Modified: DATE-100h")},
		{name: "heuristic-201 that is public", status: 201, response: list("Date: DATE", "Last-Modified: DATE-100h", "Cache-Control: public"), want: true},
		{name: "no heuristic beside Expires", response: list("Date: DATE", "Last-Modified: DATE-100h", "Expires: DATE")},
		{name: "no heuristic beside max-age", response: list("Date: DATE", "Last-Modified: DATE-100h", "Cache-Control: max-age=0")},

		// Section 5.2.2: what responses say.
		{name: "no-cache", response: list("Cache-Control: no-cache, max-age=3600")},
		{name: "no-cache in capitals", response: list("Cache-Control: No-CaChE, max-age=3600")},
		{name: "no-cache with fields", response: list(`Cache-Control: no-cache="set-cookie", max-age=3600`)},
		{name: "must-revalidate and fresh", response: list("Cache-Control: must-revalidate, max-age=3600"), want: true},
		{name: "private", response: list("Cache-Control: private, max-age=3600"), want: true},
		{name: "Pragma of a response means nothing (section 5.4)", response: list("Pragma: no-cache", "Cache-Control: max-age=3600"), want: true},

		// Section 5.2.1: what requests say.
		{name: "ccreq-ma0", request: list("Cache-Control: max-age=0"), response: list("Cache-Control: max-age=3600")},
		{name: "ccreq-ma1", request: list("Cache-Control: max-age=1"), response: list("Cache-Control: max-age=3600")},
		{name: "request's max-age above the age", request: list("Cache-Control: max-age=10"), response: list("Cache-Control: max-age=3600"), want: true},
		{name: "ccreq-magreaterage", request: list("Cache-Control: max-age=600"), response: list("Cache-Control: max-age=3600", "Age: 1800")},
		{name: "ccreq-max-stale", request: list("Cache-Control: max-stale=1000"), response: list("Cache-Control: max-age=1"), after: 10 * time.Minute, want: true},
		{name: "max-stale is over", request: list("Cache-Control: max-stale=1000"), response: list("Cache-Control: max-age=1"), after: time.Hour},
		{name: "max-stale without a value", request: list("Cache-Control: max-stale"), response: list("Cache-Control: max-age=1"), after: time.Hour, want: true},
		{name: "max-stale against must-revalidate", request: list("Cache-Control: max-stale"), response: list("Cache-Control: max-age=1, must-revalidate"), after: time.Hour},
		{name: "max-stale against no-cache", request: list("Cache-Control: max-stale"), response: list("Cache-Control: max-age=1, no-cache"), after: time.Hour},
		{name: "ccreq-min-fresh", request: list("Cache-Control: min-fresh=2000"), response: list("Cache-Control: max-age=1500")},
		{name: "min-fresh that is left", request: list("Cache-Control: min-fresh=1000"), response: list("Cache-Control: max-age=1500"), want: true},
		{name: "ccreq-min-fresh-age", request: list("Cache-Control: min-fresh=1000"), response: list("Cache-Control: max-age=1500", "Age: 1000")},
		{name: "min-fresh=0 at the end", request: list("Cache-Control: min-fresh=0"), response: list("Cache-Control: max-age=2")},
		{name: "min-fresh=0 of what is stale", request: list("Cache-Control: min-fresh=0"), response: list("Cache-Control: max-age=1")},
		{name: "ccreq-no-cache", request: list("Cache-Control: no-cache"), response: list("Cache-Control: max-age=3600")},
		{name: "pragma-request-no-cache", request: list("Pragma: no-cache"), response: list("Cache-Control: max-age=3600")},
		{name: "Pragma beside Cache-Control", request: list("Pragma: no-cache", "Cache-Control: max-age=60"), response: list("Cache-Control: max-age=3600"), want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.status == 0 {
				c.status = 200
			}
			if c.after == 0 {
				c.after = 2 * time.Second
			}
			got := new(Rules).Usable(header(t, c.request...), stored(t, c.status, c.response...), t0.Add(c.after))
			require.Equal(t, c.want, got)
		})
	}
}

func TestStorable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		method   string
		request  string
		status   int
		response string // lines, separated by |
		rules    Rules
		want     bool
	}{
		{name: "a lifetime", status: 200, response: "Cache-Control: max-age=60", want: true},
		{name: "a validator", status: 200, response: `Etag: "1"`, want: true},
		{name: "a date", status: 200, response: "Last-Modified: DATE", want: true},
		{name: "neither", status: 200},
		{name: "neither, always", status: 200, rules: Rules{AlwaysStore: true}, want: true},
		{name: "HEAD", method: "HEAD", status: 200, response: "Cache-Control: max-age=60", want: true},
		{name: "POST (RFC 9110, 9.3.3)", method: "POST", status: 200, response: "Cache-Control: max-age=60"},
		{name: "POST, always", method: "POST", status: 200, response: "Cache-Control: max-age=60", rules: Rules{AlwaysStore: true}},
		{name: "partial (3.3)", status: 206, response: "Cache-Control: max-age=60"},
		{name: "partial, always", status: 206, rules: Rules{AlwaysStore: true}},
		{name: "304", status: 304, response: "Cache-Control: max-age=60", rules: Rules{AlwaysStore: true}},
		{name: "interim", status: 103, response: "Cache-Control: max-age=60"},
		{name: "no-store", status: 200, response: "Cache-Control: no-store, max-age=60"},
		{name: "no-store, always", status: 200, response: "Cache-Control: no-store, max-age=60", rules: Rules{AlwaysStore: true}},
		{name: "no-store that is ignored", status: 200, response: "Cache-Control: no-store, max-age=60", rules: Rules{Ignore: []string{"No-Store"}}, want: true},
		{name: "no-store of the request (5.2.1.5)", request: "Cache-Control: no-store", status: 200, response: "Cache-Control: max-age=60"},
		{name: "must-understand of a known status (5.2.2.3)", status: 200, response: "Cache-Control: must-understand, no-store, max-age=60", want: true},
		{name: "must-understand of an unknown status", status: 299, response: "Cache-Control: must-understand, max-age=60"},
		{name: "status-599-fresh", status: 599, response: "Cache-Control: max-age=60", want: true},
		{name: "an unknown status with a validator alone", status: 599, response: `Etag: "1"`},
		{name: "a known status that needs a lifetime", status: 302, response: `Etag: "1"`},
		{name: "302 with one", status: 302, response: "Cache-Control: max-age=60", want: true},
		{name: "302 with Expires", status: 302, response: "Expires: DATE+1h", want: true},
		{name: "404 with a validator", status: 404, response: `Etag: "1"`, want: true},
		{name: "private", status: 200, response: "Cache-Control: private, max-age=60", want: true},
		{name: "private with a validator, of an unknown status", status: 201, response: `Cache-Control: private|Etag: "1"`, want: true},
		{name: "stale on arrival, without a validator", status: 200, response: "Cache-Control: max-age=0"},
		{name: "stale on arrival, with a validator", status: 200, response: `Cache-Control: max-age=0|Etag: "1"`, want: true},
		{name: "no-cache without a validator", status: 200, response: "Cache-Control: no-cache, max-age=60"},
		{name: "no-cache with a validator", status: 200, response: `Cache-Control: no-cache|Etag: "1"`, want: true},
		{name: "Authorization, for a private cache (3.5)", request: "Authorization: Basic eDp5", status: 200, response: "Cache-Control: max-age=60", want: true},
		{name: "vary-syntax-star", status: 200, response: "Cache-Control: max-age=60|Vary: *"},
		{name: "vary-syntax-empty-star", status: 200, response: "Cache-Control: max-age=60|Vary: , *"},
		{name: "vary-syntax-star-foo", status: 200, response: "Cache-Control: max-age=60|Vary: *, Foo"},
		{name: "vary-syntax-foo-star in lines", status: 200, response: "Cache-Control: max-age=60|Vary: Foo|Vary: *"},
		{name: "Vary", status: 200, response: "Cache-Control: max-age=60|Vary: Foo", want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var lines, asked []string
			if c.response != "" {
				lines = strings.Split(c.response, "|")
			}
			if c.request != "" {
				asked = []string{c.request}
			}
			require.Equal(t, c.want, c.rules.Storable(c.method, header(t, asked...), stored(t, c.status, lines...)))
		})
	}
}

func TestUsableOnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		control string
		after   time.Duration
		want    bool
	}{
		{"max-age=1", 1000 * time.Hour, true}, // section 4.2.4
		{"max-age=1, must-revalidate", time.Hour, false},
		{"max-age=1, no-cache", time.Hour, false},
		{"max-age=1, proxy-revalidate", time.Hour, true}, // for shared caches
		{"max-age=1, stale-if-error=60", time.Minute, true},
		{"max-age=1, stale-if-error=60", 2 * time.Minute, false},
	} {
		require.Equal(t, c.want, new(Rules).UsableOnError(stored(t, 200, "Cache-Control: "+c.control), t0.Add(c.after)), c)
	}
	require.True(t, (&Rules{Ignore: []string{"must-revalidate"}}).UsableOnError(stored(t, 200, "Cache-Control: must-revalidate"), t0))
}

// TestAge is the arithmetic of section 4.2.3.
func TestAge(t *testing.T) {
	t.Parallel()
	s := stored(t, 200, "Date: DATE-10s", "Age: 7")
	s.Asked = t0.Add(-5 * time.Second)
	require.Equal(t, 12*time.Second, s.Age(t0), "7 s as it was said and 5 s on the way are more than 10 s by the clocks")
	s.Header.Set("Age", "3")
	require.Equal(t, 10*time.Second, s.Age(t0))
	require.Equal(t, 70*time.Second, s.Age(t0.Add(time.Minute)))
}

func TestFreshen(t *testing.T) {
	t.Parallel()
	old := header(t, "Content-Type: text/plain", "Content-Length: 5", "Content-Encoding: gzip", "X-A: old", "X-B: old", "Age: 100", "Date: DATE-1h", "Cache-Control: max-age=1")
	answer := header(t, "Content-Length: 0", "Content-Encoding: br", "X-A: new", "X-A: newer", "Cache-Control: max-age=3600", "Connection: X-Hop, close", "X-Hop: 1",
		"Transfer-Encoding: chunked", "Keep-Alive: timeout=5", "Set-Cookie: a=b", "Date: DATE")
	require.Equal(t, header(t, "Content-Type: text/plain", "Content-Length: 5", "Content-Encoding: gzip", "X-A: new", "X-A: newer", "X-B: old", "Date: DATE", "Cache-Control: max-age=3600"),
		Freshen(old, answer))
	require.Equal(t, header(t, "X-A: old"), Freshen(header(t, "X-A: old", "Age: 1", "Date: DATE-1h"), nil), "without a Date it is as old as its answer")
}

func TestSelects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ours, theirs string
		want         bool
	}{
		{`"1"`, `"1"`, true}, {`"1"`, `"2"`, false}, {`W/"1"`, `"1"`, true}, {`"1"`, "", true}, {"", `"1"`, true}, {"", "", true},
	} {
		require.Equal(t, c.want, Selects(http.Header{"Etag": {c.theirs}}, &Stored{Header: http.Header{"Etag": {c.ours}}}), c)
	}
}

func TestVaryNames(t *testing.T) {
	t.Parallel()
	names, all := VaryNames(header(t, "Vary: accept-ENCODING,, Foo", "Vary: Accept-Encoding"))
	require.Equal(t, []string{"Accept-Encoding", "Foo"}, names)
	require.False(t, all)
}

func TestConditional(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Range", "If-Range", "If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		require.True(t, Conditional(http.Header{name: {"x"}}), name)
	}
	require.False(t, Conditional(http.Header{"Accept": {"x"}}))
}

func TestValidators(t *testing.T) {
	t.Parallel()
	request := make(http.Header)
	require.True(t, Validators(request, stored(t, 200, `Etag: W/"x"`, "Last-Modified: DATE")))
	require.Equal(t, http.Header{"If-None-Match": {`W/"x"`}, "If-Modified-Since": {date(0)}}, request)
	require.False(t, Validators(request, stored(t, 200)))
}
