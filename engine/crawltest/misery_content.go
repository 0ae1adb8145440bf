package crawltest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// bombSize is what the bombs become.
const bombSize = 16 << 20

// packed is what is written by write, encoded.
func packed(encoding string, write func(io.Writer)) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w, _ = gzip.NewWriterLevel(&b, gzip.BestSpeed) // there is such a level
	case "br":
		w = brotli.NewWriterLevel(&b, 4)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1)) // its options are good
	}
	write(w)
	_ = w.Close() // to a buffer
	return b.Bytes()
}

func packedPage(encoding string) []byte {
	return packed(encoding, func(w io.Writer) { fmt.Fprint(w, page, strings.Repeat("<p>And so on.", 100)) })
}

// zeros is a bomb.
func zeros(w io.Writer) {
	chunk := make([]byte, 1<<20)
	for range bombSize / len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// illEncodings are about Content-Encoding.
func illEncodings() []ill {
	sends := func(name, does, encoding string, body func() []byte) ill {
		return ill{name: name, does: does, answer: func(v *visit) {
			b := body()
			v.w.Header().Set("Content-Type", "text/html")
			v.w.Header().Set("Content-Encoding", encoding)
			v.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = v.w.Write(b)
		}}
	}
	plain := func() []byte { return []byte(page) }
	cut := func(encoding string) func() []byte {
		return func() []byte { b := packedPage(encoding); return b[:len(b)/2] }
	}
	broken := func(encoding string) func() []byte {
		return func() []byte {
			b := packedPage(encoding)
			for i := len(b) / 2; i < len(b)/2+20; i++ {
				b[i] ^= 0xff
			}
			return b
		}
	}
	bomb := func(encoding string) func() []byte { return func() []byte { return packed(encoding, zeros) } }
	again := func(encoding string, body func() []byte) func() []byte {
		return func() []byte { b := body(); return packed(encoding, func(w io.Writer) { _, _ = w.Write(b) }) }
	}
	nested := plain
	for range 10 {
		nested = again("gzip", nested)
	}
	var all []ill
	for _, e := range []string{"gzip", "br", "zstd"} {
		all = append(all,
			sends(e+"-plain", "Says that the body is "+e+", and it is not.", e, plain),
			sends(e+"-broken", "Sends a body whose "+e+" is broken in the middle.", e, broken(e)),
			sends(e+"-cut", "Sends half of a body in "+e+", as if it were the whole.", e, cut(e)),
			sends(e+"-bomb", "Sends 16 MiB of zeros in "+e+".", e, bomb(e)),
		)
	}
	return append(all,
		sends("gzip-empty", "Says that an empty body is gzip.", "gzip", func() []byte { return nil }),
		sends("gzip-tail", "Sends gzip and some bytes behind it.", "gzip", func() []byte { return append(packedPage("gzip"), "tail"...) }),
		sends("gzip-twice", "Sends a page in gzip in gzip, and says so.", "gzip, gzip", again("gzip", func() []byte { return packedPage("gzip") })),
		sends("gzip-ten-times", "Sends a page in gzip, ten times over.", strings.TrimSuffix(strings.Repeat("gzip, ", 10), ", "), nested),
		sends("gzip-bomb-twice", "Sends 16 MiB of zeros in gzip in gzip.", "gzip, gzip", again("gzip", bomb("gzip"))),
		sends("encoding-unknown", "Names an encoding that nobody knows.", "utf-8", plain),
	)
}

// illRedirects are about where a page leads to without being asked.
func illRedirects() []ill {
	to := func(location string) func(*visit) {
		return func(v *visit) {
			v.w.Header()["Location"] = []string{location}
			v.w.WriteHeader(http.StatusFound)
		}
	}
	leads := func(name, does, location string) ill { return ill{name: name, does: does, answer: to(location)} }
	return []ill{
		leads("redirect-loop", "Redirects to itself.", "/"),
		{name: "redirect-two", does: "Redirects to and fro between two addresses.", answer: func(v *visit) {
			if v.r.URL.Path == "/" {
				to("/other")(v)
			} else {
				to("/")(v)
			}
		}},
		{name: "redirect-chain", does: "Redirects to a new address every time.", answer: func(v *visit) { to("/" + strconv.Itoa(v.number))(v) }},
		leads("redirect-file", "Redirects to a file of the crawler's machine.", "file:///etc/passwd"),
		leads("redirect-data", "Redirects to a data: URL.", "data:text/html,<h1>Evil</h1>"),
		leads("redirect-javascript", "Redirects to a script.", "javascript:alert(1)"),
		leads("redirect-ftp", "Redirects to FTP.", "ftp://ftp.misery.test/"),
		leads("redirect-private", "Redirects to an address of the crawler's own network.", "http://127.0.0.1/admin"),
		{name: "redirect-cookie", does: "Sets a cookie and redirects to another host.", answer: func(v *visit) {
			v.w.Header().Set("Set-Cookie", "secret=1; Path=/")
			to("http://elsewhere.test/")(v)
		}},
		leads("redirect-crlf", "Redirects to an address with an escaped line break.", "/%0d%0aSet-Cookie:%20evil=1"),
		{name: "redirect-lf", does: "Redirects to an address with a line break.", answer: says("HTTP/1.1 302 Found\r\nLocation: /a\nb: c\r\nContent-Length: 0\r\n\r\n")},
		{name: "redirect-none", does: "Redirects to nowhere.", answer: func(v *visit) { v.w.WriteHeader(http.StatusFound) }},
		leads("redirect-malformed", "Redirects to what is no address.", "http://[::1"),
		leads("redirect-no-host", "Redirects to an address without a host.", "http:///path"),
		leads("redirect-huge", "Redirects to an address of 100 kB.", "/"+strings.Repeat("x", 100_000)),
		{name: "redirect-two-locations", does: "Redirects to two addresses at once.", answer: func(v *visit) {
			if v.r.URL.Path != "/" {
				good(v)
				return
			}
			v.w.Header()["Location"] = []string{"/first", "/second"}
			v.w.WriteHeader(http.StatusFound)
		}},
		{name: "refresh-loop", does: "Has a meta refresh to itself.", answer: func(v *visit) {
			v.page("text/html", `<html><head><meta http-equiv="refresh" content="0; url=/"></head><h1>Well</h1></html>`)
		}},
		{name: "refresh-chain", does: "Has a meta refresh to a new address every time.", answer: func(v *visit) {
			v.page("text/html", fmt.Sprintf(`<html><head><meta http-equiv="refresh" content="0; url=/%d"></head><h1>Well</h1></html>`, v.number))
		}},
		{name: "refresh-javascript", does: "Has a meta refresh to a script.", answer: func(v *visit) {
			v.page("text/html", `<html><head><meta http-equiv="refresh" content="0; url=javascript:alert(1)"></head><h1>Well</h1></html>`)
		}},
	}
}

// illRetries are about answers that ask for patience. All but two heal at the second request.
func illRetries() []ill {
	waits := func(name, does string, status int, after func() string) ill {
		return ill{name: name, does: does, answer: func(v *visit) {
			if v.number > 1 {
				good(v)
				return
			}
			if after != nil {
				v.w.Header().Set("Retry-After", after())
			}
			v.w.WriteHeader(status)
		}}
	}
	says := func(text string) func() string { return func() string { return text } }
	return []ill{
		waits("retry-seconds", "429, with Retry-After of 30 seconds; then all is well.", 429, says("30")),
		waits("retry-date", "429, with Retry-After of a date 30 seconds ahead; then all is well.", 429, func() string {
			return time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
		}),
		waits("retry-past", "429, with Retry-After of a date that is over; then all is well.", 429, says("Mon, 01 Jan 1990 00:00:00 GMT")),
		waits("retry-nonsense", "429, with Retry-After of nonsense; then all is well.", 429, says("soon")),
		waits("retry-negative", "429, with Retry-After of -30 seconds; then all is well.", 429, says("-30")),
		waits("retry-huge", "503, with Retry-After of more seconds than an int64 can count; then all is well.", 503, says("99999999999999999999")),
		waits("retry-heals", "503 without Retry-After; then all is well.", 503, nil),
		{name: "retry-never", does: "503, for ever.", answer: func(v *visit) { v.w.WriteHeader(http.StatusServiceUnavailable) }},
		{name: "retry-500", does: "500, for ever.", answer: func(v *visit) { v.w.WriteHeader(http.StatusInternalServerError) }},
	}
}

// illCookies are about Set-Cookie. Every page links to /next.
func illCookies() []ill {
	sets := func(name, does string, lines ...string) ill {
		return ill{name: name, does: does, answer: func(v *visit) {
			if v.r.URL.Path == "/" {
				v.w.Header()["Set-Cookie"] = lines
			}
			v.page("text/html", page+`<a href="/next">Next</a>`)
		}}
	}
	many := make([]string, 900)
	for i := range many {
		many[i] = "c" + strconv.Itoa(i) + "=1"
	}
	return []ill{
		sets("cookie-other-domain", "Sets a cookie for another domain.", "evil=1; Domain=elsewhere.test"),
		sets("cookie-public-suffix", "Sets a cookie for a whole top level domain.", "evil=1; Domain=test", "evil=2; Domain=co.uk"),
		sets("cookie-huge", "Sets a cookie of 100 kB.", "huge="+strings.Repeat("x", 100_000)),
		sets("cookie-many", "Sets 900 cookies.", many...),
		{name: "cookie-control", does: "Sets cookies with control characters.", answer: func(v *visit) {
			if v.r.URL.Path != "/" {
				good(v)
				return
			}
			body := page + `<a href="/next">Next</a>`
			says(ok200 + "Set-Cookie: a=1\x01; Path=/\r\nSet-Cookie: b\x7f=1\r\nSet-Cookie: c=\t1\r\nSet-Cookie: good=1\r\nContent-Length: " +
				strconv.Itoa(len(body)) + "\r\n\r\n" + body)(v)
		}},
		sets("cookie-malformed", "Sets cookies that are none.", "", "=", ";", "=1", "x", "; Path=/", "good=1"),
	}
}

// illPages are about what is in a page.
func illPages() []ill {
	shows := func(name, does, contentType string, body func() string) ill {
		return ill{name: name, does: does, answer: func(v *visit) { v.page(contentType, body()) }}
	}
	const html = "text/html; charset=utf-8"
	return []ill{
		shows("page-empty", "Shows nothing.", html, func() string { return "" }),
		shows("page-line", "Shows one line of 50 MB.", html, func() string { return page + "<p>" + strings.Repeat("word ", 10_000_000) }),
		shows("page-nested", "Shows a page in which 100,000 elements are nested, a link in them all.", html, func() string {
			return strings.Repeat("<div>", 100_000) + `<a href="/next">Next</a>` + strings.Repeat("</div>", 100_000) + "<h1>Well</h1>"
		}),
		shows("page-attributes", "Shows an element with 100,000 attributes.", html, func() string {
			var b strings.Builder
			b.WriteString("<h1")
			for i := range 100_000 {
				fmt.Fprintf(&b, " a%d=1", i)
			}
			b.WriteString(">Well</h1>")
			return b.String()
		}),
		shows("page-utf16", "Shows a page in UTF-16 and calls it UTF-8.", html, func() string { return inUTF16(page) }),
		shows("page-not-utf16", "Shows a page in UTF-8 whose meta element calls it UTF-16.", "text/html", func() string {
			return strings.Replace(page, "<head>", `<head><meta charset="utf-16">`, 1)
		}),
		shows("page-unknown-charset", "Shows a page in a charset that nobody knows.", "text/html; charset=klingon", func() string { return page }),
		shows("page-nul", "Shows a page with NULs in its text.", html, func() string { return strings.ReplaceAll(page, "</h1>", "</h1>\x00\x00<p>a\x00b") }),
		shows("page-binary", "Shows a picture and calls it a page.", html, func() string { return "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00" }),
		shows("page-bad-type", "Shows a page with a Content-Type that is none.", ";;;=/", func() string { return page }),
		{name: "trap-calendar", does: "Links every day to the next one, for ever.", answer: func(v *visit) {
			day, _ := strconv.Atoi(strings.TrimPrefix(v.r.URL.Path, "/day/"))
			v.page(html, fmt.Sprintf(`<html><h1>Day %d</h1><a href="/day/%d">Tomorrow</a></html>`, day, day+1))
		}},
		{name: "trap-path", does: "Links every page to a longer address, for ever.", answer: func(v *visit) {
			v.page(html, `<html><h1>Well</h1><a href="`+strings.Repeat("deeper/", 30)+`">On</a></html>`)
		}},
	}
}

// inUTF16 is text in UTF-16, little endian, with a byte order mark.
func inUTF16(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// illRobots are about robots.txt. The page behind it is a good one.
func illRobots() []ill {
	file := func(name, does string, answer func(v *visit)) ill {
		return ill{name: name, does: does, robots: true, answer: func(v *visit) {
			if !strings.HasSuffix(v.r.URL.Path, "robots.txt") {
				good(v)
				return
			}
			answer(v)
		}}
	}
	status := func(code int) func(*visit) { return func(v *visit) { v.w.WriteHeader(code) } }
	moved := func(location string) func(*visit) {
		return func(v *visit) { http.Redirect(v.w, v.r, location, http.StatusMovedPermanently) }
	}
	return []ill{
		file("robots-html", "Has a page for a robots.txt.", good),
		file("robots-binary", "Has a robots.txt of random bytes and one rule that forbids all.", func(v *visit) {
			v.page("application/octet-stream", "\x00\xff\xfe\x80\r\nUser-agent: *\r\nDisallow: /\r\n\x00")
		}),
		file("robots-huge", "Has a robots.txt of 2 MB, whose rule that forbids all stands at its end.", func(v *visit) {
			v.page("text/plain", "User-agent: *\n"+strings.Repeat("Allow: /some/where/else\n", 100_000)+"Disallow: /\n")
		}),
		file("robots-bomb", "Has a robots.txt of 16 MiB in gzip.", func(v *visit) {
			v.w.Header().Set("Content-Encoding", "gzip")
			_, _ = v.w.Write(packed("gzip", zeros))
		}),
		file("robots-401", "Lets nobody read its robots.txt.", status(http.StatusUnauthorized)),
		file("robots-500", "Fails at its robots.txt.", status(http.StatusInternalServerError)),
		file("robots-forbids", "Forbids all.", func(v *visit) { v.page("text/plain", "User-agent: *\nDisallow: /\n") }),
		file("robots-redirect", "Redirects robots.txt to that of a host which forbids all.", moved("http://robots-forbids"+miseryDomain+"/robots.txt")),
		file("robots-loop", "Redirects robots.txt to itself.", moved("/robots.txt")),
		file("robots-silent", "Never answers for its robots.txt.", func(v *visit) { <-v.r.Context().Done() }),
		file("robots-endless", "Sends a robots.txt that never ends, a line a second.", repeats("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", "Disallow: /no\n", time.Second)),
		file("robots-close", "Closes the connection when robots.txt is asked for.", says("")),
		file("robots-delay", "Asks for a year between two requests.", func(v *visit) { v.page("text/plain", "User-agent: *\nCrawl-delay: 31536000\n") }),
	}
}
