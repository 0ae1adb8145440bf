package links_test

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/spiders/links"
)

// scrapyArgs are those of Scrapy's LinkExtractor.
type scrapyArgs struct {
	Allow          []string
	Deny           []string
	AllowDomains   []string `json:"allow_domains"`
	DenyDomains    []string `json:"deny_domains"`
	DenyExtensions []string `json:"deny_extensions"`
	RestrictCSS    []string `json:"restrict_css"`
	RestrictXPaths []string `json:"restrict_xpaths"`
	RestrictText   []string `json:"restrict_text"`
	Tags, Attrs    []string
	DenyTags       []string `json:"deny_tags"`
	DenyAttrs      []string `json:"deny_attrs"`
	Canonicalize   bool
	Unique, Strip  *bool
}

func (a scrapyArgs) extractor() *links.Extractor {
	return &links.Extractor{
		Allow: a.Allow, Deny: a.Deny, AllowDomains: a.AllowDomains, DenyDomains: a.DenyDomains, DenyExtensions: a.DenyExtensions,
		RestrictCSS: a.RestrictCSS, RestrictXPath: a.RestrictXPaths, RestrictText: a.RestrictText, Tags: a.Tags, Attrs: a.Attrs,
		DenyTags: a.DenyTags, DenyAttrs: a.DenyAttrs, Canonicalize: a.Canonicalize,
		NotUnique: a.Unique != nil && !*a.Unique, NoStrip: a.Strip != nil && !*a.Strip,
	}
}

// TestScrapy holds the extractor against what Scrapy 2.19's makes of the same pages with the same arguments. Links are in document order here, where Scrapy's are in that of
// the regions, and of an element's attributes as lxml has them.
func TestScrapy(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/scrapy.json")
	require.NoError(t, err)
	var golden struct {
		Pages map[string]struct{ URL, Body string }
		Cases []struct {
			Page  string
			Args  json.RawMessage
			Links [][]any
		}
	}
	require.NoError(t, json.Unmarshal(raw, &golden))
	require.Greater(t, len(golden.Cases), 300)
	for _, c := range golden.Cases {
		t.Run(c.Page+" "+string(c.Args), func(t *testing.T) {
			t.Parallel()
			var args scrapyArgs
			require.NoError(t, json.Unmarshal(c.Args, &args))
			found, err := args.extractor().Extract(response(t, golden.Pages[c.Page].URL, golden.Pages[c.Page].Body))
			require.NoError(t, err)
			got := make([][]any, 0, len(found))
			for _, l := range found {
				got = append(got, []any{l.URL, l.Text, l.NoFollow})
			}
			if slices.Contains(args.Attrs, "*") || len(args.RestrictCSS) > 0 && len(args.RestrictXPaths) > 0 {
				require.ElementsMatch(t, c.Links, got)
				return
			}
			require.Equal(t, c.Links, got)
		})
	}
}

func response(t testing.TB, url, body string) *crawl.Response {
	t.Helper()
	req := crawl.Get(url)
	require.NoError(t, req.Err())
	return &crawl.Response{
		Request: req, URL: req.URL, Status: http.StatusOK, Body: crawl.BytesBody([]byte(body)),
		Header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
	}
}
