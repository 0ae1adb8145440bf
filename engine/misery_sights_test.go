package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

const (
	well       = "200 Well"
	timedOut   = 2 * 180 * time.Second // twice Download.Timeout
	tooSlow    = 2 * 31 * time.Second  // twice the 30 s over which Download.MinSpeed is averaged, after the first byte; or a second more
	noConnect  = 2 * 30 * time.Second  // twice what a connection or a handshake may take
	robotsWait = time.Minute           // in all, for one robots.txt
)

// sights are what a user sees of each pathology.
func sights() map[string]sight {
	obey := func(s *crawl.Settings) { s.Robots.Ignore = false }
	tooMany := "ignored: max redirections reached"
	unread := func(name string) string {
		return "ignored: robots.txt of http://" + name + ".misery.test could not be read"
	}
	return map[string]sight{
		"refused":              {page: "refused"},
		"no-such-host":         {page: "dns"},
		"unreachable":          {page: "timeout", took: noConnect},
		"close-at-once":        {page: "connection"},
		"close-before-headers": {page: "connection"},
		"close-in-headers":     {page: "connection"},
		"close-after-headers":  {page: "truncated"},
		"close-mid-body":       {page: "truncated"},
		"reset-before-headers": {page: "connection"},
		"reset-mid-body":       {page: "truncated", took: 2 * time.Second},
		"close-idle":           {page: well},
		"unsolicited":          {page: well},
		"never-answers":        {page: "timeout", took: timedOut},
		"never-reads":          {page: "timeout", took: timedOut},
		"drip-headers":         {page: "timeout", took: timedOut},
		"drip-body":            {page: "timeout", took: tooSlow, slack: 2 * time.Second},
		"stall-mid-body":       {page: "timeout", took: tooSlow, slack: 2 * time.Second},

		// A handshake that was bad will be bad again. That it took too long may pass.
		"tls-expired":            {page: "tls", more: says("expired")},
		"tls-not-yet":            {page: "tls", more: says("not yet valid")},
		"tls-wrong-host":         {page: "tls", more: says("valid for other.test")},
		"tls-self-signed":        {page: "tls", more: says("unknown authority")},
		"tls-untrusted":          {page: "tls", more: says("unknown authority")},
		"tls-10":                 {page: "tls", more: says("protocol version")},
		"tls-client-certificate": {page: "tls", more: says("remote error")},
		"tls-hangs":              {page: "timeout", took: noConnect},
		"tls-closes":             {page: "tls"},
		"tls-plain":              {page: "tls"},
		"tls-garbage":            {page: "tls"},
		// crypto/tls takes the end of a connection between two records for the end, as browsers do: nothing tells that there was more.
		"tls-cut": {page: well},

		"h2-goaway":          {page: "connection", more: connects(2 * 5)}, // net/http alone would go on for ever
		"h2-goaway-error":    {page: "connection"},
		"h2-goaway-mid-body": {page: "truncated"},
		"h2-goaway-graceful": {page: well},
		"h2-rst":             {page: "connection"},
		// net/http asks again at once; that it would do so for the third time, after a second and up to a tenth, ends the attempt.
		"h2-rst-refused":    {page: "connection", took: 2 * time.Second, slack: 2 * time.Second / 10, more: says("refused the request twice")},
		"h2-rst-http11":     {page: "connection"},
		"h2-rst-mid-body":   {page: "truncated"},
		"h2-short":          {page: "truncated"},
		"h2-bad-settings":   {page: "connection"},
		"h2-bad-frame-size": {page: "connection"},
		"h2-garbage":        {page: "connection"},
		"h2-continuation":   {page: "connection"},
		"h2-silent":         {page: "connection", took: 2 * 45 * time.Second}, // a ping after 30 s, 15 s for its answer
		"h2-never-answers":  {page: "timeout", took: timedOut},
		"h2-stalled":        {page: "timeout", took: timedOut},

		"status-garbage":   {page: "connection"},
		"status-http-09":   {page: "connection"},
		"status-http-99":   {page: well},
		"status-http-10":   {page: well},
		"status-99":        {page: "connection"},
		"status-099":       {page: "status 99"},
		"status-1000":      {page: "connection"},
		"status-negative":  {page: "connection"},
		"status-999":       {page: "status 999"},
		"status-no-reason": {page: well},
		"status-endless":   {page: "connection"},
		"status-101":       {page: "connection"},
		"status-204-body":  {page: "204", media: "empty"},
		"status-206":       {page: "connection"},
		"status-304":       {page: "status 304"},
		"head-body":        {page: "200"},
		"interim-storm":    {page: well},
		"interim-endless":  {page: "connection"},

		// net/http reads no response with a header that is none. Browsers would leave that header out.
		"header-huge":     {page: "connection"},
		"header-large":    {page: well},
		"header-many":     {page: "connection"},
		"header-crowd":    {page: "too-large"},
		"header-endless":  {page: "connection"},
		"header-no-colon": {page: "connection"},
		"header-no-name":  {page: "connection"},
		"header-space":    {page: well},
		"header-nul":      {page: "connection"},
		"header-binary":   {page: well},
		"header-folded":   {page: well},
		"header-bare-lf":  {page: well},
		"header-bare-cr":  {page: "connection"},

		"length-none":      {page: well},
		"length-too-large": {page: "truncated"},
		"length-too-small": {page: "200", more: size(500)}, // nothing tells that there is more
		"length-negative":  {page: "connection"},
		"length-nonsense":  {page: "connection"},
		"length-overflow":  {page: "connection"},
		"length-exabyte":   {page: "too-large"},
		"length-two":       {page: "connection"},
		"length-twice":     {page: "200", more: size(1000)},
		"length-chunked":   {page: "200", more: size(1000)},

		"chunk-bad-size":   {page: "truncated"},
		"chunk-huge-size":  {page: "truncated"},
		"chunk-wrong-size": {page: "truncated"},
		"chunk-cut":        {page: "truncated"},
		"chunk-no-end":     {page: "truncated"},
		"chunk-endless":    {page: "too-large"},
		"chunk-extensions": {page: "truncated"},
		"chunk-unknown":    {page: "connection"},

		"gzip-plain":       {page: well},
		"gzip-broken":      {page: "encoding"},
		"gzip-cut":         {page: "truncated"},
		"gzip-bomb":        {page: "too-large"},
		"gzip-empty":       {page: "200", media: "empty"},
		"gzip-tail":        {page: well},
		"gzip-twice":       {page: well},
		"gzip-ten-times":   {page: "encoding"},
		"gzip-bomb-twice":  {page: "too-large"},
		"br-plain":         {page: "encoding"}, // br has no mark by which one would know
		"br-broken":        {page: "encoding"},
		"br-cut":           {page: "truncated"},
		"br-bomb":          {page: "too-large"},
		"zstd-plain":       {page: well},
		"zstd-broken":      {page: "encoding"},
		"zstd-cut":         {page: "truncated"},
		"zstd-bomb":        {page: "too-large"},
		"encoding-unknown": {page: well},

		"redirect-loop":       {page: tooMany, media: "redirect", asked: 21},
		"redirect-two":        {page: tooMany, media: "redirect", asked: 21},
		"redirect-chain":      {page: tooMany, media: "redirect", asked: 21},
		"redirect-file":       {page: "status 302", media: "redirect"},
		"redirect-data":       {page: "status 302", media: "redirect"},
		"redirect-javascript": {page: "status 302", media: "redirect"},
		"redirect-ftp":        {page: "status 302", media: "redirect"},
		"redirect-private":    {page: "not-public", media: "redirect", asked: 2, set: func(s *crawl.Settings) { s.Download.PublicOnly = true }},
		"redirect-cookie": {page: "200 Elsewhere", media: "redirect", asked: 2, more: func(t *testing.T, m *met) {
			require.Empty(t, cookieAt(m, "//elsewhere.test/"))
		}},
		"redirect-crlf": {page: tooMany, media: "redirect", asked: 21, more: func(t *testing.T, m *met) {
			require.Contains(t, m.Asked, "http://redirect-crlf.misery.test/%0d%0aSet-Cookie:%20evil=1")
		}},
		"redirect-lf":            {page: tooMany, media: "redirect", asked: 21},
		"redirect-none":          {page: "status 302"},
		"redirect-malformed":     {page: "status 302", media: "redirect"},
		"redirect-no-host":       {page: "200 Elsewhere", media: "redirect", asked: 2}, // browsers, too, go to http://path
		"redirect-huge":          {page: "ignored: url is too long", media: "redirect", asked: 1},
		"redirect-two-locations": {page: well, media: "redirect", asked: 2},
		"refresh-loop":           {page: well}, // a page that refreshes itself is a page
		"refresh-chain":          {page: tooMany, media: "stored", asked: 21},
		"refresh-javascript":     {page: well},

		"retry-seconds":  {page: well, asked: 2, took: 30 * time.Second},
		"retry-date":     {page: well, asked: 2, took: 30 * time.Second},
		"retry-past":     {page: well, asked: 2},
		"retry-nonsense": {page: well, asked: 2},
		"retry-negative": {page: well, asked: 2},
		"retry-huge":     {page: well, asked: 2, took: 5 * time.Minute}, // Retry.MaxRetryAfter
		"retry-heals":    {page: well, asked: 2},
		"retry-never":    {page: "status 503", asked: 2},
		"retry-500":      {page: "status 500", asked: 2},

		"cookie-other-domain":  {page: well + " | " + well, asked: 2, more: cookies("")},
		"cookie-public-suffix": {page: well + " | " + well, asked: 2, more: cookies("")},
		"cookie-huge":          {page: well + " | " + well, asked: 2, more: cookies("")},
		"cookie-many": {page: well + " | " + well, asked: 2, more: func(t *testing.T, m *met) {
			require.Equal(t, 180, strings.Count(cookieAt(m, ".misery.test/next"), "="), "as many as a site may have")
		}},
		"cookie-control":   {page: "connection"},
		"cookie-malformed": {page: well + " | " + well, asked: 2, more: cookies("good=1")},

		"page-empty":           {page: "200", media: "empty"},
		"page-line":            {page: well, set: func(s *crawl.Settings) { s.Download.MaxSize = 60 << 20 }, more: size(50_000_074)},
		"page-nested":          {page: well + " | " + well, asked: 2},
		"page-attributes":      {page: well},
		"page-utf16":           {page: well},
		"page-not-utf16":       {page: well},
		"page-unknown-charset": {page: well},
		"page-nul":             {page: well},
		"page-binary":          {page: "200"},
		"page-bad-type":        {page: well},
		"trap-calendar": {page: "200 Day 0 | 200 Day 1 | 200 Day 2 | 200 Day 3", asked: 4, more: func(t *testing.T, m *met) {
			require.EqualValues(t, 1, m.Stats.Int("depth/request_ignored_count"))
		}},
		"trap-path": {page: strings.Repeat(well+" | ", 9) + well, asked: 10, set: func(s *crawl.Settings) { s.Depth.Limit = 0 }, more: func(t *testing.T, m *met) {
			require.EqualValues(t, 1, m.Stats.Int("urllength/request_ignored_count"))
		}},

		// Of those asked one or two are robots.txt.
		"robots-html":     {page: well, asked: 2, set: obey},
		"robots-binary":   {page: "ignored: robots.txt", asked: 1, set: obey},
		"robots-huge":     {page: well, asked: 2, set: obey}, // what stands beyond 500 KiB is not read
		"robots-bomb":     {page: well, asked: 2, set: obey}, // nor what stands there compressed
		"robots-401":      {page: well, asked: 2, set: obey},
		"robots-500":      {page: unread("robots-500"), asked: 2, set: obey},
		"robots-forbids":  {page: "ignored: robots.txt", asked: 1, set: obey},
		"robots-redirect": {page: "ignored: robots.txt", asked: 2, set: obey},
		"robots-loop":     {page: well, asked: 7, set: obey},
		"robots-silent":   {page: unread("robots-silent"), asked: 1, took: robotsWait, set: obey},
		"robots-endless":  {page: unread("robots-endless"), asked: 1, took: robotsWait, set: obey},
		"robots-close":    {page: unread("robots-close"), media: "connection", asked: 2, set: obey},
		"robots-delay":    {page: well, asked: 2, took: time.Minute, set: obey}, // Robots.MaxDelay

		"proxy-407":            {page: "proxy"},
		"proxy-407-tunnel":     {page: "proxy"},
		"proxy-502-tunnel":     {page: "connection"},
		"proxy-garbage":        {page: "connection"},
		"proxy-garbage-tunnel": {page: "connection"},
		"proxy-closes":         {page: "connection"},
		"proxy-refused":        {page: "proxy"},
		"proxy-hangs":          {page: "timeout", took: 2 * time.Minute}, // twice what net/http gives a CONNECT
	}
}

// says has the error say something.
func says(text string) func(*testing.T, *met) {
	return func(t *testing.T, m *met) { require.ErrorContains(t, m.err, text) }
}

// connects has so many connections made, beside the neighbour's.
func connects(n int) func(*testing.T, *met) {
	return func(t *testing.T, m *met) { require.Equal(t, n+1, m.site.Connections()) }
}

// size has a page of so many bytes.
func size(n int64) func(*testing.T, *met) {
	return func(t *testing.T, m *met) { require.Equal(t, n, m.size) }
}

// cookies has a Cookie header at the next page.
func cookies(want string) func(*testing.T, *met) {
	return func(t *testing.T, m *met) { require.Equal(t, want, cookieAt(m, ".misery.test/next")) }
}

// cookieAt is the Cookie header with which a URL was asked that ends so.
func cookieAt(m *met, url string) string {
	for _, a := range m.site.Asked() {
		if strings.HasSuffix(a.URL, url) {
			return a.Header.Get("Cookie")
		}
	}
	return "it was not asked"
}
