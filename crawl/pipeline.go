package crawl

import (
	"context"
	"io"
	"time"
)

// A Pipeline is a stage that every item goes through.
type Pipeline interface {
	// Process returns the item, changed or not, or another one in its place; [DropItem] drops it, [CloseSpider] ends the crawl, any other error is counted as
	// an item error and the item ends there. It is called for many items at once and may take as long as it needs: the item waits at this
	// stage, other items do not. The page that the item comes from is [Origin](ctx).
	Process(ctx context.Context, item any) (any, error)
}

// An Opener is a [Pipeline] value that is only a description. It is never written to: what Open returns runs in its place, so two crawls with the same
// Settings never meet. What Open returns may be an io.Closer, and a [Flusher].
type Opener interface {
	// Open prepares the stage. [NotConfigured] leaves it out with a warning; another error ends the start.
	Open(ctx context.Context, env *Env) (Pipeline, error)
}

// A Flusher is a [Pipeline] that keeps items back. Flush is called before their pages are acknowledged: when it returns nil they are safe.
type Flusher interface {
	Flush(ctx context.Context) error
}

// A Stage is a pipeline's place in Settings.ItemPipelines: lower orders first, equal ones as listed.
type Stage struct {
	Order    int
	Name     string // for logs; empty: the pipeline's type
	Pipeline Pipeline
}

// A File is one stored picture or file, as it stands in an item.
type File struct {
	// URL is the address that the item named.
	URL string `json:"url"`
	// Path is the name in the store, with slashes.
	Path string `json:"path"`
	// Checksum is the hex digest of the stored bytes: MD5, unless Media.Checksum says otherwise.
	Checksum string `json:"checksum"`
	// Status is "downloaded", "uptodate" (it was in the store and fresh) or "cached" (the response came from the HTTP cache).
	Status string `json:"status"`
	// Width and Height are those of the stored picture in pixels; 0 for other files.
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
	// Size is the stored file's, in bytes.
	Size int64 `json:"size,omitempty"`
	// ContentType is the stored file's media type.
	ContentType string `json:"content_type,omitempty"`
	// FinalURL is the address that answered, when redirects were followed and it differs from URL.
	FinalURL string `json:"final_url,omitempty"`
	// Thumbs are the thumbnails by their names in Images.Thumbs.
	Thumbs map[string]Thumb `json:"thumbs,omitempty"`
}

// A Thumb is one stored thumbnail.
type Thumb struct {
	Path   string `json:"path"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

// A Size is a picture's in pixels.
type Size struct {
	Width, Height int
}

// A Store keeps files under slash-separated, relative names. Implementations are in pipeline/store and below it; all pass pipeline/store/storetest. They are
// safe for concurrent use, and refuse names that are empty, absolute or would leave the store. A Store may be an io.Closer.
type Store interface {
	// Put keeps what r yields under name, in place of what was there. A reader that fails, or a crash, leaves what was there before:
	// nothing half-written is ever visible.
	Put(ctx context.Context, name string, r io.Reader, meta Meta) error
	// Stat says what is known of a file. The error is fs.ErrNotExist if there is none.
	Stat(ctx context.Context, name string) (Info, error)
	// Open reads a file; the caller closes it. The error is fs.ErrNotExist if there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// An Adopter is a [Store] that can take a local file over by renaming it, without reading it. It reports false, and has done nothing, when it can't
// (another file system): the caller then calls Put.
type Adopter interface {
	Adopt(ctx context.Context, name, localPath string, meta Meta) (bool, error)
}

// A Toucher is a [Store] that can renew a file's time and record without its bytes: the server said that it has not changed.
type Toucher interface {
	Touch(ctx context.Context, name string, meta Meta) error
}

// A Syncer is a [Store] whose files survive a power cut only after Sync has returned: in a job it is called before the items that name them are committed. names may
// have been stored by an earlier process, and may come twice; a name that is gone is no error. An error ends the crawl. Sync is safe for concurrent use.
type Syncer interface {
	Sync(ctx context.Context, names []string) error
}

// A Prober is a [Store] that can say whether it may be written to without leaving something there: before a crawl, not at its end.
type Prober interface {
	Probe(ctx context.Context) error
}

// Meta is what is recorded beside a stored file.
type Meta struct {
	Checksum     string           `json:"checksum,omitempty"`
	Width        int              `json:"width,omitempty"`
	Height       int              `json:"height,omitempty"`
	ContentType  string           `json:"content_type,omitempty"`
	ETag         string           `json:"etag,omitempty"`          // of the response it came with
	LastModified string           `json:"last_modified,omitempty"` // likewise
	FinalURL     string           `json:"final_url,omitempty"`
	Thumbs       map[string]Thumb `json:"thumbs,omitempty"`
}

// Info is what a [Store] knows of a file. Meta is zero for files that were stored by others, or changed since: its record is valid only while size and time agree.
type Info struct {
	Size    int64
	ModTime time.Time // UTC
	Meta    Meta
}
