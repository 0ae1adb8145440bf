// Package pipeline is what happens to items: the chain of stages that each goes through, typed stages ([Each]), and the stages that download what items
// name: [FilesPipeline], [ImagesPipeline], and [MediaPipeline] for other kinds of media.
//
// # The way of an item with pictures
//
//  1. chain.go: [Chain.Process] takes a place among Settings.ConcurrentStages and calls the stages in their order.
//  2. media.go: at an ImagesPipeline the item stays. Its [Kind] is asked for the item's requests; by default they are made of the URLs in the item's field
//     image_urls (fields.go finds it by json tag or Go name). A URL that can't be asked is one failed result.
//  3. flight.go: each request boards a flight. There is one flight for a fingerprint: who comes first starts it, others, of the same item or of another, wait
//     for the same one. What ended not long ago is known from memory.go, failures too, unless another attempt may do better.
//  4. keeper.go: Fresh asks the store first. A file that is younger than Expires is the result ("uptodate"), and thumbnails that are missing are made from
//     it. One that is older is asked for under the condition that it has changed, if the server gave it an ETag or a date.
//  5. Otherwise the request goes to Env.Fetcher: the downloader of pages, with its middlewares and limits, ahead of the pages that wait. Meanwhile the item is
//     parked: it gives its place in the chain to others and waits on its one goroutine for all its flights.
//  6. flight.go: what arrives is judged, by status and length, and handed to the kind's Store on the goroutine that the downloader has for it. A spooled body
//     is never read into memory: the store takes the file over by a rename, or copies it as a stream.
//  7. images.go: the header is read, the limits are checked, and if pixels are needed, they are decoded once, inside Env.Pixels (pixels*.go, exif.go), made
//     into thumbnails (thumbs.go) and JPEG (encode.go). A JPEG that is RGB and upright is stored as it is. The full picture is stored last.
//  8. What has landed is counted, a failure is logged once with its page and URL, and all who waited get the same outcome, each with his own URL.
//  9. The results are in the item's field, in the order of its URLs, without those that failed. The item takes a place in the chain again and goes on.
//  10. flush.go: in a job, what the results name is synced by the store before the item's page is acknowledged.
//
// # Settings
//
// Settings.Images and Settings.Files say where things go (Store), which fields are read and written (URLsField, ResultField), how long a file is fresh
// (Expires), and for pictures MinWidth, MinHeight, Thumbs, Quality, MaxPixels, PixelBudget. Settings.Media is for both: CacheSize, AllowRedirects, Statuses,
// MaxSize, ObeyAllowedDomains, IgnoreRobots, Checksum. A pipeline's value may carry its own, field by field, so that two ImagesPipelines with different stores
// and thumbnails live side by side:
//
//	{Order: 300, Pipeline: &pipeline.ImagesPipeline{}},
//	{Order: 310, Pipeline: &pipeline.ImagesPipeline{Settings: crawl.ImagesSettings{
//		Store: "logos", URLsField: "logo_url", ResultField: "logo", MinWidth: 16,
//	}}},
//
// # Hooks
//
// Function fields of FilesPipeline and ImagesPipeline, in the order in which they are called:
//
//	MediaRequests    what an item needs, in place of its URLs field
//	MediaToDownload  a result for which nothing is downloaded
//	FilePath         the name in the store, asked with and without a response; ThumbPath for thumbnails
//	MediaDownloaded  every response, whatever its status
//	FileDownloaded   a good response, whose body may be changed (FilesPipeline)
//	ImageDownloaded  a picture's size, before its pixels (ImagesPipeline)
//	ConvertImage     the pixels (ImagesPipeline)
//	MediaFailed      a failure, which may become a result
//	ItemCompleted    the item, with all its results
//
// Those between MediaRequests and ItemCompleted are called once a flight, with the item that came first. An error or a panic in one of them is that file's
// failure; [crawl.IgnoreRequest] is one that is not worth a warning, [crawl.CloseSpider] ends the crawl.
//
// # Failures
//
// Each is a [*MediaError] with a kind, and counts as file_status_count/failed and media/failed_kind_count/KIND:
//
//	refused timeout dns connection truncated  no answer, or not all of it: forgotten, so that a later item tries again
//	status                                    no success; 5xx, 408, 425 and 429 are forgotten, after the downloader's own retries
//	store                                     the store failed four times, with waits between: forgotten; ten in a row close the crawl ("store")
//	redirect                                  and Media.AllowRedirects is off
//	empty too-large encoding                  nothing in it, more than Media.MaxSize, or a broken Content-Encoding
//	too-small undecodable too-many-pixels     not a picture that can be kept
//	tls request                               a bad certificate; a URL that can't be asked
//	filtered                                  robots.txt, or Media.ObeyAllowedDomains; logged at debug level
//	other                                     a hook's error or panic; forgotten if it came from a middleware
//
// Successes count as file_count and file_status_count/ downloaded, uptodate or cached, the bytes of their bodies as media/bytes. media/parked is how many items
// wait now.
package pipeline
