package crawl_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
)

const urlencoded = "application/x-www-form-urlencoded"

func TestFromCurl(t *testing.T) {
	t.Parallel()
	type want struct {
		method, url, body string
		header            http.Header
		knobs             *crawl.Knobs
	}
	h := func(pairs ...string) http.Header {
		header := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			header.Add(pairs[i], pairs[i+1])
		}
		return header
	}
	for command, w := range map[string]want{
		"curl http://example.com/get":                              {url: "http://example.com/get"},
		"$ curl example.com":                                       {url: "http://example.com"},
		"curl ftp.example.com/a":                                   {url: "ftp://ftp.example.com/a"},
		"curl -H 'A: b' --url https://example.com/ ; ":             {url: "https://example.com/", header: h("A", "b")},
		`curl.exe "https://example.com/?a=b"`:                      {url: "https://example.com/?a=b"},
		"curl -X PUT https://example.com/":                         {method: "PUT", url: "https://example.com/"},
		"curl -XdeletE https://example.com/":                       {method: "DELETE", url: "https://example.com/"},
		"curl -X GET https://example.com/ -d a=b":                  {url: "https://example.com/", body: "a=b", header: h("Content-Type", urlencoded)},
		"curl -I https://example.com/":                             {method: "HEAD", url: "https://example.com/"},
		"curl https://example.com/ # a remark":                     {url: "https://example.com/"},
		"curl 'http://example.com/' -u 'some_user:pass:1'":         {url: "http://example.com/", knobs: &crawl.Knobs{HTTPUser: "some_user", HTTPPassword: "pass:1"}},
		"curl https://example.com/ --oauth2-bearer abc":            {url: "https://example.com/", header: h("Authorization", "Bearer abc")},
		"curl https://example.com/ -b 'a=1; b=\"2\"' -b c=3":       {url: "https://example.com/", header: h("Cookie", `a=1; b="2"; c=3`)},
		"curl https://example.com/ -b a=1 -H 'cookie: d=4' -b c=3": {url: "https://example.com/", header: h("Cookie", "d=4")},
		"curl -g https://example.com/{a,b}/[1-3]":                  {url: "https://example.com/%7Ba,b%7D/%5B1-3%5D"},
		"curl http://[::1]:80/":                                    {url: "http://[::1]:80/"},
		"curl https://example.com/{a,b}":                           {},
		"curl 'https://example.com/?page=[1-3]'":                   {},
		"curl https://example.com/ -A 'Agent 1' -e 'https://a.example/;auto' -r 0-99": {url: "https://example.com/",
			header: h("User-Agent", "Agent 1", "Referer", "https://a.example/", "Range", "bytes=0-99")},
		"curl https://example.com/ -H ':authority: x' -H 'X-Empty;' -H 'Accept:' -H 'content-length: 3' -H 'host:other.example'": {url: "https://example.com/",
			header: http.Header{"X-Empty": {""}, "Host": {"other.example"}, "Accept": nil}},
		"curl https://example.com/ -sSLkx localhost:3128 -m 2.5 --max-filesize 1000 -o out": {url: "https://example.com/",
			knobs: &crawl.Knobs{Proxy: "http://localhost:3128", Timeout: 2500 * time.Millisecond, MaxSize: 1000}},
		"curl https://example.com/ -x ''":                                  {url: "https://example.com/", knobs: &crawl.Knobs{Proxy: "direct"}},
		"curl https://example.com/ -d a=1 --data 'b=2 3' --data-binary @c": {},
		"curl https://example.com/ -d a=1 --data 'b=2 3' --data-raw @c":    {method: "POST", url: "https://example.com/", body: "a=1&b=2 3&@c", header: h("Content-Type", urlencoded)},
		"curl https://example.com/ -d '' -H 'Content-Type: text/plain'":    {method: "POST", url: "https://example.com/", header: h("Content-Type", "text/plain")},
		"curl https://example.com/ -d x -H Content-Type:":                  {method: "POST", url: "https://example.com/", body: "x"},
		"curl https://example.com/ --data-urlencode 'a=b c&' --data-urlencode '=x=y' --data-urlencode 'ü'": {method: "POST", url: "https://example.com/",
			body: "a=b+c%26&x%3Dy&%C3%BC", header: h("Content-Type", urlencoded)},
		"curl 'https://example.com/?q=1#top' -G -d a=1 --data-urlencode 'b= '":                   {url: "https://example.com/?q=1&a=1&b=+#top"},
		"curl https://example.com/a -I -G -d a=1 --url-query 'b=ü' --url-query +c":               {method: "HEAD", url: "https://example.com/a?b=%C3%BC&c&a=1"},
		`curl https://example.com/ --json '{"a":' --json ' 1}'`:                                  {method: "POST", url: "https://example.com/", body: `{"a": 1}`, header: h("Content-Type", "application/json", "Accept", "application/json")},
		`curl https://example.com/ --json '{}' -H 'Accept: */*' -XPATCH`:                         {method: "PATCH", url: "https://example.com/", body: `{}`, header: h("Content-Type", "application/json", "Accept", "*/*")},
		"curl -- https://example.com/":                                                           {url: "https://example.com/"},
		"curl https://example.com/ \\\n  -H \"A: \\\"b\\\" \\$x 5$ \\\\ \\n\" \\\r\n  -H A:\\ c": {url: "https://example.com/", header: h("A", `"b" $x 5$ \ \n`, "A", "c")},
		"curl https://example.com/ --data-raw $'a\\'\\u0021\\n\\ud83d\\ude00\\x41\\101\\u00e9\\q\\\\\\t'": {method: "POST", url: "https://example.com/",
			body: "a'!\n😀AAé\\q\\\t", header: h("Content-Type", urlencoded)},
		"curl 'https://example.com/'\\''x'$\"y\"": {url: "https://example.com/'xy"},
	} {
		req, _, err := crawl.FromCurlIgnoring(command)
		if w.url == "" {
			require.Error(t, err, command)
			continue
		}
		require.NoError(t, err, command)
		require.Equal(t, w, want{req.Method, req.URL.String(), string(req.Body), req.Header, req.Knobs}, command)
	}
}

