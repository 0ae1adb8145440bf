package downloader_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/downloader"
)

// noise is a body of which no two places look alike.
func noise(size int, version byte) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{version}).Read(b)
	return b
}

// breaking is a Settings change for bodies that are small and yet go to files.
func breaking(s *crawl.Settings) { s.Download.SpoolOver = 1000 }

// A breaker is a server whose answers are a test's: one function for each request, in their order, the last of them for all others too.
type breaker struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []http.Header
	answer []http.HandlerFunc
}

func newBreaker(t testing.TB, start func(*httptest.Server), answers ...http.HandlerFunc) *breaker {
	b := &breaker{answer: answers}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		n := len(b.asked)
		b.asked = append(b.asked, r.Header.Clone())
		b.mu.Unlock()
		b.answer[min(n, len(b.answer)-1)](w, r)
	}))
	start(b.Server)
	t.Cleanup(b.Close)
	return b
}

// ranges are the Range headers of the requests, "" where there was none.
func (b *breaker) ranges() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, h := range b.asked {
		all = append(all, h.Get("Range"))
	}
	return all
}

// plainHTTP and overHTTP2 start a server.
func plainHTTP(s *httptest.Server) { s.Start() }

func overHTTP2(s *httptest.Server) {
	s.EnableHTTP2 = true
	s.StartTLS()
}

// A cutter hangs up when so many bytes of a body have been written.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left <= 0 || err != nil {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// serves is an honest server's answer, cut after some bytes of its body if cut is not negative. header is alternating names and values.
func serves(body []byte, cut int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		set(w, header)
		if cut >= 0 {
			w = &cutter{w, cut}
		}
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(body))
	}
}

func set(w http.ResponseWriter, header []string) {
	for i := 0; i+1 < len(header); i += 2 {
		w.Header()[header[i]] = []string{header[i+1]}
	}
}

// says206 answers with a 206 that says what it likes.
func says206(body []byte, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		set(w, header)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body)
	}
}

// newResuming is a downloader with the folder in which its files are.
func newResuming(t testing.TB, change func(*crawl.Settings)) (*downloader.Downloader, *crawl.Env, func() []string) {
	t.Helper()
	env := newEnv(t, func(s *crawl.Settings) {
		breaking(s)
		s.Download.InsecureTLS = true
		if change != nil {
			change(s)
		}
	})
	env.Spool.Hash, env.Spool.NewHash = "md5", md5.New
	d, err := downloader.New(env)
	require.NoError(t, err)
	files := func() []string {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(env.Spool.Dir, "*", "*"))
		require.NoError(t, err)
		return all
	}
	t.Cleanup(func() {
		require.NoError(t, d.Close())
		require.Empty(t, files(), "left after Close")
	})
	return d, env, files
}

// requireWhole checks a response that must be the whole body, hash included.
func requireWhole(t testing.TB, want []byte, resp *crawl.Response) {
	t.Helper()
	require.Equal(t, 200, resp.Status)
	got, err := resp.Body.Bytes()
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "another body: %d bytes", len(got))
	sum := md5.Sum(want)
	digest, ok := resp.Body.Sum("md5")
	require.True(t, ok)
	require.Equal(t, hex.EncodeToString(sum[:]), digest)
}

const tag = `"v1"`

// D18: two cuts, and the third attempt brings the rest.
func TestBrokenTransfersGoOn(t *testing.T) {
	t.Parallel()
	body := noise(100_000, 1)
	for name, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "http/2": overHTTP2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			head := []string{"Etag", tag, "Content-Type", "application/x", "X-First", "1"}
			b := newBreaker(t, start, serves(body, 30_000, head...), serves(body, 20_000, "Etag", tag, "Content-Type", "application/x", "X-Second", "2"),
				serves(body, -1, "Etag", tag, "Content-Type", "application/x", "X-Third", "3"))
			d, env, files := newResuming(t, nil)
			for range 2 {
				_, err := fetch(t, d, crawl.Get(b.URL+"/x"))
				require.False(t, requireKind(t, crawl.KindTruncated, err).Progress, "too little for that")
				require.Len(t, files(), 1)
			}
			kept := files()
			resp, err := fetch(t, d, crawl.Get(b.URL+"/x"))
			require.NoError(t, err)
			requireWhole(t, body, resp)
			require.Equal(t, []string{"", "bytes=30000-", "bytes=50000-"}, b.ranges())
			require.Equal(t, tag, b.asked[2].Get("If-Range"))
			require.Equal(t, kept, []string{resp.Body.Path()}, "one file from the beginning to the end")
			require.True(t, resp.Has("resumed"))
			require.EqualValues(t, 1, env.Stats.Int("downloader/resumed_count"))
			// RFC 9110, 15.3.7.3.
			require.Equal(t, "100000", resp.Header.Get("Content-Length"))
			require.Equal(t, "1", resp.Header.Get("X-First"))
			require.Equal(t, "3", resp.Header.Get("X-Third"))
			require.NotContains(t, resp.Header, "Content-Range")

			resp, err = fetch(t, d, crawl.Get(b.URL+"/x"))
			require.NoError(t, err)
			require.False(t, resp.Has("resumed"), "what was finished is over")
			require.Empty(t, b.ranges()[3])
		})
	}
}

