// Package s3 keeps media on Amazon S3, and on every server that speaks its protocol. A program links it by naming it:
//
//	Settings.Parts.Stores = map[string]crawl.OpenStore{"s3": s3.Open}
//
// and a pipeline's store is then s3://bucket/prefix. Settings.AWS says how to get there, Settings.Images.AWS and Settings.Files.AWS for one pipeline alone. What they
// leave open comes from the environment as other tools have it: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE and ~/.aws/credentials, the
// role of the machine or container; AWS_REGION; AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL for another server than Amazon's:
//
//	tulle crawl shop -s images.store=s3://pictures/shop -s aws.endpoint=http://localhost:9000
//
// The bucket must be there. The credentials need s3:PutObject and s3:GetObject. With s3:ListBucket too, S3 tells a file that is missing from one that is denied;
// without, a file that is denied counts as missing, and the log says so once.
//
// # What is stored
//
// A file is one object. Its record (checksum, width, height, thumbnails, what the server said for conditional requests) is the object's metadata, under names that
// begin with tulle-, percent-encoded; its type is the object's Content-Type. S3 takes 2 KB of metadata: of a larger record the final URL is left out first, then the
// thumbnails, which are found again by their names.
//
// Files above 5 MiB go up in parts, of that size or of a ten-thousandth of the file. They are read where they are, so that many at once take no more memory than a few. Only what
// can't be sought, which nothing of the pipelines is, goes through buffers: four parts and a small buffer each, and up to 48 GiB.
//
// A request that stands still for two minutes is given up, and so is what it was for, the second time. Putting parts together and copying may take the server twenty minutes;
// if its answer is lost, the object's ETag says whether it was done.
//
// Nothing is visible before all of it is there. A crash may leave parts behind, which cost money and are seen by nobody: let the bucket's life cycle rules abort
// incomplete uploads (AbortIncompleteMultipartUpload).
//
// No ACL is sent unless Settings.AWS.ACL has one: buckets whose owner has turned ACLs off refuse every one.
//
// # Where things are
//
//	open.go   from an address and settings to a store; the look at the bucket
//	store.go  the store
package s3
