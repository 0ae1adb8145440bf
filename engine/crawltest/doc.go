// Package crawltest is the test harness for spiders, pipelines and middlewares.
//
// [Call] gives one saved page to one callback. [Checks] holds a spider against what it declares of saved pages. [Run] crawls a whole spider against a [Site]: a folder of
// pages, or an http.Handler. Nothing listens on a port: real HTTP goes over connections in memory, for every host name, http and https. The site can hold a response
// until the test lets it go, or refuse a host's connections, and knows what was asked, when, and how much at once.
//
// A spider's first test:
//
//	func TestBooks(t *testing.T) {
//		res := crawltest.Run(t, spiders.Books(), crawl.Settings{}, crawltest.Folder("testdata/books"))
//		require.Equal(t, "finished", res.Reason)
//		require.Len(t, res.Items, 3)
//		require.Contains(t, res.Items, any(&spiders.Book{Title: "A Light in the Attic", Price: "£51.77"}))
//	}
//
// Pages are worked on at once, so the order of Items is not the site's.
//
// # Time
//
// Inside testing/synctest time is fake: a crawl with a delay of an hour takes no time, and what it waits for is exact. Connections in memory are what makes
// that work.
//
//	synctest.Test(t, func(t *testing.T) {
//		res := crawltest.Run(t, spider, crawl.Settings{DownloadDelay: time.Hour, FixedDelay: true}, site)
//		require.Equal(t, time.Hour, site.Arrivals("example.com")[1].Sub(site.Arrivals("example.com")[0]))
//	})
//
// # Misery
//
// [Misery] is a site where everything goes wrong that servers do to crawlers: [Pathologies] lists what, each at a host of its own. A spider that must live with such
// servers is tried on all of them, in no time:
//
//	synctest.Test(t, func(t *testing.T) {
//		spider := spiders.Books()
//		spider.StartURLs = nil
//		spider.Start = func(_ context.Context, out *crawl.Out) error {
//			for _, p := range crawltest.Pathologies() {
//				out.Request(p.Request())
//			}
//			return nil
//		}
//		res := crawltest.Run(t, spider, crawl.Settings{}, crawltest.Misery(nil))
//		require.Equal(t, "finished", res.Reason)
//		require.Zero(t, res.Stats.Int("spider_exceptions/count"))
//	})
package crawltest
