// Package cookiejar keeps cookies as a browser does, and can list, save and load them, which net/http/cookiejar cannot.
//
// The rules are RFC 6265's algorithms for user agents (sections 5.1 to 5.4). From its successor, draft-ietf-httpbis-rfc6265bis, come
// those that browsers enforce today: the name prefixes __Host- and __Secure-, a site without TLS can neither set nor replace a Secure
// cookie, no cookie lives longer than 400 days. Domains are checked against the public suffix list. SameSite is ignored: a crawl has no
// page that a request could come from.
//
// A jar is a value; a crawl may have many. Cookies lie by site (registrable domain), which is also what the limit per domain counts and
// what Jar.Changes reports, so that a job that is killed loses no cookies and writes only those that changed.
package cookiejar
