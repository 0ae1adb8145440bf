// Package browser renders pages with Chromium, over the DevTools protocol. A program links it by naming it:
//
//	Settings.Parts.Renderer = browser.Open
//
// and a request is then rendered if it says so, all others being downloaded as ever:
//
//	req.SetKnobs(func(k *crawl.Knobs) { k.Render = &crawl.Render{WaitFor: "div.price"} })
//
// It needs Chromium, Chrome or Chromium's headless shell on the machine: on Debian the package chromium-headless-shell (or chromium). Settings.Browser.Path names another program. Without
// one such requests fail, and the error says what to install.
//
// # What a request gets
//
// The response has the status and headers of the page's document, but its body is the document as it stands after the scripts and the waits of [crawl.Render], written as HTML in
// UTF-8, its URL is the page's address by then, and it has the flag "rendered". A script's result and a screenshot are in Response.Rendered. A status such as 404 is a
// response. Method, body and headers of the request are those of the document's request; the User-Agent is the whole page's.
//
// A redirect is not followed in the browser: it is a response, and the redirect middleware sends the request on, so that robots.txt, AllowedDomains and the limits of the new
// host hold. A page that sends itself to another address, by a script or a meta refresh, is followed there within its host, at most Redirect.Times times; one that leaves
// its host before it is taken is a response with status 302 and that Location.
//
// The cookies of the request's Cookie header are set for the page, and what the page has got beside them, from any response or by a script, is handed on in Set-Cookie headers, if it is for the
// page's own site. So a session that scripts have opened holds for requests without a browser. Each page has a browser context of its own: nothing is shared, nothing stays.
//
// # Limits
//
// A rendered page takes one place of its host and of all downloads, as any request, and waits for its turn among Settings.Browser.Pages. What the page itself asks for, scripts, pictures
// and data, is asked for by the browser as it sees fit, six at once from one host, and past robots.txt: Render.Block is the means against that, and by default pictures, media and
// fonts are not asked for. To where a page sends itself on its own host it goes past robots.txt, too.
//
// Download.Timeout holds for the page in all, Download.MaxSize for the document as it is written. All connections are made through the crawl's dialer, by a proxy inside this program that
// only the browser can use: Download.ConnectTo and Download.Dial hold for pages, scripts and all else they ask for, and no host name is looked up by the browser.
// Download.InsecureTLS and Download.DisableHTTP2 are obeyed; Download.CAFile, MinTLS and MaxTLS are not. Proxies of the crawl are not for rendered pages: a request that is to go through
// one, by Settings.Proxy.URLs, the environment or its own Knobs.Proxy, is refused, and one with the knob "direct" is not.
//
// Downloads, dialogs and windows that a page wants to open are refused. An answer that is a file and no page, such as a PDF or a picture, is an error of kind request: ask for it
// without Render.
//
// # The browser
//
// One process is started at the first such request, and ended with the crawl. If it ends by itself, what it had in hand fails with the kind connection, to be retried, and the next request
// starts another. It is told what to do over a pipe, so nobody else can, and ends with this program, however that ends; only then its temporary folder may stay behind. It gets none of
// this program's environment but what it needs. As root it has no sandbox, and the log warns of that: do not run crawls as root.
//
// # Where things are
//
//	browser.go  requests and their turns
//	process.go  the browser's process
//	page.go     one page: what is done, step by step
//	events.go   one page: what the browser wants to know
//	cookies.go  cookies, in and out
//	proxy.go    the way out
package browser