// What may be continued, and by what.
func TestWhatIsKept(t *testing.T) {
	t.Parallel()
	body := noise(50_000, 1)
	const old, young = "Mon, 02 Jan 2006 15:04:05 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"
	post := func(r *crawl.Request) { r.Method = http.MethodPost }
	tests := map[string]struct {
		header  []string
		first   func(*crawl.Request)
		second  func(*crawl.Request)
		set     func(*crawl.Settings)
		ifRange string // "": nothing is asked for but the whole
	}{
		"a strong tag":                {header: []string{"Etag", tag}, ifRange: tag},
		"a weak tag":                  {header: []string{"Etag", `W/"v1"`}},
		"a weak tag and a date":       {header: []string{"Etag", `W/"v1"`, "Last-Modified", old}},
		"a tag without quotes":        {header: []string{"Etag", "v1"}},
		"an empty tag":                {header: []string{"Etag", `""`}},
		"a date":                      {header: []string{"Last-Modified", old}, ifRange: old},
		"a tag and a date":            {header: []string{"Etag", tag, "Last-Modified", old}, ifRange: tag},
		"a date of just now":          {header: []string{"Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT", "Date", "Sat, 01 Jan 2000 00:00:59 GMT"}},
		"a date of a minute ago":      {header: []string{"Last-Modified", young, "Date", "Sat, 01 Jan 2000 00:01:00 GMT"}, ifRange: young},
		"a date that is none":         {header: []string{"Last-Modified", "yesterday"}},
		"nothing":                     {},
		"no ranges":                   {header: []string{"Etag", tag, "Accept-Ranges", "None"}},
		"it varies":                   {header: []string{"Etag", tag, "Vary", "*"}},
		"its own range":               {header: []string{"Etag", tag}, first: header("Range", "bytes=0-"), second: header("Range", "bytes=0-")},
		"its own range, before":       {header: []string{"Etag", tag}, first: header("Range", "bytes=0-")},
		"a range in lower case":       {header: []string{"Etag", tag}, second: func(r *crawl.Request) { r.Header = http.Header{"range": {"bytes=0-"}} }},
		"POST":                        {header: []string{"Etag", tag}, first: post, second: post},
		"another encoding is asked":   {header: []string{"Etag", tag}, first: header("Accept-Encoding", "gzip")},
		"another language, no Vary":   {header: []string{"Etag", tag}, second: header("Accept-Language", "de"), ifRange: tag},
		"another language, by Vary":   {header: []string{"Etag", tag, "Vary", "Accept, accept-language"}, second: header("Accept-Language", "de")},
		"the same language, by Vary":  {header: []string{"Etag", tag, "Vary", "accept-language"}, first: header("Accept-Language", "de"), second: header("Accept-Language", "de"), ifRange: tag},
		"retries are off":             {header: []string{"Etag", tag}, set: func(s *crawl.Settings) { s.Retry.Times = -1 }},
		"it was retried often enough": {header: []string{"Etag", tag}, first: func(r *crawl.Request) { r.Retries = 2 }},
		"dont_retry":                  {header: []string{"Etag", tag}, first: func(r *crawl.Request) { r.Knobs = &crawl.Knobs{DontRetry: true} }},
		"retry_times":                 {header: []string{"Etag", tag}, first: func(r *crawl.Request) { r.Retries, r.Knobs = 2, &crawl.Knobs{RetryTimes: 3} }, ifRange: tag},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := func(w http.ResponseWriter, r *http.Request) { // ServeContent would look at the method and the headers
				set(w, test.header)
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				if r.Header.Get("Expect-Cut") != "" {
					w = &cutter{w, 20_000}
				}
				_, _ = w.Write(body)
			}
			b := newBreaker(t, plainHTTP, whole)
			d, _, files := newResuming(t, test.set)
			ask := func(change func(*crawl.Request), with ...func(*crawl.Request)) error {
				req := crawl.Get(b.URL + "/x")
				if change != nil {
					change(req)
				}
				for _, w := range with {
					w(req)
				}
				_, err := fetch(t, d, req)
				return err
			}
			requireKind(t, crawl.KindTruncated, ask(test.first, header("Expect-Cut", "1")))
			// The server is one that does not know ranges.
			require.NoError(t, ask(test.second))
			b.mu.Lock()
			defer b.mu.Unlock()
			require.Equal(t, test.ifRange, b.asked[1].Get("If-Range"))
			if test.ifRange != "" {
				require.Equal(t, "bytes=20000-", b.asked[1].Get("Range"))
				require.Len(t, files(), 1, "of the response: the part is gone")
			}
		})
	}
}

