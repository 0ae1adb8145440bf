// Package crawl holds the words that every other package of tulle speaks: spiders, requests, responses, items, settings, stats, and the small
// interfaces at which the parts meet. It runs nothing.
//
// A first program needs four of them. A [Spider] says where a crawl starts and what to do with each [Response]; its callbacks hand items and new
// requests to an [Out]; [Settings] say how politely, through which pipelines, and where the results go:
//
//	spider := &crawl.Spider{
//		Name:      "quotes",
//		StartURLs: []string{"https://quotes.toscrape.com/"},
//		Parse: func(ctx context.Context, r *crawl.Response, out *crawl.Out) error {
//			for _, text := range r.Texts("div.quote span.text") {
//				out.Item(map[string]any{"text": text})
//			}
//			out.FollowAll("li.next a", "")
//			return nil
//		},
//	}
//	result, err := engine.Run(ctx, spider, crawl.Settings{})
//
// # Where things are
//
//	spider.go      Spider, its arguments, callbacks, routes
//	request.go     Request, Knobs, fingerprints; wire.go is a request's form on disk, mask.go hides passwords in addresses, bind.go and proxy.go read those of connections
//	form.go        forms on a page, filled in and sent (formcontrols.go and formvalues.go have the rules of browsers); formdata.go and jsonrequest.go make other requests with bodies
//	curl.go        requests from curl command lines, which curlwords.go takes apart, and back
//	referrer.go    what a page wants told of it where its links lead
//	response.go    Response: what came back; charset.go, encoding.go and guess.go read its text, kind.go says what it is, render.go what a browser leaves beside it
//	html.go        the tree of a page, of HTML (html_limits.go keeps hostile ones small) or XML (xml.go, which reads as a stream too; xmltoken.go)
//	select.go      Node, Nodes and what selects them: CSS, XPath, regular expressions (regexp.go), JSON (json.go)
//	css*.go        css.go reads selectors, csscompound.go their compounds and csstests.go what else an element must be; cssmatch.go matches
//	xpath*.go      xpath.go is the door; xpath_parse.go reads expressions, xpath_eval.go, xpath_compare.go and xpath_functions.go evaluate them on the tree of xpath_tree.go
//	extract.go     structs filled by the tags of their fields: plans in extract_plan.go, values in extract_values.go
//	body.go        Body and Spool: small bodies in memory, large ones in a file
//	out.go         Out: what a callback hands to the crawl
//	settings.go    Settings and their defaults; effective.go puts the layers together, explain.go says where each value comes from
//	assign.go      settings by name; aliases.go knows Scrapy's, values.go, feedtexts.go and format.go read and write values, suggest.go suggests, settingdocs.go has
//	               what settings.go says of each
//	errors.go      errors that steer (DropItem, Reschedule, …) and errors that inform (DownloadError, StatusError)
//	middleware.go  Fetcher, Middleware, SpiderMiddleware, Layer; cookie.go says whose page a request asks for
//	pipeline.go    Pipeline, Stage, Store, File
//	extension.go   Extension: what watches a crawl
//	scheduler.go   the contract between the engine's loop and whatever keeps its queue; job.go is that of jobs on disk
//	cache.go       where the HTTP cache is kept
//	env.go         what a part is given when it is opened
//	stats.go       counters by Scrapy's paths
//	log.go         loggers by LogSettings
//	trace.go       hooks for everything that happens
//
// # Ownership
//
// A request belongs to whoever received it last: Out.Request, Fetch and Submit take it over, and the caller does not change it afterwards. A response is
// closed by the engine when its callback has returned; whoever calls Fetch closes himself. An item belongs to the pipeline stage that it is in.
package crawl
