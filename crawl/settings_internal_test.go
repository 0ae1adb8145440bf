package crawl

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettingTables(t *testing.T) {
	t.Parallel()
	known := make(map[string]setting)
	for _, f := range settings() {
		known[f.name] = f
	}
	for _, f := range known {
		isSize := strings.Contains(f.doc, " in bytes") || strings.Contains(f.doc, "how many bytes")
		require.Equal(t, isSize, slices.Contains(sizes, f.name), "%s: %s", f.name, f.doc)
		isWord := strings.Contains(f.doc, ` or "`) && f.name != "feeds" || f.name == "referer.policy"
		require.Equal(t, isWord, slices.Contains(lowerCase, f.name), "%s: %s", f.name, f.doc)
	}
	for name, a := range scrapyNames {
		require.Contains(t, known, a.to, name)
		require.NotContains(t, scrapyOnly, name)
		require.Equal(t, strings.ToUpper(name), name)
	}
}

func TestSnake(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"ConcurrentRequests": "concurrent_requests", "URLsField": "urls_field", "InsecureTLS": "insecure_tls", "DisableHTTP2": "disable_http2",
		"HTTPError": "http_error", "URLLength": "url_length", "URI": "uri", "Dir": "dir", "ImageURLs": "image_urls", "AWS": "aws", "ToS3Bucket": "to_s3_bucket",
		"H2C": "h2c", "HTTP2Only": "http2_only", "Sha1Sum": "sha1_sum",
	} {
		require.Equal(t, want, snake(name))
	}
}

func TestDurationText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0s", "90": "1m30s", "3m0s": "3m", "2h0m0s": "2h", "2160h": "90d", "-24h": "-1d", "36h": "36h", "1h0m5s": "1h0m5s", "10h": "10h", "20m": "20m", "1.5": "1.5s",
	} {
		d, err := parseDuration(text)
		require.NoError(t, err)
		require.Equal(t, want, formatDuration(d))
		again, err := parseDuration(want)
		require.NoError(t, err)
		require.Equal(t, d, again)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"", "ab"}: 2, {"store", "stroe"}: 1, {"store", "stor"}: 1, {"store", "stare"}: 1, {"retry", "times"}: 5,
	} {
		require.Equal(t, want, distance(pair[0], pair[1]), pair)
		require.Equal(t, want, distance(pair[1], pair[0]), pair)
	}
}
