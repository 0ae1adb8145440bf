package downloader_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tulle-go/tulle/crawl"
)

func TestFile(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.SpoolOver = 1000 })
	dir := filepath.Join(t.TempDir(), "ä folder")
	require.NoError(t, os.Mkdir(dir, 0o755))
	for name, test := range map[string]struct{ contentType, body string }{
		"page.html":  {"text/html", "<p>hello"},
		"no ext":     {"", "hello"},
		"empty.json": {"application/json", ""},
		"large.JPG":  {"image/jpeg", strings.Repeat("x", 5000)},
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(test.body), 0o600))
		u := (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
		for _, raw := range []string{u, strings.Replace(u, "file://", "file://localhost", 1)} {
			resp, err := fetch(t, d, crawl.Get(raw))
			require.NoError(t, err)
			require.Equal(t, 200, resp.Status)
			require.Equal(t, test.body, text(t, resp))
			require.Equal(t, test.contentType, resp.Header.Get("Content-Type"))
			modified, err := http.ParseTime(resp.Header.Get("Last-Modified"))
			require.NoError(t, err)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.WithinDuration(t, info.ModTime(), modified, 1e9)
			require.Equal(t, len(test.body) > 1000, resp.Body.Path() != "", "large files are spooled")
			require.NoError(t, resp.Close())
			require.FileExists(t, path)
		}
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.MaxSize = 10 })
	dir := t.TempDir()
	path := filepath.ToSlash(filepath.Join(dir, "large"))
	require.NoError(t, os.WriteFile(path, make([]byte, 11), 0o600))

	_, err := fetch(t, d, crawl.Get("file://"+filepath.ToSlash(dir)+"/none"))
	requireKind(t, crawl.KindRequest, err)
	require.ErrorIs(t, err, os.ErrNotExist)

	for _, req := range []*crawl.Request{
		crawl.Get("file://" + filepath.ToSlash(dir)),
		crawl.Get("file://elsewhere" + path),
		{URL: mustParse(t, "file:relative")},
		{URL: mustParse(t, "file://"+path), Method: http.MethodPost},
		crawl.Get("file://" + path + "%00"),
	} {
		_, err := fetch(t, d, req)
		requireKind(t, crawl.KindRequest, err)
	}

	_, err = fetch(t, d, crawl.Get("file://"+path))
	requireKind(t, crawl.KindTooLarge, err)
	_, err = fetch(t, d, &crawl.Request{URL: mustParse(t, "file://"+path), Knobs: &crawl.Knobs{MaxSize: 11}})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, raw := range []string{"file://" + path, "data:,x"} {
		_, err = d.Fetch(ctx, &crawl.Request{URL: mustParse(t, raw), Knobs: &crawl.Knobs{MaxSize: -1}})
		require.ErrorIs(t, err, context.Canceled)
		requireNoKind(t, err)
	}
}

func TestData(t *testing.T) {
	t.Parallel()
	const plain = "text/plain;charset=US-ASCII"
	d := newDownloader(t, nil)
	for raw, want := range map[string]struct{ contentType, body string }{
		"data:,A%20brief%20note":   {plain, "A brief note"},
		"data:,":                   {plain, ""},
		"data:,a,b?c=d&e":          {plain, "a,b?c=d&e"},
		"data:,100%":               {plain, "100%"},
		"data:,%zz%4":              {plain, "%zz%4"},
		"data:,%E2%82%AC%00":       {plain, "€\x00"},
		"data:,a#fragment":         {plain, "a"},
		"data:text/html,<p>hi</p>": {"text/html", "<p>hi</p>"},
		"data:text/plain;charset=iso-8859-7,%be%d3":        {"text/plain;charset=iso-8859-7", "\xbe\xd3"},
		"data:;charset=utf-8,x":                            {"text/plain;charset=utf-8", "x"},
		"data:image/svg+xml;utf8,<svg/>":                   {"image/svg+xml", "<svg/>"},
		"data:;base64,aGVsbG8=":                            {plain, "hello"},
		"data:;base64,aGVsbG8":                             {plain, "hello"},
		"data:text/html;charset=x;BASE64,aGVs%0A%20bG8%3D": {"text/html;charset=x", "hello"},
		"data:image/png;base64,+/+/":                       {"image/png", "\xfb\xff\xbf"},
		"data:base64,aGVsbG8=":                             {plain, "aGVsbG8="},
		"data:nonsense,x":                                  {plain, "x"},
		"data:text/html%0d%0aX-Injected:%20y,x":            {plain, "x"},
		"data:/html,x":                                     {plain, "x"},
		"DATA:text/html,x":                                 {"text/html", "x"},
	} {
		resp, err := fetch(t, d, crawl.Get(raw))
		require.NoError(t, err, raw)
		require.Equal(t, 200, resp.Status)
		require.Equal(t, want.body, text(t, resp), raw)
		require.Equal(t, http.Header{"Content-Type": {want.contentType}}, resp.Header, raw)
	}
	resp, err := fetch(t, d, &crawl.Request{URL: mustParse(t, "data:,why?")})
	require.NoError(t, err)
	require.Equal(t, "why?", text(t, resp))
}

func TestBadData(t *testing.T) {
	t.Parallel()
	d := newDownloader(t, func(s *crawl.Settings) { s.Download.MaxSize = 10 })
	for _, raw := range []string{"data:", "data:text/html", "data:;base64,a", "data:;base64,a-_b", "data:;base64,%00"} {
		_, err := fetch(t, d, &crawl.Request{URL: mustParse(t, raw)})
		requireKind(t, crawl.KindRequest, err)
	}
	_, err := fetch(t, d, &crawl.Request{URL: mustParse(t, "data:,x"), Method: http.MethodPut})
	requireKind(t, crawl.KindRequest, err)

	_, err = fetch(t, d, crawl.Get("data:,"+strings.Repeat("x", 1_000_000)))
	requireKind(t, crawl.KindTooLarge, err)
	require.Less(t, len(err.Error()), 300, "the file is not in the error's text")
}
