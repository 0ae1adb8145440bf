// Package ftp downloads files from FTP servers, plain or with TLS. A program links it by naming it:
//
//	Settings.Parts.Handlers = map[string]crawl.OpenHandler{"ftp": ftp.Open, "ftps": ftp.Open}
//
// and requests, those for media too, may then have such URLs:
//
//	ftp://user:password@host/pub/picture.jpg     plain, port 21: password and files can be read on the way
//	ftp://host/pub/picture.jpg?tls=explicit      port 21, with TLS from the first command on (AUTH TLS, RFC 4217)
//	ftps://host/pub/picture.jpg                  TLS from the first byte on, port 990
//
// Without a user in the URL, Settings.FTP.User and Settings.FTP.Password log in at hosts of Settings.FTP.Domain, and anonymous elsewhere. The path begins in the
// folder where the user is after the login (RFC 1738); two slashes, ftp://host//var/file, begin at the server's root. Folders are not listed: a path that ends in a slash is an error.
//
// # Responses
//
// A file is a response with status 200 and the Content-Type that its extension stands for. A file that is not there, or is denied, has status 404 (the server's 550),
// and what else a server refuses 503, as in Scrapy; the body is what it said. A login that is refused is an error of kind request, a server with too many
// connections (421) one of kind connection, and both kinds are as in package downloader.
//
// Download.MaxSize, Download.Timeout and the spool hold as for HTTP. A transfer that ends before the size that the server has told (SIZE), or without its
// word that all is sent, is truncated and an error.
//
// # Connections
//
// A connection is used again for the next file of the same server and user, and closed when it was idle for half a minute. How many there are at once is ConcurrentPerHost's
// matter, or that of Settings.Slots for one host. Data connections are passive, and go to the server itself whatever address it names. Download.Dial and
// Download.ConnectTo are obeyed.
package ftp
