// Package downloader is what stands at the end of the chain of middlewares: it asks for what a request names, once, and returns what came back.
//
// A [Downloader] looks at the URL's scheme and hands the request to its handler. http, https, file and data are built in; Settings.Parts.Handlers adds
// others, puts others in their place, or takes a scheme away with a nil entry. Package ftp has one for ftp and ftps, package s3 one for s3. A request with Knobs.Render goes to
// Settings.Parts.Renderer, which is package browser's. handler.go has what such packages need to keep to the settings as the built-in handlers do.
//
// # What it does not do
//
// Redirects, cookies, compression, retries, credentials, the choice of a proxy and the User-Agent belong to middlewares: a request is sent with the headers that it has and no
// others, but Host and Content-Length. How many requests a host gets at once, and how often, is the scheduler's to say: what arrives here leaves at once.
//
// # HTTP
//
// http.Transport does the protocol, HTTP/1.1 and over TLS HTTP/2, and is called directly; http.Client would only do again what middlewares do. Around it
// there are
//
//   - the whole-request timeout, from the connection to the last byte, and the least speed of a body, Download.MinSpeed, so that a server that sends a byte a second is
//     no trap (lane.go);
//   - the guard of Download.PublicOnly (guard.go), which sees the address of each connection before anything is sent, whatever name, redirect or entry of
//     Download.ConnectTo led there. What a proxy is asked for can only be checked by what its name means here: a name server may tell the proxy otherwise;
//   - connections that can be led to another address by Download.ConnectTo, and are all cut by Close (dial.go);
//   - the limits of the body (body.go): a small one goes into memory, a large one into the spool, one that is too large is abandoned where that shows, if
//     its length was announced before its first byte. Bodies are read to the end, so connections are used again;
//   - for each proxy a transport of its own (proxy.go), chosen by [crawl.Proxy]: no connection of one ever serves another, or a request without;
//   - for each Knobs.BindAddress likewise (bind.go);
//   - what is left of a transfer that broke off, for the next attempt of the same request (resume.go);
//   - a check of what cannot be sent, and of answers that nobody asked for (http.go).
//
// What is passed in the values of a context does not reach net/http: httptrace sees nothing here.
//
// A connection that was used before may be closed by its server at the moment of the next request. net/http then asks once more by itself, on another connection, if no byte
// of an answer has come and the request is one that may be repeated (GET, HEAD, OPTIONS, TRACE, or none of it was written): so one attempt can be two requests to the server,
// without a delay between them, and counts as one here. idleTimeout makes it rare.
//
// net/http refuses a response with a header line that has no colon, and more than 256 KiB of headers; there, browsers and Scrapy differ.
//
// # Transfers that break off
//
// A body that was on its way into a spool file when the connection broke, the timeout came or the bytes were too few is kept, with its hash, for the next attempt: if it was
// the answer to a GET without a Range of its own, has a strong ETag, or a Last-Modified and no ETag, does not say Accept-Ranges: none, and if the request has retries
// left. The next attempt asks for the rest (Range and If-Range). What it gets, if it is the rest of the same version, is appended, and the response is the one that the whole
// would have been, with the flag "resumed"; downloader/resumed_count counts them. If it is something else it is thrown away, and the whole is asked for at once: two versions
// never meet in one file. A 5xx or a 429 in between changes nothing. Nor do two users: a part is for requests with the same Authorization, CookieJar and cookies of their
// own; what a jar has learned meanwhile does not matter.
//
// An attempt that gets ahead by 1 MiB and a hundredth of the whole does not use up one of Retry.Times (DownloadError.Progress). Download.Timeout is for each attempt, so a
// file that takes longer arrives in several, if its server has ranges. Download.MaxSize is for the whole.
//
// What is kept is at most 8 GiB, and 100 bodies or twice ConcurrentRequests, for at most 15 minutes; the oldest go first, and all at Close or when the disk is full.
// With Download.AllowTruncated nothing is kept: what came is taken.
//
// # Errors
//
// What goes wrong is a [crawl.DownloadError] of one of these kinds (errors.go):
//
//	refused     the connection was refused
//	timeout     it took longer than Download.Timeout or the request's own; or 30 s for the connection, or for the TLS handshake; or its body came more slowly
//	            than Download.MinSpeed
//	dns         the host's name was not found
//	tls         the certificate or the handshake was bad
//	connection  the connection broke before the headers were in, what came was not HTTP, or it was a 101 or 206 that nobody had asked for; or an HTTP/2 server
//	            sent five connections away without looking at the request, or refused it twice on one
//	truncated   after the headers, the connection broke or the chunks were malformed; Download.AllowTruncated accepts what came before, with the
//	            flag "truncated"
//	too-large   the body is larger than Download.MaxSize or the request's own: the error wraps crawl.ErrBodyTooLarge
//	stopped     a hook returned crawl.StopDownload(true) when it saw the headers, or a piece of the body. With false, what came before is the response, with the flags
//	            "download_stopped" and "truncated"
//	proxy       the proxy was not reached, wants other credentials, or does not let the request through. That it did not reach the host is of the kinds above
//	not-public  Download.PublicOnly is on, and the address is not public
//	request     it cannot be sent: no host, an unknown scheme, a control character, no such file, a bind address that this machine has not or that no connection
//	            to the host can come from
//
// If the caller's context has ended, the error is that context's, wrapped, and no DownloadError: nothing failed. If a body could not be written to
// the spool, it is the disk's error.
package downloader
