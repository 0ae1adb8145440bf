package crawltest

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/engine"
)

// Checks holds a spider against its Checks, a subtest each, so that `go test` does what the command check does. Saved pages are looked for in the working directory, which
// is the package's folder. A check without one is skipped: tests ask no live site.
func Checks(t *testing.T, spider *crawl.Spider) {
	t.Helper()
	if err := spider.Validate(); err != nil {
		t.Error(err)
	}
	for _, check := range spider.Checks {
		t.Run(cmp.Or(check.Name, check.Page, check.URL), func(t *testing.T) {
			if check.Page == "" {
				t.Skip("no saved page: the command check asks the site")
			}
			page, err := os.ReadFile(check.Page)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := engine.SavedPage(check, page)
			if err != nil {
				t.Fatal(err)
			}
			c := engine.Check(t.Context(), spider, check, resp)
			if err := resp.Close(); err != nil {
				t.Error(err)
			}
			if len(c.Problems) > 0 {
				t.Errorf("%d items, %d requests\n%s", len(c.Items), len(c.Requests), strings.Join(c.Problems, "\n"))
			}
		})
	}
}
