package canon_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl/internal/canon"
)

// requireSettled holds a parsed URL against everything that may happen to it later: it is written down and read again, by us or
// by net/url, and its canonical form is read in its place.
func requireSettled(t *testing.T, u *url.URL) {
	t.Helper()
	written := u.String()
	requirePrintable(t, written)
	again, err := canon.Parse(written)
	require.NoError(t, err, "%q", written)
	require.Equal(t, u, again, "%q", written)
	byNetURL, err := url.Parse(written)
	require.NoError(t, err, "%q", written)
	require.Equal(t, written, byNetURL.String())
	require.Equal(t, u.Host, byNetURL.Host)
	require.Equal(t, u.Path, byNetURL.Path)

	canonical := canon.Canonical(u)
	requirePrintable(t, canonical)
	require.NotContains(t, canonical, `"`)
	require.NotContains(t, canonical, `\`)
	require.Equal(t, canonical, canon.Canonical(byNetURL))
	again, err = canon.Parse(canonical)
	require.NoError(t, err, "%q", canonical)
	require.Equal(t, canonical, canon.Canonical(again), "%q", written)
	require.Equal(t, canon.Fingerprint("", u, nil), canon.Fingerprint("", again, nil))
}

func requirePrintable(t *testing.T, s string) {
	t.Helper()
	require.Equal(t, -1, strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }), "%q", s)
}

func FuzzParse(f *testing.F) {
	for _, row := range load[scrapyURL](f, "urls.json") {
		f.Add(row.URL)
	}
	f.Fuzz(func(t *testing.T, link string) {
		if u, err := canon.Parse(link); err == nil {
			requireSettled(t, u)
		}
		if u, err := url.Parse(link); err == nil {
			canon.Fingerprint(link, u, []byte(link))
		}
	})
}

func FuzzResolve(f *testing.F) {
	for _, row := range load[scrapyLink](f, "links.json") {
		f.Add(row.Base, row.Ref)
	}
	f.Fuzz(func(t *testing.T, base, ref string) {
		u, err := canon.Parse(base)
		if err != nil {
			return
		}
		resolved, err := canon.Resolve(u, ref)
		if err != nil {
			return
		}
		requireSettled(t, resolved)
		if absolute, err := canon.Parse(ref); err == nil && absolute.Scheme != u.Scheme {
			require.Equal(t, absolute, resolved)
		}
		if byNetURL, err := url.Parse(base); err == nil && byNetURL.String() == u.String() {
			again, err := canon.Resolve(byNetURL, ref)
			require.NoError(t, err)
			require.Equal(t, resolved.String(), again.String())
		}
	})
}