// What browsers copy. Chromium's developer tools write for bash and for cmd; Firefox's differ in their headers.
func TestFromCurlOfBrowsers(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]string{
		"chromium bash": `curl 'https://example.com/api?q=a%20b&n=100%25' \
  -X 'PUT' \
  -H 'accept: */*' \
  -H 'accept-language: en-GB,en;q=0.9' \
  -b 'sid=it'\''s; theme="dark"' \
  -H 'content-type: application/json' \
  -H 'sec-ch-ua: "Chromium";v="150", "Not(A:Brand";v="8"' \
  -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64)' \
  --data-raw $'{"a":"it\'s \u0021 \u00fc","b":"x\\ny","p":"%PATH%^&|"}' \
  --compressed`,
		"chromium cmd": "curl ^\"https://example.com/api?q=a^%^20b^&n=100^%^25^\" ^\r\n  -X ^\"PUT^\" ^\r\n  -H ^\"accept: */*^\" ^\r\n" +
			"  -H ^\"accept-language: en-GB,en;q=0.9^\" ^\r\n  -b ^\"sid=it's; theme=^\\^\"dark^\\^\"^\" ^\r\n  -H ^\"content-type: application/json^\" ^\r\n" +
			"  -H ^\"sec-ch-ua: ^\\^\"Chromium^\\^\";v=^\\^\"150^\\^\", ^\\^\"Not(A:Brand^\\^\";v=^\\^\"8^\\^\"^\" ^\r\n" +
			"  -H ^\"user-agent: Mozilla/5.0 (X11; Linux x86_64)^\" ^\r\n" +
			"  --data-raw ^\"^{^\\^\"a^\\^\":^\\^\"it's ^! ü^\\^\",^\\^\"b^\\^\":^\\^\"x^\\^\\ny^\\^\",^\\^\"p^\\^\":^\\^\"^%^PATH^%^^^&^|^\\^\"^}^\" ^\r\n  --compressed",
		"quotes of cmd": `curl "https://example.com/api?q=a%20b&n=100%25" -X PUT -H "accept: */*" -H "accept-language: en-GB,en;q=0.9" -b "sid=it's; theme=\"dark\"" ` + "^\r\n" +
			`-H "content-type: application/json" -H "sec-ch-ua: ""Chromium"";v=""150"", ""Not(A:Brand"";v=""8""" -H "user-agent: Mozilla/5.0 (X11; Linux x86_64)" ` +
			`--data-raw "{""a"":""it's ! ü"",""b"":""x\ny"",""p"":""%PATH%^&|""}" --compressed`,
		"firefox": `curl 'https://example.com/api?q=a%20b&n=100%25' -X PUT --compressed -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64)' -H 'Accept: */*' ` +
			`-H 'Accept-Language: en-GB,en;q=0.9' -H 'Content-Type: application/json' -H 'Cookie: sid=it'\''s; theme="dark"' -H 'sec-ch-ua: "Chromium";v="150", "Not(A:Brand";v="8"' ` +
			`--data-raw $'{"a":"it\'s ! ü","b":"x\\ny","p":"%PATH%^&|"}'`,
	} {
		req, err := crawl.FromCurl(command)
		require.NoError(t, err, name)
		require.Equal(t, "PUT https://example.com/api?q=a%20b&n=100%25", req.Method+" "+req.URL.String(), name)
		require.Equal(t, `{"a":"it's ! ü","b":"x\ny","p":"%PATH%^&|"}`, string(req.Body), name)
		require.Equal(t, http.Header{
			"Accept": {"*/*"}, "Accept-Language": {"en-GB,en;q=0.9"}, "Cookie": {`sid=it's; theme="dark"`}, "Content-Type": {"application/json"},
			"Sec-Ch-Ua": {`"Chromium";v="150", "Not(A:Brand";v="8"`}, "User-Agent": {"Mozilla/5.0 (X11; Linux x86_64)"},
		}, req.Header, name)
	}
	req, err := crawl.FromCurl("curl ^\"https://example.com/^\" ^\n  --data-raw ^\"a^\n\nb^\"")
	require.NoError(t, err)
	require.Equal(t, "a\nb", string(req.Body))
}