func header(name, value string) func(*crawl.Request) {
	return func(r *crawl.Request) {
		if r.Header == nil {
			r.Header = make(http.Header)
		}
		r.Header.Set(name, value)
	}
}

// Answers that are not the rest of what was begun: the request goes back to the queue, and is asked for anew, once.
func TestAnswersThatAreNotTheRest(t *testing.T) {
	t.Parallel()
	body, other := noise(50_000, 1), noise(50_000, 2)
	rest := body[20_000:]
	const date, later = "Mon, 02 Jan 2006 15:04:05 GMT", "Tue, 03 Jan 2006 15:04:05 GMT"
	const fits = "bytes 20000-49999/50000"
	tests := map[string]struct {
		first  []string // the headers of the first answer, if not a tag
		answer http.HandlerFunc
	}{
		"from the beginning": {nil, says206(body, "Etag", tag, "Content-Range", "bytes 0-49999/50000")},
		"from somewhere":     {nil, says206(body[20_001:], "Etag", tag, "Content-Range", "bytes 20001-49999/50000")},
		"not to the end":     {nil, says206(rest[:10_000], "Etag", tag, "Content-Range", "bytes 20000-29999/50000")},
		"another size":       {nil, says206(rest, "Etag", tag, "Content-Range", "bytes 20000-49999/60000")},
		"larger":             {nil, says206(other, "Etag", tag, "Content-Range", "bytes 20000-69999/70000")},
		"no size":            {nil, says206(rest, "Etag", tag, "Content-Range", "bytes 20000-49999/*")},
		"no range":           {nil, says206(rest, "Etag", tag)},
		"two ranges": {nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Range"] = []string{fits, "bytes 0-1/50000"}
			says206(rest, "Etag", tag)(w, r)
		}},
		"a malformed range":              {nil, says206(rest, "Etag", tag, "Content-Range", "bytes 20000-49999")},
		"a negative range":               {nil, says206(rest, "Etag", tag, "Content-Range", "bytes -20000-49999/50000")},
		"another unit":                   {nil, says206(rest, "Etag", tag, "Content-Range", "pages 20000-49999/50000")},
		"shorter than its range":         {nil, says206(rest[:100], "Etag", tag, "Content-Length", "100", "Content-Range", fits)},
		"many parts":                     {nil, says206(rest, "Etag", tag, "Content-Range", fits, "Content-Type", "Multipart/Byteranges; boundary=x")},
		"another tag":                    {nil, says206(other[20_000:], "Etag", `"v2"`, "Content-Range", fits)},
		"the tag is weak now":            {nil, says206(rest, "Etag", `W/"v1"`, "Content-Range", fits)},
		"no tag":                         {nil, says206(other[20_000:], "Content-Range", fits)},
		"compressed":                     {nil, says206(rest, "Etag", tag, "Content-Encoding", "gzip", "Content-Range", fits)},
		"another date":                   {[]string{"Last-Modified", date}, says206(other[20_000:], "Last-Modified", later, "Content-Range", fits)},
		"no date":                        {[]string{"Last-Modified", date}, says206(other[20_000:], "Content-Range", fits)},
		"the same tag, but another date": {[]string{"Etag", tag, "Last-Modified", date}, says206(other[20_000:], "Etag", tag, "Last-Modified", later, "Content-Range", fits)},
		"a tag out of the blue":          {[]string{"Last-Modified", date}, says206(other[20_000:], "Etag", tag, "Last-Modified", date, "Content-Range", fits)},
		"not satisfiable":                {nil, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := test.first
			if first == nil {
				first = []string{"Etag", tag}
			}
			b := newBreaker(t, plainHTTP, serves(body, 20_000, first...), test.answer, serves(other, -1, "Etag", `"v2"`))
			d, env, files := newResuming(t, nil)
			_, err := fetch(t, d, crawl.Get(b.URL+"/x"))
			requireKind(t, crawl.KindTruncated, err)
			_, err = fetch(t, d, crawl.Get(b.URL+"/x"))
			var again *crawl.RescheduleError
			require.ErrorAs(t, err, &again, "the host's delay lies between two requests")
			require.Empty(t, files())
			resp, err := fetch(t, d, again.Request)
			require.NoError(t, err)
			requireWhole(t, other, resp)
			require.False(t, resp.Has("resumed"))
			require.Equal(t, []string{"", "bytes=20000-", ""}, b.ranges())
			require.Equal(t, []string{resp.Body.Path()}, files())
			require.Zero(t, env.Stats.Int("downloader/resumed_count"))
		})
	}
}

