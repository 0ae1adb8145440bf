package bundled

import (
	"context"

	"github.com/tulle-go/tulle/crawl"
)

// Quote is what the spider "quotes" makes of each quote on a page.
type Quote struct {
	Text   string   `json:"text"`
	Author string   `json:"author"`
	Tags   []string `json:"tags"`
}

// Quotes crawls https://quotes.toscrape.com/, a site made for practice, where a page has several items. The argument tag keeps to the quotes of one tag.
func Quotes(args map[string]string) (*crawl.Spider, error) {
	if err := noArguments(args, "tag"); err != nil {
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
			for _, quote := range r.CSS("div.quote").EachIter() {
				var tags []string
				for _, tag := range quote.Find("a.tag").EachIter() {
					tags = append(tags, tag.Text())
				}
				out.Item(&Quote{Text: quote.Find("span.text").Text(), Author: quote.Find("small.author").Text(), Tags: tags})
			}
			out.FollowAll("li.next a", "")
			return nil
		},
	}, nil
}