func TestFromCurlErrors(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"":                                `it does not begin with curl: ""`,
		"carl http://example.com":         `it does not begin with curl: "carl http://example.com"`,
		"curl":                            "it has no URL",
		"curl -X":                         "option -X needs an argument",
		"curl --data":                     "option --data needs an argument",
		"curl http://a.example b.example": `two URLs, "http://a.example" and "b.example", where one request has one`,
		"curl http://[bad/":               `url "http://[bad/"`,
		"curl -d a -F b=c a.example":      "-d and -F are two bodies",
		"curl -I -d a a.example":          "-I asks without a body",
		"curl -d @file a.example":         `option -d: "@file" would be read from disk, which is not done here: set the request's Body`,
		"curl --data-urlencode a@f a.b":   `option --data-urlencode: "a@f" would be read from disk`,
		"curl -b jar.txt a.example":       `option -b: "jar.txt" would be read from disk`,
		"curl -H @f a.example":            `option -H: "@f" would be read from disk`,
		"curl -H nothing a.example":       `option -H: "nothing" is not name: value`,
		"curl -H $'a: b\\nc' a.example":   "has a line break",
		"curl -F a=@f a.example":          `option -F: "a=@f" would be read from disk, which is not done here: make it a MultipartRequest`,
		"curl -F a a.example":             `option -F: "a" is not name=value`,
		"curl -F 'a=\"b' a.example":       "has a quote that is not closed",
		"curl -F 'a=b;x=y' a.example":     `"x=y" is not known here`,
		"curl -u me a.example":            `option -u: "me" has no password: write user:password`,
		"curl -m x a.example":             `option -m: "x" is not a number of seconds`,
		"curl --max-filesize x a.example": `option --max-filesize: "x" is not a number of bytes`,
		"curl 'a.example":                 `a quote that is not closed: "'a.example"`,
		`curl "a.example`:                 "a quote that is not closed",
		"curl $'a.example":                "a quote that is not closed",
		"curl ^\"a.example":               "a quote that is not closed",
		"curl https://a.example/?a=1&b=2": `"&b=2" would be the shell's, not curl's: quote it`,
		"curl a.example | jq .":           `"| jq ." would be the shell's`,
		"curl ^\"a.example^\" & curl b":   "would be cmd's",
		"curl a.example -H \"A: $TOKEN\"": `"$TOKEN\"" is for the shell to replace`,
		"curl a.example -H `id`":          "is for the shell to replace",
		"curl a.example\ncurl b.example":  `a second command, or a line that does not end in a backslash before "curl b.example"`,
		"curl ^\"a.example^\"\ncurl b":    "a second command, or a line that does not end in ^ before",
		"curl -k a.example":               "option -k has no counterpart in a request: certificates are checked for all of a crawl, or for none: set download.insecure_tls",
		"curl --bar --cacert x a.example": "option --bar is not known here\noption --cacert has no counterpart in a request: set download.ca_file",
		"curl -T f a.example":             "nothing is read from disk",
		"curl a.example --next b.example": `two URLs`,
	} {
		req, err := crawl.FromCurl(command)
		require.ErrorContains(t, err, "curl command: ", command)
		require.ErrorContains(t, err, want, command)
		require.Nil(t, req)
	}

	req, ignored, err := crawl.FromCurlIgnoring("curl --bar --cacert 'x y' -kso out --no-alpn --no-proxytunnel a.example")
	require.NoError(t, err)
	require.Equal(t, "http://a.example", req.URL.String())
	require.Equal(t, []string{"--bar", "--cacert 'x y'", "-k", "--no-proxytunnel"}, ignored)
	_, _, err = crawl.FromCurlIgnoring("curl")
	require.EqualError(t, err, "curl command: it has no URL")
}