// Answers to the request for the rest that end it, one way or another.
func TestAnswersInstead(t *testing.T) {
	t.Parallel()
	body, other := noise(50_000, 1), noise(60_000, 2)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
	}
	hangUp := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	tests := map[string]struct {
		answer http.HandlerFunc
		then   string // the Range of the request after it
	}{
		"the whole":             {serves(other, -1, "Etag", `"v2"`), ""},
		"the whole, cut":        {serves(other, 10_000, "Etag", `"v2"`), "bytes=10000-"},
		"it is gone":            {status(http.StatusNotFound), ""},
		"it has moved":          {status(http.StatusFound), ""},
		"not now":               {status(http.StatusServiceUnavailable), "bytes=20000-"},
		"too many requests":     {status(http.StatusTooManyRequests), "bytes=20000-"},
		"nothing":               {hangUp, "bytes=20000-"},
		"the rest, cut":         {serves(body, 1, "Etag", tag), "bytes=20001-"},
		"the rest, cut at once": {says206(nil, "Etag", tag, "Content-Length", "30000", "Content-Range", "bytes 20000-49999/50000"), "bytes=20000-"},
		"the rest, and more":    {endless("Etag", tag, "Content-Range", "bytes 20000-49999/50000"), ""},
		"not modified":          {status(http.StatusNotModified), ""},
		"another protocol":      {switches, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBreaker(t, plainHTTP, serves(body, 20_000, "Etag", tag), test.answer, serves(other, -1, "Etag", `"v2"`))
			d, _, _ := newResuming(t, nil)
			_, err := fetch(t, d, crawl.Get(b.URL+"/x"))
			requireKind(t, crawl.KindTruncated, err)
			if resp, err := d.Fetch(t.Context(), crawl.Get(b.URL+"/x")); err == nil {
				require.NotEqual(t, http.StatusSwitchingProtocols, resp.Status)
				require.False(t, resp.Has("resumed"))
				require.NoError(t, resp.Close())
			}
			resp, err := fetch(t, d, crawl.Get(b.URL+"/x"))
			require.NoError(t, err)
			requireWhole(t, other, resp)
			ranges := b.ranges()
			require.Equal(t, "bytes=20000-", ranges[1])
			require.Equal(t, test.then, ranges[2])
		})
	}
}

// switches answers with a 101.
func switches(w http.ResponseWriter, _ *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"))
		_ = c.Close()
	}
}

// endless answers with a 206 without a length, whose body is longer than any range.
func endless(header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		set(w, header)
		w.WriteHeader(http.StatusPartialContent)
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(make([]byte, 30_001))
	}
}

// A body of unknown length that broke off after its last byte: its rest is nothing, which can't be asked for.
func TestCutAtTheVeryEnd(t *testing.T) {
	t.Parallel()
	body := noise(50_000, 1)
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		set(w, []string{"Etag", tag})
		_, _ = (&cutter{w, len(body)}).Write(body)
	}
	b := newBreaker(t, plainHTTP, chunked, serves(body, -1, "Etag", tag))
	d, _, _ := newResuming(t, nil)
	_, err := fetch(t, d, crawl.Get(b.URL+"/x"))
	requireKind(t, crawl.KindTruncated, err)
	_, err = fetch(t, d, crawl.Get(b.URL+"/x"))
	var again *crawl.RescheduleError
	require.ErrorAs(t, err, &again)
	resp, err := fetch(t, d, again.Request)
	require.NoError(t, err)
	requireWhole(t, body, resp)
	require.Equal(t, []string{"", "bytes=50000-", ""}, b.ranges())
}

// A body of unknown length is continued too, when the server says how long it is.
func TestChunkedTransfersGoOn(t *testing.T) {
	t.Parallel()
	body := noise(50_000, 1)
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		set(w, []string{"Etag", tag})
		_, _ = (&cutter{w, 20_000}).Write(body)
	}
	b := newBreaker(t, plainHTTP, chunked, serves(body, -1, "Etag", tag))
	d, _, _ := newResuming(t, nil)
	_, err := fetch(t, d, crawl.Get(b.URL+"/x"))
	requireKind(t, crawl.KindTruncated, err)
	resp, err := fetch(t, d, crawl.Get(b.URL+"/x"))
	require.NoError(t, err)
	requireWhole(t, body, resp)
	require.Equal(t, []string{"", "bytes=20000-"}, b.ranges())
	require.Equal(t, "50000", resp.Header.Get("Content-Length"))
}

