package pipeline

import (
	"context"
	"errors"
	"io"

	"github.com/tulle-go/tulle/crawl"
)

// FilesPipeline downloads the files that items name and keeps them as they are: full/<sha1 of the URL>.<extension>. The zero value reads the field file_urls,
// writes the field files, and keeps to Settings.Files and Settings.Media. Without a store it is disabled, with a warning that names the setting.
//
// Its function fields are hooks; nil ones change nothing. They are called from many goroutines at once, and those that are about one file once for all
// items that share it, with the item that came first. A panic or an error in those is that file's failure. What the hooks can't do, a [Kind] can
// that wraps the one which OpenKind returns: see [MediaPipeline].
type FilesPipeline struct {
	// Settings win over the crawl's Settings.Files, field by field, where they are not zero. So do Media over Settings.Media.
	Settings crawl.FilesSettings
	Media    crawl.MediaSettings
	// Store is where files go, in place of the one that Settings.Store names. It is not closed.
	Store crawl.Store

	// MediaRequests returns what an item needs, in place of its URLs field. The requests' own Knobs and headers are kept.
	MediaRequests func(ctx context.Context, item any) ([]*crawl.Request, error)
	// MediaToDownload returns a result for which nothing is downloaded, or nil and no error to go on as usual: to look into the store, and then to download.
	MediaToDownload func(ctx context.Context, req *crawl.Request, item any) (*crawl.File, error)
	// MediaDownloaded is given every response, whatever its status. It returns a result, or nil and no error to go on as usual.
	MediaDownloaded func(ctx context.Context, resp *crawl.Response, item any) (*crawl.File, error)
	// MediaFailed is told of a failure before anybody else. It returns a result in its place, or an error: err, or a better one.
	MediaFailed func(ctx context.Context, req *crawl.Request, err error, item any) (crawl.File, error)
	// FileDownloaded is given each response that is going to be stored. It may put another Body into it: unpacked, stamped, cleaned. An error fails it.
	FileDownloaded func(ctx context.Context, resp *crawl.Response, item any) error
	// FilePath chooses the name in the store. It is called before the download too, with resp nil, to see whether the store has the file; if the path depends
	// on the response it returns "" then. The same request and item must give the same path.
	FilePath func(req *crawl.Request, resp *crawl.Response, item any) (string, error)
	// ItemCompleted is called when an item's results are in its field, and returns the item that goes on. [crawl.DropItem] drops it.
	ItemCompleted func(ctx context.Context, results []Result, item any) (any, error)
}

var (
	_ crawl.Pipeline = (*FilesPipeline)(nil)
	_ crawl.Opener   = (*FilesPipeline)(nil)
)

// Process implements [crawl.Pipeline]. It always fails: what Open returns runs in the description's place.
func (p *FilesPipeline) Process(context.Context, any) (any, error) { return nil, errNotOpen }

// Open implements [crawl.Opener].
func (p *FilesPipeline) Open(ctx context.Context, env *crawl.Env) (crawl.Pipeline, error) {
	return (&MediaPipeline{OpenKind: p.OpenKind, Media: p.Media}).Open(ctx, env)
}

// OpenKind opens the store and returns the pipeline's [Kind], for a [MediaPipeline] that wraps it. The Kind is an io.Closer.
func (p *FilesPipeline) OpenKind(ctx context.Context, env *crawl.Env) (Kind, error) {
	env, err := envWith(env, func(s *crawl.Settings) {
		usePlaces(s, places{p.Settings.AWS, p.Settings.GCS, p.Settings.FTP}, places{s.Files.AWS, s.Files.GCS, s.Files.FTP})
		s.Files, s.Media = merged(p.Settings, s.Files), merged(p.Media, s.Media)
	})
	if err != nil {
		return nil, err
	}
	s := &env.Settings.Files
	k, err := newKeeper(ctx, env, p.Store, s.Store, "files.store")
	if err != nil {
		return nil, err
	}
	k.hooks = hooks{p.MediaRequests, p.MediaToDownload, p.MediaDownloaded, p.MediaFailed, p.FilePath, p.ItemCompleted}
	k.fields = &fields{urls: s.URLsField, result: s.ResultField, log: env.Log}
	k.expires, k.name = s.Expires, fileName
	f := &files{keeper: k, fileDownloaded: p.FileDownloaded}
	k.finish = f.finish
	if syncer, ok := k.store.(crawl.Syncer); ok {
		return syncedFiles{f, syncer}, nil
	}
	return f, nil
}

// places is what stores elsewhere need.
type places struct {
	aws crawl.AWSSettings
	gcs crawl.GCSSettings
	ftp crawl.FTPSettings
}

// usePlaces makes s.AWS, s.GCS and s.FTP what holds for one pipeline's store: what its value says, over what all pipelines of its kind have, over what is there.
// Credentials go together: a password or a token is not sent with somebody else's name.
func usePlaces(s *crawl.Settings, own, kind places) {
	for _, p := range [...]places{kind, own} {
		if p.aws.AccessKeyID != "" {
			s.AWS.SecretAccessKey, s.AWS.SessionToken = "", ""
		}
		if p.ftp.User != "" {
			s.FTP.Password = ""
		}
		s.AWS, s.GCS, s.FTP = merged(p.aws, s.AWS), merged(p.gcs, s.GCS), merged(p.ftp, s.FTP)
	}
}

// files is the Kind of a FilesPipeline.
type files struct {
	*keeper
	fileDownloaded func(ctx context.Context, resp *crawl.Response, item any) error
}

// syncedFiles are files whose store has something to sync.
type syncedFiles struct {
	*files
	crawl.Syncer
}

var (
	_ Kind      = (*files)(nil)
	_ Receiver  = (*files)(nil)
	_ Rescuer   = (*files)(nil)
	_ io.Closer = syncedFiles{}
)

// Store implements [Kind].
func (f *files) Store(ctx context.Context, resp *crawl.Response, item any) (crawl.File, error) {
	if f.fileDownloaded != nil {
		if err := f.fileDownloaded(ctx, resp, item); err != nil {
			return crawl.File{}, err
		}
	}
	req, body := resp.Request, resp.Body
	if body.Size() == 0 {
		return crawl.File{}, &MediaError{Kind: KindEmpty, Err: errors.New("FileDownloaded has left nothing")}
	}
	path, err := f.path(req, resp, item)
	if err != nil {
		return crawl.File{}, err
	}
	meta := metaOf(resp)
	if meta.ContentType == "" {
		meta.ContentType = mediaTypes[suffix(path)]
	}
	if meta.Checksum, err = f.sum(body); err != nil {
		return crawl.File{}, &MediaError{Kind: KindStore, Err: err}
	}
	if err := f.put(ctx, path, body, meta); err != nil {
		return crawl.File{}, err
	}
	if err := f.noteDown(ctx, req, path, item); err != nil {
		return crawl.File{}, err
	}
	return fileOf(req, path, body.Size(), &meta, statusOf(resp)), nil
}

// finish completes what the store knows of a file that somebody else put there: it is read once, for its checksum.
func (f *files) finish(ctx context.Context, _ *crawl.Request, h *held, _ any) error {
	meta := &h.info.Meta
	if meta.Checksum != "" {
		return nil
	}
	r, err := f.store.Open(ctx, h.path)
	if err != nil {
		return err
	}
	defer r.Close()
	if meta.Checksum, err = f.sumOf(r); err != nil {
		return err
	}
	if meta.ContentType == "" {
		meta.ContentType = mediaTypes[suffix(h.path)]
	}
	f.remember(ctx, h)
	return nil
}