func TestFromCurlForm(t *testing.T) {
	t.Parallel()
	req, err := crawl.FromCurl(`curl https://example.com/ -F a=1 -F 'b="x;\"y\"";filename=z.txt' --form-string c=@d;e -H 'Content-Type: multipart/form-data; boundary=x'`)
	require.Error(t, err, "the ; is the shell's")
	require.Nil(t, req)
	req, err = crawl.FromCurl(`curl https://example.com/ -F a=1 -F 'b="x;\"y\"";filename=z.txt' --form-string 'c=@d;e' -H 'Content-Type: multipart/form-data; boundary=x'`)
	require.NoError(t, err)
	want := crawl.MultipartRequest("https://example.com/", []crawl.FormField{
		{Name: "a", Value: "1"}, {Name: "b", File: &crawl.FormFile{Name: "z.txt", Data: []byte(`x;"y"`)}}, {Name: "c", Value: "@d;e"},
	})
	require.Equal(t, string(want.Body), string(req.Body))
	require.Equal(t, want.Header, req.Header)
	require.Equal(t, "POST", req.Method)
}

// TestCurlAndBack holds that FromCurl makes of Request.Curl the request that it was.
func TestCurlAndBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := &url.URL{
			Scheme: rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme"), Host: rapid.SampledFrom([]string{"example.com", "a.example:8080", "[::1]"}).Draw(t, "host"),
			Path: "/" + rapid.StringMatching(`[a-z 'é%&{}\[\]$]{0,6}`).Draw(t, "path"), RawQuery: rapid.StringMatching(`([a-z]=[a-z0-9$!;&+]{0,5})?`).Draw(t, "query"),
			Fragment: rapid.StringMatching(`[a-z]{0,2}`).Draw(t, "fragment"),
		}
		req := crawl.Get(u.String())
		req.Method = rapid.SampledFrom([]string{"", "POST", "PUT", "HEAD", "DELETE"}).Draw(t, "method")
		if body := rapid.SliceOf(rapid.Byte()).Draw(t, "body"); len(body) > 0 {
			req.Body = body
		}
		if req.Method != "" && rapid.Bool().Draw(t, "text") {
			req.Body = []byte(rapid.String().Draw(t, "text body") + "x")
		}
		header := http.Header{}
		for range rapid.IntRange(0, 4).Draw(t, "headers") {
			k := rapid.SampledFrom([]string{"Accept", "Cookie", "Content-Type", "User-Agent", "X-A"}).Draw(t, "name")
			header.Add(k, strings.TrimSpace(rapid.StringMatching(`[ -~é]{0,12}`).Draw(t, "value")))
		}
		if len(header) > 0 {
			req.Header = header
		}
		if rapid.Bool().Draw(t, "knobs") {
			req.Knobs = &crawl.Knobs{
				HTTPUser: rapid.StringMatching(`[a-z' ]{1,5}`).Draw(t, "user"), HTTPPassword: rapid.String().Draw(t, "password"),
				Proxy:   rapid.SampledFrom([]string{"", "direct", "socks5://user:p@host:1"}).Draw(t, "proxy"),
				Timeout: time.Duration(rapid.IntRange(0, 100_000).Draw(t, "timeout")) * time.Millisecond, MaxSize: int64(rapid.IntRange(0, 1<<30).Draw(t, "size")),
			}
		}
		command, err := req.Curl()
		require.NoError(t, err)
		back, err := crawl.FromCurl(command)
		require.NoError(t, err, command)
		require.Equal(t, req, back, command)
	})
	_, err := crawl.Get("nowhere").Curl()
	require.Error(t, err)
}