// Progress is what a continued attempt makes that brings 1 MiB and a hundredth of the whole.
func TestProgress(t *testing.T) {
	t.Parallel()
	body := noise(4<<20, 1)
	const mib = 1 << 20
	b := newBreaker(t, plainHTTP, serves(body, mib, "Etag", tag), serves(body, mib-1, "Etag", tag), serves(body, mib, "Etag", tag),
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, serves(body, -1, "Etag", tag))
	d, _, files := newResuming(t, nil)
	req := crawl.Get(b.URL + "/x")
	_, err := fetch(t, d, req)
	require.False(t, requireKind(t, crawl.KindTruncated, err).Progress, "the first attempt has nothing to go on from")
	_, err = fetch(t, d, req)
	require.False(t, requireKind(t, crawl.KindTruncated, err).Progress)
	req.Retries = 2 // the last attempt that is counted
	_, err = fetch(t, d, req)
	require.True(t, requireKind(t, crawl.KindTruncated, err).Progress)
	require.Len(t, files(), 1)
	req.Retries = 1
	_, err = fetch(t, d, req)
	require.False(t, requireKind(t, crawl.KindConnection, err).Progress, "nothing came this time")
	resp, err := fetch(t, d, req)
	require.NoError(t, err)
	requireWhole(t, body, resp)

	// A hundredth of 200 MiB is more than 1 MiB. The server would have to send it all: it only says so.
	claims := func(status, from, size int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			set(w, []string{"Etag", tag, "Content-Length", strconv.Itoa(200*mib - from), "Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, 200*mib-1, 200*mib)})
			w.WriteHeader(status)
			_, _ = (&cutter{w, size}).Write(body)
		}
	}
	b = newBreaker(t, plainHTTP, claims(200, 0, mib), claims(206, mib, 2*mib-1), claims(206, 3*mib-1, 2*mib))
	req = crawl.Get(b.URL + "/x")
	for _, progress := range []bool{false, false, true} {
		_, err = fetch(t, d, req)
		require.Equal(t, progress, requireKind(t, crawl.KindTruncated, err).Progress)
	}
}

// A transfer that takes longer than Download.Timeout goes on from where it was.
func TestTimeoutsGoOn(t *testing.T) {
	t.Parallel()
	body := noise(50_000, 1)
	hangs := func(w http.ResponseWriter, r *http.Request) {
		set(w, []string{"Etag", tag, "Content-Length", "50000"})
		_, _ = w.Write(body[:20_000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	b := newBreaker(t, plainHTTP, hangs, serves(body, -1, "Etag", tag))
	d, _, _ := newResuming(t, nil)
	_, err := fetch(t, d, &crawl.Request{URL: mustParse(t, b.URL+"/x"), Knobs: &crawl.Knobs{Timeout: 300 * time.Millisecond}})
	requireKind(t, crawl.KindTimeout, err)
	resp, err := fetch(t, d, crawl.Get(b.URL+"/x"))
	require.NoError(t, err)
	requireWhole(t, body, resp)
	require.Equal(t, "bytes=20000-", b.ranges()[1])
}

// Who gives up has no use for what came.
func TestGivenUpTransfersAreNotKept(t *testing.T) {
	t.Parallel()
	hangs := func(w http.ResponseWriter, r *http.Request) {
		set(w, []string{"Etag", tag, "Content-Length", "50000"})
		_, _ = w.Write(make([]byte, 20_000))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	b := newBreaker(t, plainHTTP, hangs)
	d, _, files := newResuming(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := d.Fetch(ctx, crawl.Get(b.URL+"/x"))
		failed <- err
	}()
	require.Eventually(t, func() bool {
		all := files()
		if len(all) == 0 {
			return false
		}
		info, err := os.Stat(all[0])
		return err == nil && info.Size() == 20_000
	}, 10*time.Second, time.Millisecond)
	cancel()
	requireNoKind(t, <-failed)
	require.Empty(t, files())
}

// Download.MaxSize is for the whole, however many attempts it takes.
func TestMaxSizeOfContinuedBodies(t *testing.T) {
	t.Parallel()
	body := noise(50_000, 1)
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		set(w, []string{"Etag", tag})
		_, _ = (&cutter{w, 20_000}).Write(body)
	}
	b := newBreaker(t, plainHTTP, chunked, serves(body, -1, "Etag", tag))
	d, _, files := newResuming(t, func(s *crawl.Settings) { s.Download.MaxSize = 49_999 })
	_, err := fetch(t, d, crawl.Get(b.URL+"/x"))
	requireKind(t, crawl.KindTruncated, err)
	_, err = fetch(t, d, crawl.Get(b.URL+"/x"))
	requireKind(t, crawl.KindTooLarge, err)
	require.ErrorIs(t, err, crawl.ErrBodyTooLarge)
	require.Empty(t, files())
}

// Somebody cleans up the temporary folder.
func TestPartsThatAreGone(t *testing.T) {
	t.Parallel()
	body := noise(50_000, 1)
	for name, spoil := range map[string]func(path string) error{
		"removed": os.Remove,
		"shorter": func(path string) error { return os.Truncate(path, 7) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBreaker(t, plainHTTP, serves(body, 20_000, "Etag", tag), serves(body, -1, "Etag", tag))
			d, _, files := newResuming(t, nil)
			_, err := fetch(t, d, crawl.Get(b.URL+"/x"))
			requireKind(t, crawl.KindTruncated, err)
			require.NoError(t, spoil(files()[0]))
			resp, err := fetch(t, d, crawl.Get(b.URL+"/x"))
			require.NoError(t, err)
			requireWhole(t, body, resp)
			require.Equal(t, []string{"", ""}, b.ranges())
			require.Len(t, files(), 1)
		})
	}
}

// What is kept is bounded, in number and in bytes; the latest is kept whatever its size.
func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	body := noise(50_000, 1)
	b := newBreaker(t, plainHTTP, serves(body, 10_000, "Etag", tag))
	d, _, files := newResuming(t, nil)
	broken := func(name string) {
		_, err := fetch(t, d, crawl.Get(b.URL+"/"+name))
		requireKind(t, crawl.KindTruncated, err)
	}
	downloader.LimitParts(d, 3, 1<<40)
	for i := range 5 {
		broken(strconv.Itoa(i))
	}
	require.Len(t, files(), 3)
	broken("2") // one of 2, 3, 4
	broken("1") // in place of 3
	require.Equal(t, []string{"bytes=10000-", ""}, b.ranges()[5:])
	require.Len(t, files(), 3)
	downloader.LimitParts(d, 3, 35_000) // 4 has 10,000, 2 has 20,000, 1 has 10,000
	broken("a")
	require.Len(t, files(), 2)
	downloader.LimitParts(d, 3, 5)
	broken("b")
	require.Len(t, files(), 1)
	broken("b")
	require.Equal(t, "bytes=10000-", b.ranges()[9], "the latest is the one that stays")
}

// Two versions of one page that break off: the later one is kept.
func TestOnePartARequest(t *testing.T) {
	t.Parallel()
	b := newBreaker(t, plainHTTP, serves(noise(50_000, 1), 10_000, "Etag", tag, "Vary", "Accept-Language"))
	d, _, files := newResuming(t, nil)
	for _, language := range []string{"de", "en", "en"} {
		_, err := fetch(t, d, crawl.Get(b.URL+"/x", header("Accept-Language", language)))
		requireKind(t, crawl.KindTruncated, err)
		require.Len(t, files(), 1)
	}
	require.Equal(t, []string{"", "", "bytes=10000-"}, b.ranges())
}

// A body goes on for the very request that it broke off for: servers tell apart what the fingerprint does not, and nginx makes the ETags of files that were put there together
// of their time and size alone.
func TestPartsAreOfOneRequest(t *testing.T) {
	t.Parallel()
	key := crawl.Fingerprint{1}
	keyed := func(change func(*crawl.Request)) func(*crawl.Request) {
		return func(r *crawl.Request) {
			r.Key = key
			if change != nil {
				change(r)
			}
		}
	}
	for _, pair := range []struct {
		first, second        string
		atFirst, atTheSecond func(*crawl.Request)
	}{
		{first: "/f?a=1&b=2", second: "/f?b=2&a=1"},
		{first: "/f?x=1&x=2", second: "/f?x=2&x=1"},
		{first: "/f?q=a+b", second: "/f?q=a%20b"},
		{first: "/f", second: "/f", atTheSecond: func(r *crawl.Request) { r.URL.ForceQuery = true }},
		{first: "/f", second: "/f", atFirst: header("Host", "a.example"), atTheSecond: header("Host", "b.example")},
		{first: "/f", second: "/f", atTheSecond: header("Host", "b.example")},
		{first: "/f", second: "/g", atFirst: keyed(nil), atTheSecond: keyed(nil)},
		{first: "/f", second: "/f", atFirst: keyed(nil), atTheSecond: keyed(func(r *crawl.Request) { r.Method = http.MethodPost })},
		{first: "/f", second: "/f", atFirst: keyed(nil), atTheSecond: keyed(func(r *crawl.Request) { r.Body = []byte("x") })},
	} {
		b := newBreaker(t, plainHTTP, serves(noise(50_000, 1), 10_000, "Etag", tag), serves(noise(50_000, 2), -1, "Etag", tag))
		d, _, _ := newResuming(t, nil)
		first, second := crawl.Get(b.URL+pair.first), crawl.Get(b.URL+pair.second)
		for r, change := range map[*crawl.Request]func(*crawl.Request){first: pair.atFirst, second: pair.atTheSecond} {
			if change != nil {
				change(r)
			}
		}
		require.Equal(t, first.Fingerprint(), second.Fingerprint(), "%+v", pair)
		_, err := fetch(t, d, first)
		requireKind(t, crawl.KindTruncated, err)
		resp, err := fetch(t, d, second)
		require.NoError(t, err, "%+v", pair)
		require.Equal(t, []string{"", ""}, b.ranges(), "%+v", pair)
		requireWhole(t, noise(50_000, 2), resp)
	}
	// A fragment is not sent.
	b := newBreaker(t, plainHTTP, serves(noise(50_000, 1), 10_000, "Etag", tag), serves(noise(50_000, 1), -1, "Etag", tag))
	d, _, _ := newResuming(t, nil)
	_, err := fetch(t, d, crawl.Get(b.URL+"/f#a"))
	requireKind(t, crawl.KindTruncated, err)
	resp, err := fetch(t, d, crawl.Get(b.URL+"/f#b"))
	require.NoError(t, err)
	requireWhole(t, noise(50_000, 1), resp)
	require.Equal(t, []string{"", "bytes=10000-"}, b.ranges())
}

// A part is for who has asked: nobody gets the beginning of what was another's. A cookie that a jar has learned meanwhile makes no other user.
func TestPartsAreOfOneUser(t *testing.T) {
	t.Parallel()
	jar := func(name string) func(*crawl.Request) {
		return func(r *crawl.Request) { r.Knobs = &crawl.Knobs{CookieJar: name} }
	}
	own := func(value string) func(*crawl.Request) {
		return func(r *crawl.Request) {
			header("Cookie", value)(r)
			r.Knobs = &crawl.Knobs{DontMergeCookies: true}
		}
	}
	same := func(*crawl.Request) {}
	for name, c := range map[string]struct {
		first, second func(*crawl.Request)
		mine, theirs  []string // of the spider, where a jar has added others
		off           bool     // Cookies.Off
		goesOn        bool
	}{
		"the same":                 {first: header("Authorization", "A"), second: header("Authorization", "A"), goesOn: true},
		"another Authorization":    {first: header("Authorization", "A"), second: header("Authorization", "B")},
		"no Authorization":         {first: header("Authorization", "A"), second: same},
		"the same jar":             {first: jar("a"), second: jar("a"), goesOn: true},
		"another jar":              {first: jar("a"), second: jar("b")},
		"the jar's cookie changed": {first: header("Cookie", "sid=1"), second: header("Cookie", "sid=2"), goesOn: true},
		"its own cookie":           {first: header("Cookie", "u=a; sid=1"), second: header("Cookie", "u=a; sid=2"), mine: []string{"u=a"}, theirs: []string{"u=a"}, goesOn: true},
		"another's own cookie":     {first: header("Cookie", "u=a; sid=1"), second: header("Cookie", "u=b; sid=1"), mine: []string{"u=a"}, theirs: []string{"u=b"}},
		"another's, without merge": {first: own("u=a"), second: own("u=b")},
		"another's, without jars":  {first: header("Cookie", "u=a"), second: header("Cookie", "u=b"), off: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := noise(50_000, 1)
			b := newBreaker(t, plainHTTP, serves(body, 10_000, "Etag", tag), serves(body, -1, "Etag", tag))
			d, _, _ := newResuming(t, func(s *crawl.Settings) { s.Cookies.Off = c.off })
			ctx := t.Context()
			_, err := d.Fetch(crawl.WithOwnCookie(ctx, c.mine), crawl.Get(b.URL+"/f", c.first))
			requireKind(t, crawl.KindTruncated, err)
			resp, err := d.Fetch(crawl.WithOwnCookie(ctx, c.theirs), crawl.Get(b.URL+"/f", c.second))
			require.NoError(t, err)
			requireWhole(t, body, resp)
			require.NoError(t, resp.Close())
			require.Equal(t, c.goesOn, b.ranges()[1] != "")
		})
	}
}

// Many ask for one URL whose transfers all break off: they hand one part to another (run with -race).
func TestPartsChangeHands(t *testing.T) {
	t.Parallel()
	b := newBreaker(t, plainHTTP, serves(noise(60_000, 1), 1100, "Etag", tag))
	d, _, _ := newResuming(t, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 40 {
				if resp, err := d.Fetch(t.Context(), crawl.Get(b.URL+"/x")); err == nil {
					_ = resp.Close()
				}
			}
		})
	}
	all.Wait()
	require.Subset(t, b.ranges(), []string{"", "bytes=1100-"})
}

