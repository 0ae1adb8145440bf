package bundled

import (
	"context"

	"github.com/tulle-go/tulle/crawl"
)

// Quote is what the spider "quotes" makes of each quote on a page. The tags say where each field stands within one.
type Quote struct {
	Text   string   `json:"text" css:"span.text" extract:"required"`
	Author string   `json:"author" css:"small.author"`
	Tags   []string `json:"tags" css:"a.tag"`
}

// Quotes crawls https://quotes.toscrape.com/, a site made for practice, where a page has several items. The argument tag keeps to the quotes of one tag.
func Quotes(args map[string]string) (*crawl.Spider, error) {
	if err := crawl.CheckArgs(args, "tag"); err != nil {
		return nil, err
	}
	start := "https://quotes.toscrape.com/"
	if tag := args["tag"]; tag != "" {
		start += "tag/" + tag + "/"
	}
	return &crawl.Spider{
		Name:           "quotes",
		StartURLs:      []string{start},
		AllowedDomains: []string{"quotes.toscrape.com"},
		Parse: func(_ context.Context, r *crawl.Response, out *crawl.Out) error {
			quotes, err := crawl.ExtractAll[Quote](r, "div.quote")
			for i := range quotes {
				out.Item(&quotes[i])
			}
			out.FollowAll("li.next a", "")
			return err // what is missing is told with the page; the other quotes are kept
		},
		Items: []any{Quote{}},
		Checks: []crawl.Check{
			{URL: "https://quotes.toscrape.com/", MinItems: 10, MinRequests: 1, Fields: []string{"text", "author"}},
		},
	}, nil
}