// Bash itself reads the words as FromCurl does, for all that a word can hold.
func TestCurlIsReadByBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	body := "it's $HOME `id` \\ \" ! \n\r\t\x01\x7f\xff é 😀 \\x41"
	req := crawl.Get("https://example.com/a'b?c=$d&e={f}")
	req.Body, req.Method = []byte(body), "POST"
	command, err := req.Curl()
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), bash, "-c", "curl() { printf '%s\\0' \"$@\"; }; "+command).Output()
	require.NoError(t, err)
	words := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	require.Contains(t, words, body)
	require.Contains(t, words, req.URL.String())
}

func FuzzFromCurl(f *testing.F) {
	f.Add("curl 'https://example.com/' -H \"A: b\" --data-raw $'\\x41\\u00e9' -F 'a=\"b\\' -b")
	f.Add("curl ^\"https://example.com/^\" ^\r\n -d ^\\^\"\" \"a\"\"b\" \\\\\" ")
	f.Fuzz(func(t *testing.T, command string) {
		req, err := crawl.FromCurl(command)
		if (req == nil) == (err == nil) {
			t.Fatalf("a request or an error: %v, %v", req, err)
		}
	})
}

// A request copied from a browser's developer tools.
func ExampleFromCurl() {
	req, err := crawl.FromCurl(`curl 'https://example.com/api/lamps' -H 'x-requested-with: XMLHttpRequest' -b 'session=f00' --data-raw $'{"page":2,"q":"lamp\u0021"}' --compressed`)
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Route = "lamps"
	fmt.Println(req, string(req.Body))
	fmt.Println(req.Curl())

	_, err = crawl.FromCurl("curl -k https://example.com/")
	fmt.Println(err)
	// Output:
	// <POST https://example.com/api/lamps> {"page":2,"q":"lamp!"}
	// curl https://example.com/api/lamps -H 'Content-Type: application/x-www-form-urlencoded' -H 'Cookie: session=f00' -H 'X-Requested-With: XMLHttpRequest' --data-raw '{"page":2,"q":"lamp!"}' --compressed <nil>
	// curl command: option -k has no counterpart in a request: certificates are checked for all of a crawl, or for none: set download.insecure_tls
}