// What nobody asks for again goes after a quarter of an hour.
func TestPartsGrowOld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		connect, over := slowSite()
		defer over.Wait()
		settings, err := crawl.Settings{Download: crawl.DownloadSettings{Dial: connect, SpoolOver: 10, Timeout: 500 * time.Second}}.Effective(nil)
		require.NoError(t, err)
		spool := &crawl.Spool{Dir: dir, Over: 10}
		defer spool.Close()
		d, err := downloader.New(&crawl.Env{Settings: settings, Log: zap.NewNop(), Spool: spool})
		require.NoError(t, err)
		defer d.Close()
		_, err = d.Fetch(t.Context(), crawl.Get("http://h/?drip=1s&n=1000"))
		requireKind(t, crawl.KindTimeout, err)
		kept := func() int {
			files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
			require.NoError(t, err)
			return len(files)
		}
		time.Sleep(15*time.Minute - time.Second)
		synctest.Wait()
		require.Equal(t, 1, kept())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Zero(t, kept())
	})
}

// A disk that is full is said so, and is no reason to ask again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	body := noise(50_000, 1)
	var files func() []string
	fills := func(w http.ResponseWriter, r *http.Request) {
		for _, path := range files() {
			if info, err := os.Stat(path); err == nil && info.Size() == 20_000 {
				_ = os.Remove(path)
				_ = os.Symlink("/dev/full", path)
			}
		}
		serves(body, -1, "Etag", tag)(w, r)
	}
	b := newBreaker(t, plainHTTP, serves(body, 20_000, "Etag", tag), serves(body, 10_000, "Etag", tag), fills)
	d, _, spooled := newResuming(t, nil)
	files = spooled
	for _, name := range []string{"/a", "/b"} {
		_, err := fetch(t, d, crawl.Get(b.URL+name))
		requireKind(t, crawl.KindTruncated, err)
	}
	_, err := fetch(t, d, crawl.Get(b.URL+"/a"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	requireNoKind(t, err)
	require.Equal(t, "bytes=20000-", b.ranges()[2])
	require.Empty(t, files(), "other broken transfers make room")
}

// Whatever a server does that can be told from the truth: the body is one of its versions from the first byte to the last, or there is none.
func TestNoBodyIsGlued(t *testing.T) {
	t.Parallel()
	versions := [][]byte{noise(20_000, 1), noise(20_000, 2), noise(23_000, 3)}
	rapid.Check(t, func(rt *rapid.T) {
		var version atomic.Int64
		var mu sync.Mutex
		habit := func(label string, n int) int {
			mu.Lock()
			defer mu.Unlock()
			return rapid.IntRange(0, n-1).Draw(rt, label)
		}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if habit("changes", 4) == 0 {
				version.Store(int64(habit("version", len(versions))))
			}
			v := int(version.Load())
			body := versions[v]
			head := []string{"Etag", fmt.Sprintf(`"v%d"`, v)}
			cut := -1
			if habit("cuts", 3) > 0 {
				cut = habit("cut", len(body)+1)
			}
			asked := r.Header.Get("Range")
			switch how := habit("how", 8); {
			case how == 0: // no ranges
				r.Header.Del("Range")
				serves(body, cut, head...)(w, r)
			case how == 1 && asked != "": // it does not know If-Range
				r.Header.Del("If-Range")
				serves(body, cut, head...)(w, r)
			case how == 2 && asked != "": // it sends another range than it was asked for
				r.Header.Set("Range", fmt.Sprintf("bytes=%d-", habit("from", len(body))))
				serves(body, cut, head...)(w, r)
			case how == 3 && asked != "": // it sends less
				r.Header.Set("Range", asked+strconv.Itoa(len(body)/2))
				serves(body, cut, head...)(w, r)
			case how == 4:
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			case how == 5: // chunked
				set(w, head)
				if cut < 0 {
					_ = http.NewResponseController(w).Flush()
					_, _ = w.Write(body)
					return
				}
				_, _ = (&cutter{w, cut}).Write(body)
				panic(http.ErrAbortHandler)
			default:
				serves(body, cut, head...)(w, r)
			}
		}))
		defer s.Close()
		dir, err := os.MkdirTemp("", "tulle-glued-*")
		require.NoError(rt, err)
		defer os.RemoveAll(dir)
		settings, err := crawl.Settings{}.Effective(nil)
		require.NoError(rt, err)
		spool := &crawl.Spool{Dir: dir, Over: 1000, Hash: "md5", NewHash: md5.New}
		d, err := downloader.New(&crawl.Env{Settings: settings, Stats: crawl.NewStats(), Log: zap.NewNop(), Spool: spool})
		require.NoError(rt, err)
		defer d.Close()
		for range 6 {
			resp, err := d.Fetch(t.Context(), crawl.Get(s.URL+"/x"))
			if err != nil || resp.Status != 200 {
				continue
			}
			got, err := resp.Body.Bytes()
			require.NoError(rt, err)
			whole := false
			for _, v := range versions {
				whole = whole || bytes.Equal(v, got)
			}
			require.True(rt, whole, "%d bytes, flags %s", len(got), resp.Flags)
			sum := md5.Sum(got)
			digest, _ := resp.Body.Sum("md5")
			require.Equal(rt, hex.EncodeToString(sum[:]), digest)
			require.Equal(rt, fmt.Sprintf(`"v%d"`, version.Load()), resp.Header.Get("Etag"))
			require.NoError(rt, resp.Close())
		}
	})
}
