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
// response. Method, body and headers of the request are those of the document's request, without those of the connection, such as Keep-Alive and Te; the User-Agent is the whole page's.
// XML that a browser shows in a viewer of its own, such as a feed, is as it came. A document that breaks off is an error of kind truncated, or with Download.AllowTruncated what came.
//
// A redirect is not followed in the browser: it is a response, and the redirect middleware sends the request on, so that robots.txt, AllowedDomains and the limits of the new
// host hold. A page that sends itself to another address, by a script or a meta refresh, is followed there within its host, at most Redirect.Times times; one that leaves
// its host before it is taken is a response with status 302 and that Location. If there is no page where it sends itself, the request fails as if it had been asked for that.
//
// The cookies of the request's Cookie header are set for the page, with the domain, path and end that the crawl's jar knows, and HttpOnly so that no script sees them. What becomes of
// them in the page, by any response or by a script, is handed on in Set-Cookie headers, if it is for the page's own site: new ones, changed ones, and those that are deleted; also by a page
// that leaves its host. So a session that scripts have opened holds for requests without a browser, and one that they have closed is over. Each page has a browser context of its own: nothing is
// shared, nothing stays.
//
// # Limits
//
// A rendered page takes one place of its host and of all downloads, as any request, and waits for its turn among Settings.Browser.Pages. What the page itself asks for, scripts, pictures
// and data, is asked for by the browser as it sees fit, six at once from one host, and past robots.txt: Render.Block is the means against that, and by default pictures, media and
// fonts are not asked for. Where xhr is blocked pages have no shared and no service workers. To where a page sends itself on its own host it goes past robots.txt, too.
//
// Download.Timeout holds for the page in all, Download.MaxSize for the document as it comes, and as it is written; all that a page asks for may be ten times as much. All connections are made through the crawl's dialer, by a proxy inside this program that
// only the browser can use: Download.ConnectTo and Download.Dial hold for pages, scripts and all else they ask for, and no host name is looked up by the browser.
// Download.InsecureTLS and DisableHTTP2 are obeyed.
//
// Proxies of the crawl are for rendered pages as for all requests: those of Settings.Proxy.URLs, by turns and with rest for those that fail, those of the environment, and the request's own
// Knobs.Proxy; http, https and socks5, with their passwords. All that a page asks for goes through the one of its request. The proxy inside this program asks it: the browser learns neither its
// address nor its password, and pages with different ones are open at the same time. If a page's script or picture does not come through, the page is as it is without.
//
// Download.CAFile, MinTLS and MaxTLS are nothing that Chromium can be told, its headless shell at least. With them the handshakes with hosts, and all checks of their certificates, are this program's: the
// hosts see its TLS and not that of Chromium, and a script sees no difference. What is asked for in the connection stays the browser's, HTTP/2 included.
//
// Downloads, dialogs and windows that a page wants to open are refused. An answer that is a file and no page, such as a PDF or a picture, is an error of kind request: ask for it
// without Render.
//
// # The browser
//
// One process is started at the first such request, and ended with the crawl. It is told what to do over a pipe, so nobody else can, and ends with this program, however that ends. Ctrl-C does not
// reach it: pages that are open are finished, as all that is in flight. If this program is killed the browser's temporary folder stays behind, until the next program that renders removes
// it (not on Windows). It gets none of this program's environment but what it needs. As root it has no sandbox, and the log warns of that: do not run crawls as root.
//
// If it ends by itself, what it had in hand fails with the kind browser, and the next request starts another. When a page runs out of time the browser is asked for its version: if it does not
// tell within ten seconds it is frozen, is killed, and the page fails with the kind browser, too; else the page or its host was slow, which is a time-out as any. One that has not started within
// 30 s is killed as well, and fails so, as does one that can't be started, and a page whose own process is gone; that there is no browser at all is the kind request. The kind browser is retried and counts among Retry.Times, as a page may be what ends the browser each time; the breaker does not hold it against the host.
//
// # Where things are
//
//	browser.go  requests and their turns
//	process.go  the browser's process
//	page.go     one page: what is done, step by step
//	events.go   one page: what the browser wants to know
//	cookies.go  cookies, in and out
//	profile*.go its temporary folder
//	apart*.go   signals that it is not to get
//	proxy.go    the way out
//	tls.go      handshakes that the browser can't do
package browser
