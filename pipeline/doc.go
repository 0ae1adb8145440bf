// Package pipeline is what happens to items: the chain of stages that each goes through, typed stages ([Each]), and the stages that download what items
// name: [FilesPipeline], [ImagesPipeline], and [MediaPipeline] for other kinds of media.
//
// # The life of an item with media
//
// An item names its pictures in its field image_urls, its files in file_urls. It comes to the stage, and its URLs are asked for; the item waits there. Later
// stages, and so the feeds, see it when each URL has been downloaded or has failed.
//
//   - A failure costs one result and never the item. The results are in images, or files, in the order of the URLs, without those that failed.
//   - What is in the store and younger than expires is not downloaded ("uptodate"). What is older is asked for under the condition that it has changed, if its
//     server gave it an ETag or a date.
//   - A URL that several items name is downloaded once in a crawl. A result is remembered, and a failure too, unless another attempt may do better.
//   - A page may not name what is not its own: a URL of file: or s3: in an item's field fails, unless the item's page has that scheme itself. What MediaRequests
//     returns is the program's word, and is asked.
//   - The requests go through the same downloader and middlewares as pages, and count in the same limits, in all and per host: ahead of the pages that wait at
//     their host, retried and slowed down as pages are, kept to robots.txt. They are not filtered as seen or as offsite.
//   - Bodies are not held in memory: a file of 5 GB costs a few hundred kilobytes. Nothing half-written is ever in the store under its name.
//   - While it waits, an item costs about ten kilobytes and none of the places of others. When concurrent_items of them wait no more pages are asked, and a
//     warning names the host that they wait for. media/parked in the stats is how many wait now, media/parked_max how many did at most.
//   - A stop (Ctrl-C, CloseSpider) finishes what waits, for up to stop_timeout; a second Ctrl-C doesn't. In a job, a page with an item that was not finished
//     is not acknowledged: it is done again when the job goes on. What was stored by then is "uptodate".
//
// # Enabling it
//
// A pipeline is a stage, and needs a store:
//
//	settings.ItemPipelines = []crawl.Stage{{Order: 300, Pipeline: &pipeline.ImagesPipeline{}}}
//	settings.Images.Store = "images"
//
// Without a store it is disabled, with a warning. A value may carry its own settings, which win over the crawl's field by field, so that two pipelines
// with different stores, credentials and thumbnails live side by side:
//
//	{Order: 300, Pipeline: &pipeline.ImagesPipeline{}},
//	{Order: 310, Pipeline: &pipeline.ImagesPipeline{Settings: crawl.ImagesSettings{
//		Store: "logos", URLsField: "logo_url", ResultField: "logo", MinWidth: 16,
//	}}},
//
// # Settings
//
// By the names that a settings file, the environment and -s take, with their defaults; - is none. In Go images.min_width is Settings.Images.MinWidth. Scrapy's
// names are taken too: IMAGES_MIN_WIDTH and so on; those that are spelled otherwise, or mean something else, are listed behind.
//
//	images.store                -            a folder, or file:// s3:// gs:// ftp:// ftps:// as the program has them;
//	                                         {spider} in it is the spider's name. None: the pipeline is disabled
//	images.urls_field           image_urls   the item's field with the URLs, by json tag or Go name: a list, or one text
//	images.result_field         images       the item's field for the results: []crawl.File
//	images.expires              90d          how long a stored picture is fresh; negative: always download
//	images.min_width            0            pixels; a narrower picture fails; 0 is any
//	images.min_height           0            pixels; a lower picture fails; 0 is any
//	images.thumbs               -            name and box, in pixels, of each thumbnail: {"small": [50, 50]}
//	images.quality              75           of JPEGs that are written, 1 to 100
//	images.preserve_format      false        keep pictures as they come, in their own format; thumbnails are JPEGs
//	images.max_pixels           178956970    width × height of the largest picture that is decoded
//	images.pixel_budget         50000000     pixels in work at once, in the whole crawl; a larger picture is worked on alone
//	files.store                 -            see images.store
//	files.urls_field            file_urls    see images.urls_field
//	files.result_field          files        see images.result_field
//	files.expires               90d          how long a stored file is fresh; negative: always download
//
// For every kind of media; a pipeline's own are in its field Media:
//
//	media.cache_size            100000       finished results that are remembered; negative: none. Behind them the store is asked
//	media.allow_redirects       false        follow redirects; otherwise one is a failure
//	media.statuses              -            statuses that are a success; none: every 2xx
//	media.max_size              0            bytes of the largest file; 0 is download.max_size, 1 GiB; negative: any
//	media.obey_allowed_domains  false        keep media to Spider.AllowedDomains
//	media.ignore_robots         false        ask although robots.txt says no
//	media.checksum              md5          of results: md5, sha1 or sha256
//
// For stores elsewhere. The same under images. and files. (images.aws.acl) holds for the pipelines of that kind alone, and wins; credentials count as one:
//
//	aws.access_key_id           -            none: the environment, ~/.aws/credentials, then the machine's role
//	aws.secret_access_key       -            goes with the key's id
//	aws.session_token           -            goes with temporary credentials
//	aws.region                  -            the bucket's; none: AWS_REGION, AWS_DEFAULT_REGION, else the server is asked
//	aws.endpoint                -            URL of another server than Amazon's; none: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL
//	aws.insecure_tls            false        take any certificate of the endpoint
//	aws.acl                     -            canned, such as public-read; none: no ACL is sent
//	gcs.credentials_file        -            a key file; none: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, the machine's;
//	                                         "none": requests carry no credentials
//	gcs.project                 -            who pays, where the requester does
//	gcs.endpoint                -            URL of another server than Google's; none: STORAGE_EMULATOR_HOST
//	gcs.acl                     -            predefined, such as publicRead; none: the bucket's default
//	ftp.user                    anonymous    where the URL names nobody
//	ftp.password                guest        goes with the user
//	ftp.domain                  -            who gets them when ftp: URLs are asked for; stores need none
//	ftp.insecure_tls            false        take any certificate of an FTPS server
//	ftp.connections             4            open at once, for each store
//
// And these of the whole crawl matter most to media:
//
//	concurrent_requests         16           downloads at once, pages and media together
//	concurrent_per_host         8            downloads at once at one host, pages and media together
//	concurrent_items            10000        items in the pipelines, those that wait included; beyond it callbacks wait
//	concurrent_stages           100          items inside a stage at once, those that wait not counted
//	stop_timeout                30s          how long a stop lets media that waits begin
//
// Scrapy's names that are not the name in capitals:
//
//	IMAGES_EXPIRES, FILES_EXPIRES                images.expires, files.expires, in days; 0 is always download
//	IMAGES_STORE_S3_ACL, FILES_STORE_S3_ACL      images.aws.acl, files.aws.acl
//	IMAGES_STORE_GCS_ACL, FILES_STORE_GCS_ACL    images.gcs.acl, files.gcs.acl
//	FEED_STORAGE_S3_ACL, FEED_STORAGE_GCS_ACL    aws.acl, gcs.acl: feeds are stored by these too
//	AWS_REGION_NAME, AWS_ENDPOINT_URL            aws.region, aws.endpoint
//	AWS_VERIFY                                   the opposite of aws.insecure_tls
//	CONCURRENT_REQUESTS_PER_DOMAIN               concurrent_per_host
//
// # Hooks
//
// Function fields of FilesPipeline and ImagesPipeline, with Scrapy's names and in the order in which they are called, and the example that shows each:
//
//	MediaRequests    what an item needs, in place of its URLs field: other URLs, headers, knobs       FilesPipeline (MediaRequests, Login)
//	MediaToDownload  a result for which nothing is downloaded                                         FilesPipeline (MediaToDownload)
//	FilePath         the name in the store, asked for before and after the download                   FilesPipeline (FilePath), ImagesPipeline (OwnNames)
//	MediaDownloaded  every response, whatever its status                                              FilesPipeline (MediaDownloaded)
//	FileDownloaded   FilesPipeline: a good response, whose body may be replaced                       FilesPipeline (FileDownloaded)
//	ImageDownloaded  ImagesPipeline: a picture's size, before its pixels                              ImagesPipeline (ImageDownloaded)
//	ConvertImage     ImagesPipeline: the pixels                                                       ImagesPipeline (ConvertImage)
//	ThumbPath        ImagesPipeline: the name of a thumbnail                                          ImagesPipeline (ThumbPath)
//	MediaFailed      a failure, which may become a result                                             FilesPipeline (MediaFailed)
//	ItemCompleted    the item with its results: drop it, add to it                                    ImagesPipeline (ItemCompleted, PublicURL)
//
// Those between MediaRequests and ItemCompleted are called once for all items that share a URL, with the item that came first. An error or a panic in one of
// them is that file's failure, with two exceptions: [crawl.IgnoreRequest] is not worth a warning, and [crawl.CloseSpider] ends the crawl.
//
// For media that is neither, a [MediaPipeline] is given a [Kind]: the example MediaPipeline (Checksums) keeps downloads whose SHA-256 is known beforehand. One
// that is nearly a FilesPipeline or an ImagesPipeline wraps theirs: MediaPipeline (Wrapped).
//
// # Failures
//
// Each is a [*MediaError]: in Result.Err, in the log once with its page, and in the stats as file_status_count/failed and media/failed_kind_count/KIND. Its
// kinds, and what to do:
//
//	refused          nobody listens there                  is the host right, and up? Asked again retry.times, then forgotten: a later item tries anew
//	timeout          no answer, or no end of it            raise download.timeout, or lower concurrent_per_host; forgotten
//	dns              there is no such host                 is the URL right? Forgotten
//	connection       it broke, or spoke no HTTP            lower concurrent_per_host; forgotten
//	truncated        the body ended early                  resumed where the server can, retried, and then forgotten; download.allow_truncated is for pages
//	dead-host        its host had been given up            look at the host: see breaker.trials; forgotten
//	not-public       download.public_only is on            download.allow_nets has exceptions
//	tls              the certificate is bad                download.insecure_tls takes it all the same
//	status           no success: 404, 403, 503             403 often wants a Referer (MediaRequests); 5xx, 408, 425 and 429 are forgotten
//	redirect         and media.allow_redirects is off      turn it on; to anything but http and https none is followed
//	empty            a success with nothing in it          the server's fault
//	too-large        more than media.max_size              raise it
//	encoding         a broken Content-Encoding             compression.off asks for none
//	proxy            it is down, or lets nothing through   the error names it and says why; forgotten
//	stopped          a hook stopped the download           the hook is the program's own: see crawl.StopDownload
//	browser          the rendering browser ended or froze  it is started again; forgotten
//	request          the URL can't be asked                mend what the spider extracts; file: and s3: are for MediaRequests to name
//	filtered         it is not to be asked                 robots.txt (media.ignore_robots), media.obey_allowed_domains, or a hook's IgnoreRequest; at debug level
//	too-small        under images.min_width or min_height  lower them, if such pictures are wanted
//	undecodable      not a picture, or a broken one        the error says what it looks like ("looks like HTML"); such a URL is none of a picture
//	too-many-pixels  more than images.max_pixels           raise it, if there is memory for it
//	store            the store failed four times, or long  forgotten; ten in a row close the crawl ("store"), whose pages are not acknowledged
//	other            a hook's error or panic               mend it; forgotten if it was a middleware's
//
// Forgotten failures are those that another attempt may not meet; filtered is one if the robots.txt could not be read. All others are remembered as long as results are.
//
// Successes count as file_count and file_status_count/ downloaded, uptodate or cached (from the HTTP cache), the bytes of their bodies as media/bytes.
//
// # Through the files
//
//  1. chain.go: [Chain.Process] takes a place among Settings.ConcurrentStages and calls the stages in their order.
//  2. media.go: at an ImagesPipeline the item stays. Its [Kind] is asked for the item's requests; by default they are made of the URLs in the item's field
//     image_urls (fields.go finds it by json tag or Go name). A URL that can't be asked is one failed result.
//  3. flight.go: each request boards a flight. There is one flight for a fingerprint: who comes first starts it, others, of the same item or of another, wait
//     for the same one; it lives (life.go) until it has landed or nobody waits. What ended not long ago is known from memory.go.
//  4. keeper.go: Fresh asks the store first. Thumbnails that are missing are made from the picture that is there.
//  5. Otherwise the request goes to Env.Fetcher. Meanwhile the item is parked: it gives its place in the chain to others and waits on its one goroutine for all
//     its flights.
//  6. flight.go: what arrives is judged, by status and length, and handed to the kind's Store on the goroutine that the downloader has for it. A spooled body
//     is never read into memory: the store takes the file over by a rename, or copies it as a stream.
//  7. images.go: the header is read, the limits are checked, and if pixels are needed, they are decoded once, inside Env.Pixels (pixels*.go, exif.go), made
//     into thumbnails (thumbs.go) and JPEG (encode.go). The full picture is stored last.
//  8. What has landed is counted, a failure is logged once, and all who waited get the same outcome, each with his own URL.
//  9. The results are in the item's field. The item takes a place in the chain again and goes on.
//  10. flush.go: in a job, what the results name is synced by the store before the item's page is acknowledged.
package pipeline
