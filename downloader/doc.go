// Package downloader is what stands at the end of the chain of middlewares: it asks for what a request names, once, and returns what came back.
//
// A [Downloader] looks at the URL's scheme and hands the request to its handler. http, https, file and data are built in; Settings.Parts.Handlers adds
// others, puts others in their place, or takes a scheme away with a nil entry.
//
// # What it does not do
//
// Redirects, cookies, compression, retries, credentials and the User-Agent belong to middlewares: a request is sent with the headers that it has and no
// others, but Host and Content-Length. How many requests a host gets at once, and how often, is the scheduler's to say: what arrives here leaves at once.
//
// # HTTP
//
// http.Transport does the protocol, HTTP/1.1 and over TLS HTTP/2, and is called directly; http.Client would only do again what middlewares do. Around it
// there are
//
//   - the whole-request timeout (lane.go), from the connection to the last byte, so that a server that sends a byte a second is no trap;
//   - connections that can be led to another address by Download.ConnectTo, and are all cut by Close (dial.go);
//   - the limits of the body (body.go): a small one goes into memory, a large one into the spool, one that is too large is abandoned where that shows, if
//     its length was announced before its first byte. Bodies are read to the end, so connections are used again;
//   - a check of what cannot be sent, and of answers that nobody asked for (http.go).
//
// What is passed in the values of a context does not reach net/http: httptrace sees nothing here.
//
// net/http refuses a response with a header line that has no colon, and more than 256 KiB of headers; there, browsers and Scrapy differ.
//
// # Errors
//
// What goes wrong is a [crawl.DownloadError] of one of these kinds (errors.go):
//
//	refused     the connection was refused
//	timeout     it took longer than Download.Timeout or the request's own; or 30 s for the connection, or for the TLS handshake
//	dns         the host's name was not found
//	tls         the certificate or the handshake was bad
//	connection  the connection broke before the headers were in, what came was not HTTP, or it was a 101 or 206 that nobody had asked for
//	truncated   after the headers, the connection broke or the chunks were malformed; Download.AllowTruncated accepts what came before, with the
//	            flag "truncated"
//	too-large   the body is larger than Download.MaxSize or the request's own: the error wraps crawl.ErrBodyTooLarge
//	request     it cannot be sent: no host, an unknown scheme, a control character, no such file
//
// If the caller's context has ended, the error is that context's, wrapped, and no DownloadError: nothing failed. If a body could not be written to
// the spool, it is the disk's error.
package downloader
