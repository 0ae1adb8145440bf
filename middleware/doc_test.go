package middleware

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// docRows are the rows of doc.go's tables that begin with head, cut where two spaces are.
func docRows(t *testing.T, head string) [][]string {
	t.Helper()
	source, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var rows [][]string
	inside := false
	for line := range strings.Lines(string(source)) {
		cell, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		switch {
		case !ok:
			inside = false
		case strings.HasPrefix(cell, head):
			inside = true
		case inside:
			rows = append(rows, regexp.MustCompile(" {2,}").Split(strings.TrimSpace(cell), -1))
		}
	}
	return rows
}

// The table of layers is what is built, in its order, and names nothing that there is not.
func TestDocTable(t *testing.T) {
	t.Parallel()
	var built, written []string
	for _, l := range Downloader() {
		built = append(built, fmt.Sprintf("%d %s", l.Order, l.Name))
	}
	for _, l := range Spider() {
		built = append(built, fmt.Sprintf("%d %s", l.Order, l.Name))
	}
	knobs := make(map[string]bool)
	for _, row := range docRows(t, "order") {
		require.Len(t, row, 6, row)
		written = append(written, row[0]+" "+row[1])
		for _, name := range strings.Split(row[2], ", ") {
			requireField(t, name, reflect.TypeFor[crawl.Settings]())
		}
		for _, name := range strings.Split(row[3], ", ") {
			requireField(t, name, reflect.TypeFor[crawl.Knobs](), reflect.TypeFor[crawl.Request]())
			knobs[name] = true
		}
		requireStats(t, row[1], row[4])
	}
	require.Equal(t, built, written)
	downloaders := []string{"Timeout", "WarnSize", "AllowTruncated", "Slot", "BindAddress", "Render"}
	for f := range fieldsOf(reflect.TypeFor[crawl.Knobs]()) {
		require.True(t, knobs[f] != slices.Contains(downloaders, f), "%s is a layer's, or the downloader's and the engine's", f)
	}
}

func fieldsOf(t reflect.Type) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i).Name) {
				return
			}
		}
	}
}

// requireField looks for a field, "Retry" or "Referer.Policy", in one of some structs. "Spider." stands before those of a spider.
func requireField(t *testing.T, path string, in ...reflect.Type) {
	t.Helper()
	if path == "none" {
		return
	}
	rest, ofSpider := strings.CutPrefix(path, "Spider.")
	if ofSpider {
		in = []reflect.Type{reflect.TypeFor[crawl.Spider]()}
	}
	for _, typ := range in {
		found := true
		for name := range strings.SplitSeq(rest, ".") {
			if typ.Kind() != reflect.Struct {
				found = false
				break
			}
			f, ok := typ.FieldByName(name)
			if !ok {
				found = false
				break
			}
			typ = f.Type
		}
		if found {
			return
		}
	}
	require.Fail(t, "no such field", path)
}

// requireStats looks for the beginnings of stats in the file of a layer.
func requireStats(t *testing.T, layer, stats string) {
	t.Helper()
	file := map[string]string{"offsite": "offsite.go", "robots": "robots.go", "stats": "stats.go"}[layer]
	if file == "" {
		file = layer + ".go"
	}
	source, err := os.ReadFile(file)
	require.NoError(t, err, "one concern, one file")
	for name := range strings.SplitSeq(stats, ", ") {
		if prefix, ok := strings.CutSuffix(name, "…"); ok {
			require.Contains(t, string(source), `"`+prefix, layer)
		} else {
			require.Equal(t, "none", name)
			require.NotRegexp(t, `(?i)stats\.(Inc|Counter|Max)\(`, string(source), layer)
		}
	}
}

// All of Scrapy's keys are there, with fields that exist.
func TestMetaTable(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, row := range docRows(t, "meta key") {
		require.Len(t, row, 2, row)
		keys = append(keys, strings.Split(row[0], ", ")...)
		if strings.HasPrefix(row[1], "none: ") {
			continue
		}
		first := regexp.MustCompile(`^[A-Za-z.]+`).FindString(row[1])
		requireField(t, strings.TrimPrefix(strings.TrimPrefix(first, "Request."), "Response."),
			reflect.TypeFor[crawl.Knobs](), reflect.TypeFor[crawl.Request](), reflect.TypeFor[crawl.Response]())
	}
	// docs/topics/request-response.rst of Scrapy 2.18.
	for key := range strings.FieldsSeq(`allow_offsite autothrottle_dont_adjust_delay bindaddress cookiejar depth_reset dont_cache dont_merge_cookies dont_obey_robotstxt
		dont_redirect dont_retry download_fail_on_dataloss download_latency download_maxsize download_slot download_timeout download_warnsize ftp_user ftp_password
		ftp_passive ftp_local_filename give_up_log_level handle_httpstatus_all handle_httpstatus_list http_user http_pass http_auth_domain is_start_request
		max_retry_times priority_adjust proxy redirect_reasons redirect_urls redirect_times redirect_ttl referrer_policy verbatim_url`) {
		require.Contains(t, keys, key)
	}
}
