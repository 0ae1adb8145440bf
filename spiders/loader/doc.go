// Package loader has item loaders: Scrapy's way to fill an item, in which what is found on a page and what is made of it are said in two places.
//
// A [Loader] collects values for the fields of an item, from wherever on the page they are; a field may be fed from several places. [Fields] say, once for a type of item,
// what is made of them: an input processor is given each time what was found, an output processor all that came together when the item is loaded.
//
//	var lampFields = loader.Fields{
//		"":         {In: loader.Strip(), Out: loader.TakeFirst()}, // all fields that are not named
//		"price":    {In: loader.ToFloat(), Out: loader.TakeFirst(), Required: true},
//		"tags":     {In: loader.MapCompose(strings.TrimSpace, strings.ToLower), Out: loader.Unique()},
//		"page_url": {In: loader.AbsoluteURL(), Out: loader.TakeFirst()},
//	}
//
//	func parse(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
//		lamp := &Lamp{}
//		l := loader.New(lamp, r, lampFields)
//		l.AddCSS("name", "h1").AddCSS("price", "p.sale").AddCSS("price", "p.price")
//		l.NestedCSS("ul.tags").AddCSS("tags", "li")
//		l.AddXPath("page_url", "//link[@rel='canonical']/@href").AddValue("page_url", r.URL)
//		if err := l.Load(); err != nil {
//			return err
//		}
//		out.Item(lamp)
//		return nil
//	}
//
// For pages where each field stands in one place, struct tags and crawl.Extract are shorter.
//
// # Found before the crawl starts
//
// A name that is not a field of the item, and a processor that cannot work (a pattern that does not compile, a function of the wrong shape) are found by [Fields.Check]:
//
//	spider.Verify = func(*crawl.Spider) error { return lampFields.Check(Lamp{}) }
//
// # An item that is filled on several pages
//
// What a struct or a map holds when it is given to [New] counts as collected first, so an item goes on where it was: it travels as the Data of the next request.
//
//	out.Follow(href, "stock", crawl.With(lamp)) // in the callback of the first page
//
//	var lamp Lamp                               // in that of the second
//	if err := r.Data(&lamp); err != nil { … }
//	l := loader.New(&lamp, r, lampFields).AddCSS("stock", "#stock")
//
// # Differences from Scrapy's
//
// A selector that ends in an element gives its text, where Scrapy gives its HTML. A field of one value that was given several is an error, where Scrapy stores the list:
// say which by an output processor. All errors of an item come at once, from Load.
//
//	loader.go      Loader
//	fields.go      Fields and what is found out about a type
//	processors.go  the processors of Scrapy; texts.go those that everybody writes by hand
//	convert.go     from what processors give to what a field holds
package loader
