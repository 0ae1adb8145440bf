package feed

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.FixedZone("", 3600))
	later := began.Add(time.Hour)
	for _, c := range []struct {
		conf        crawl.Feed
		want, error string
	}{
		{conf: crawl.Feed{URI: "items.jsonl"}, want: "items.jsonl"},
		{conf: crawl.Feed{URI: "50%.json%20x"}, want: "50%.json%20x"},
		{conf: crawl.Feed{URI: "%%(name)s.json"}, want: "%(name)s.json"},
		{conf: crawl.Feed{URI: "%(name)s/%(time)s.jsonl"}, want: "shop/2026-01-02T02-04-05.jsonl"},
		{conf: crawl.Feed{URI: "%(category)s-%(day)s.json", Params: map[string]string{"day": "monday"}}, want: "books-monday.json"},
		{conf: crawl.Feed{URI: "b-%(batch_id)d.json", BatchItems: 1}, want: "b-7.json"},
		{conf: crawl.Feed{URI: "b-%(batch_id)s.json", BatchItems: 1}, want: "b-7.json"},
		{conf: crawl.Feed{URI: "b-%(batch_id)05d.json", BatchTime: 1}, want: "b-00007.json"},
		{conf: crawl.Feed{URI: "b-%(batch_time)s.json", BatchItems: 1}, want: "b-2026-01-02T03-04-05.000006.json"},

		{conf: crawl.Feed{URI: "items.json", BatchItems: 1}, error: "a feed in batches needs a name for each: put %(batch_id)d or %(batch_time)s into the URI"},
		{conf: crawl.Feed{URI: "%(name)s.json", BatchTime: 1}, error: "a feed in batches needs a name for each: put %(batch_id)d or %(batch_time)s into the URI"},
		{conf: crawl.Feed{URI: "%(batch_id)d.json"}, error: "the URI has a batch in it, but the feed has no batches: set batch_items or batch_time"},
		{conf: crawl.Feed{URI: "%(nam)s.json"}, error: `the URI has a variable "nam" that nobody knows; there are batch_id, batch_time, category, name, time`},
		{conf: crawl.Feed{URI: "%(name).json"}, error: `"%(name)" in the URI is no variable: want %(name)s, or %(batch_id)d for a number; a plain %( is written %%(`},
		{conf: crawl.Feed{URI: "%(name.json"}, error: `"%(" in the URI is no variable: want %(name)s, or %(batch_id)d for a number; a plain %( is written %%(`},
		{conf: crawl.Feed{URI: "%(name)05d.json"}, error: `"%(name)05d" in the URI: want %(name)s, and digits only in %(batch_id)05d`},
		{conf: crawl.Feed{URI: "%(batch_time)d.json", BatchItems: 1}, error: `"%(batch_time)d" in the URI: want %(batch_time)s, and digits only in %(batch_id)05d`},
	} {
		env, _ := environment(t)
		env.Settings.Job.Identity = map[string]string{"category": "books"}
		tmpl, err := newTemplate(&c.conf, env, began)
		if c.error != "" {
			require.EqualError(t, err, c.error, c.conf.URI)
			continue
		}
		require.NoError(t, err, c.conf.URI)
		require.Equal(t, c.want, tmpl.uri(7, later), c.conf.URI)
	}
}

func TestFixedPart(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"s3://bucket/a/b.json":                         "s3://bucket/a/",
		"s3://bucket/b-%(batch_id)d.json":              "s3://bucket/",
		"s3://bucket/%(name)s/x/b%(batch_id)d/y.json":  "s3://bucket/shop/x/",
		"s3://bucket/x/%(batch_time)s/%(batch_id)d/y":  "s3://bucket/x/",
		"ftp://u:p%(@h/x/b-%(batch_id)d.json":          "",
		"s3://%(batch_id)d/y":                          "s3://",
		"s3://bucket/%%(x/y/%(name)s-%(batch_id)d.csv": "s3://bucket/%(x/y/",
	} {
		env, _ := environment(t)
		conf := crawl.Feed{URI: uri}
		if uri != "s3://bucket/a/b.json" {
			conf.BatchItems = 1
		}
		tmpl, err := newTemplate(&conf, env, time.Time{})
		if want == "" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, tmpl.fixed(tmpl.uri(1, time.Time{})), uri)
	}
}
