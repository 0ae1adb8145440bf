// Package gcs keeps media on Google Cloud Storage, by its JSON API. A program links it by naming it:
//
//	Settings.Parts.Stores = map[string]crawl.OpenStore{"gs": gcs.Open}
//
// and a pipeline's store is then gs://bucket/prefix. Settings.GCS says how to get there, Settings.Images.GCS and Settings.Files.GCS for one pipeline alone. What they
// leave open comes from where other tools have it: GOOGLE_APPLICATION_CREDENTIALS names a key file, `gcloud auth application-default login` leaves one, and Google's own
// machines have a service account. STORAGE_EMULATOR_HOST names another server, which is asked without credentials.
//
// The bucket must be there. The credentials need storage.objects.create and .get, .delete to replace files that have expired, and .update to renew files that have not
// changed (the role Storage Object User has all of these). Open asks which of them there are, and the log says what will not work.
//
// # What is stored
//
// A file is one object. Its record (checksum, width, height, thumbnails, what the server said for conditional requests) is the object's custom metadata, under names
// that begin with tulle-, percent-encoded as in package s3; its type is the object's Content-Type. Google takes 8 KiB of metadata: of a larger record the final URL is
// left out first, then the thumbnails, which are found again by their names.
//
// Files above 5 MiB go up by resumable uploads, which go on after a broken connection. However many files there are, they take no more memory than four pieces of
// 5 MiB and a small buffer each. What arrived is held against its MD5. Nothing is visible before all of it is there, and a crash leaves nothing that costs money.
//
// # Where things are
//
//	open.go    from an address and settings to a store; the look at the bucket
//	store.go   the store
//	upload.go  how files go up: at once, or in pieces
//	client.go  requests, answers, and what is tried again
package gcs
