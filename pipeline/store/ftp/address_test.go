package ftp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	known := crawl.FTPSettings{User: "u", Password: "p"}
	for uri, want := range map[string]address{
		"ftp://h":                        {host: "h", addr: "h:21", user: "u", password: "p"},
		"FTP://h:2121/a/b":               {host: "h", addr: "h:2121", user: "u", password: "p", folder: "a/b"},
		"ftp://x@h/a":                    {host: "h", addr: "h:21", user: "x", password: "p", folder: "a"},
		"ftp://x:y%40%2f@h//abs%20olute": {host: "h", addr: "h:21", user: "x", password: "y@/", folder: "/abs olute"},
		"ftp://h/%2Fabs?tls=explicit":    {host: "h", addr: "h:21", user: "u", password: "p", folder: "/abs", mode: explicit},
		"ftps://h":                       {host: "h", addr: "h:990", user: "u", password: "p", mode: implicit},
		"ftps://[::1]/a?tls=explicit":    {host: "::1", addr: "[::1]:21", user: "u", password: "p", folder: "a", mode: explicit},
		"ftps://h:2121/a":                {host: "h", addr: "h:2121", user: "u", password: "p", folder: "a", mode: implicit},
	} {
		got, err := parseAddress(uri, known)
		require.NoError(t, err, uri)
		require.Equal(t, want, got, uri)
	}
	for uri, says := range map[string]string{
		"ftp:///a":                 "no server is named",
		"http://h":                 `scheme "http" is neither ftp nor ftps`,
		"ftp://u:secret@h:port":    "not a URL: invalid port",
		"ftp://h/?tls=none":        "only tls=explicit has a meaning",
		"ftp://h/?passive=1":       `unknown parameter "passive"`,
		"ftp://h/a#b":              "is written as %23",
		"ftp://u:a%0d%0aDELE@h/":   "line break",
		"ftp://h/a%0d%0aDELE%20x/": "line break",
	} {
		_, err := parseAddress(uri, known)
		require.ErrorContains(t, err, says, uri)
		require.NotContains(t, err.Error(), "secret")
	}
}
