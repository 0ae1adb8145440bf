// Package s3 downloads objects from Amazon S3, and from every server that speaks its protocol. A program links it by naming it:
//
//	Settings.Parts.Handlers = map[string]crawl.OpenHandler{"s3": s3.Open}
//
// and requests, those for media too, may then have URLs s3://bucket/key. Settings.AWS says how to get there and with which credentials, as for stores: see
// package pipeline/store/s3. A part of the URL after a ? is the query of the request, such as versionId=….
//
// An object is asked for by a signed request (Signature Version 4) through a handler of http and https of package downloader: so its limits and errors, what it does
// with a transfer that breaks off, Download.ConnectTo and Download.Dial are the same. The request is an https one unless Settings.AWS.Endpoint says http. Only GET
// and HEAD are for objects. The response has the object's headers, its URL is the request's, and a status such as 403 or 404 is a response, whose body is what the server said.
//
// Without a region in the settings or the environment, us-east-1 is tried, and the bucket's own once the server has told it.
package s3
