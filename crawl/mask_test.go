package crawl_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestRedacted(t *testing.T) {
	t.Parallel()
	require.Empty(t, crawl.Redacted(nil))
	for raw, want := range map[string]string{
		"http://h/p?q=a:b@c":                "http://h/p?q=a:b@c",
		"http://me@h/":                      "http://me@h/",
		"http://me:secret@h/:xxxxx@x":       "http://me:***@h/:xxxxx@x",
		"socks5://:secret@h:1":              "socks5://:***@h:1",
		"ftp://a%3Axxxxx%40b:s%40@h/":       "ftp://a%3Axxxxx%40b:***@h/",
		"http://me:@h/":                     "http://me:***@h/",
		"mailto:me:xxxxx@h":                 "mailto:me:xxxxx@h",
		"http://me:secret@[::1]:80/xxxxx@h": "http://me:***@[::1]:80/xxxxx@h",
	} {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, want, crawl.Redacted(u))
		_, err = url.Parse(want)
		require.NoError(t, err)
	}
	require.Equal(t, "<GET http://me:***@h/>", crawl.Get("http://me:secret@h/").String())
}
