package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tulle-go/tulle/crawl"
	"github.com/tulle-go/tulle/pipeline/store"
)

// ImagesPipeline downloads the pictures that items name and keeps them as RGB JPEG: full/<sha1 of the URL>.jpg, with a thumbnail for each entry of Images.Thumbs:
// thumbs/<name>/<the same>.jpg. A JPEG that is RGB and upright already is kept byte for byte; others are turned upright and flattened onto white. With
// Images.PreserveFormat all are kept byte for byte, under the extension of the URL if that is a picture's, else under that of their format. The zero value reads the
// field image_urls, writes the field images, and keeps to Settings.Images and Settings.Media. Without a store it is disabled, with a warning that names the setting.
//
// Its function fields are hooks, as those of [FilesPipeline] are.
type ImagesPipeline struct {
	// Settings win over the crawl's Settings.Images, field by field, where they are not zero. So do Media over Settings.Media. PixelBudget is the crawl's alone.
	Settings crawl.ImagesSettings
	Media    crawl.MediaSettings
	// Store is where pictures go, in place of the one that Settings.Store names. It is not closed.
	Store crawl.Store

	// MediaRequests returns what an item needs, in place of its URLs field. The requests' own Knobs and headers are kept.
	MediaRequests func(ctx context.Context, item any) ([]*crawl.Request, error)
	// MediaToDownload returns a result for which nothing is downloaded, or nil and no error to go on as usual: to look into the store, and then to download.
	MediaToDownload func(ctx context.Context, req *crawl.Request, item any) (*crawl.File, error)
	// MediaDownloaded is given every response, whatever its status. It returns a result, or nil and no error to go on as usual.
	MediaDownloaded func(ctx context.Context, resp *crawl.Response, item any) (*crawl.File, error)
	// MediaFailed is told of a failure before anybody else. It returns a result in its place, or an error: err, or a better one.
	MediaFailed func(ctx context.Context, req *crawl.Request, err error, item any) (crawl.File, error)
	// ImageDownloaded is given each picture that is neither too small nor too large, before its pixels are decoded. size is that of the upright picture.
	// An error fails it.
	ImageDownloaded func(ctx context.Context, resp *crawl.Response, size crawl.Size, item any) error
	// ConvertImage returns the picture that is stored, and that thumbnails are made of, in place of img, which it must not write to: cropped, marked, in grey. With it
	// every picture is decoded and encoded again, as JPEG.
	ConvertImage func(ctx context.Context, resp *crawl.Response, img image.Image, item any) (image.Image, error)
	// FilePath chooses the name in the store. It is called before the download too, with resp nil, to see whether the store has the picture; if the path
	// depends on the response it returns "" then. The same request and item must give the same path.
	FilePath func(req *crawl.Request, resp *crawl.Response, item any) (string, error)
	// ThumbPath chooses the name of a thumbnail. thumb is its name in Images.Thumbs; else as FilePath.
	ThumbPath func(req *crawl.Request, thumb string, resp *crawl.Response, item any) (string, error)
	// ItemCompleted is called when an item's results are in its field, and returns the item that goes on. [crawl.DropItem] drops it.
	ItemCompleted func(ctx context.Context, results []Result, item any) (any, error)
}

var (
	_ crawl.Pipeline = (*ImagesPipeline)(nil)
	_ crawl.Opener   = (*ImagesPipeline)(nil)
)

// Process implements [crawl.Pipeline]. It always fails: what Open returns runs in the description's place.
func (p *ImagesPipeline) Process(context.Context, any) (any, error) { return nil, errNotOpen }

// Open implements [crawl.Opener].
func (p *ImagesPipeline) Open(ctx context.Context, env *crawl.Env) (crawl.Pipeline, error) {
	return (&MediaPipeline{OpenKind: p.OpenKind, Media: p.Media}).Open(ctx, env)
}

// OpenKind opens the store and returns the pipeline's [Kind], for a [MediaPipeline] that wraps it. The Kind is an io.Closer.
func (p *ImagesPipeline) OpenKind(ctx context.Context, env *crawl.Env) (Kind, error) {
	env, err := envWith(env, func(s *crawl.Settings) {
		usePlaces(s, places{p.Settings.AWS, p.Settings.GCS, p.Settings.FTP}, places{s.Images.AWS, s.Images.GCS, s.Images.FTP})
		s.Images, s.Media = merged(p.Settings, s.Images), merged(p.Media, s.Media)
	})
	if err != nil {
		return nil, err
	}
	s := &env.Settings.Images
	k, err := newKeeper(ctx, env, p.Store, s.Store, "images.store")
	if err != nil {
		return nil, err
	}
	k.hooks = hooks{p.MediaRequests, p.MediaToDownload, p.MediaDownloaded, p.MediaFailed, p.FilePath, p.ItemCompleted}
	k.fields = &fields{urls: s.URLsField, result: s.ResultField, log: env.Log}
	k.expires, k.name = s.Expires, imageName
	im := &images{
		keeper: k, settings: *s, pixels: env.Pixels, names: slices.Sorted(maps.Keys(s.Thumbs)),
		imageDownloaded: p.ImageDownloaded, convertImage: p.ConvertImage, thumbPath: p.ThumbPath,
	}
	if im.preserves() {
		k.name = preservedName
	} else {
		k.fits = fitsJPEG
	}
	k.finish = im.finish
	if syncer, ok := k.store.(crawl.Syncer); ok {
		return syncedImages{im, syncer}, nil
	}
	return im, nil
}

// images is the Kind of an ImagesPipeline.
type images struct {
	*keeper
	settings crawl.ImagesSettings
	pixels   crawl.Gate
	names    []string // of the thumbnails, in order

	imageDownloaded func(ctx context.Context, resp *crawl.Response, size crawl.Size, item any) error
	convertImage    func(ctx context.Context, resp *crawl.Response, img image.Image, item any) (image.Image, error)
	thumbPath       func(req *crawl.Request, thumb string, resp *crawl.Response, item any) (string, error)
}

// syncedImages are images whose store has something to sync.
type syncedImages struct {
	*images
	crawl.Syncer
}

var (
	_ Kind      = (*images)(nil)
	_ Receiver  = (*images)(nil)
	_ Rescuer   = (*images)(nil)
	_ io.Closer = syncedImages{}
)

const jpegType = "image/jpeg"

// preserves says that pictures are kept as they come.
func (im *images) preserves() bool { return im.settings.PreserveFormat && im.convertImage == nil }

// fitsJPEG says that a stored picture is a JPEG, or may be one: other programs' files have any type, or none. One that was kept with PreserveFormat may be under
// the same name.
func fitsJPEG(meta *crawl.Meta) bool {
	return meta.ContentType == jpegType || !strings.HasPrefix(meta.ContentType, "image/")
}

// Store implements [Kind].
func (im *images) Store(ctx context.Context, resp *crawl.Response, item any) (crawl.File, error) {
	req := resp.Request
	path, err := im.path(req, resp, item)
	if err != nil {
		return crawl.File{}, err
	}
	wanted, err := im.wantedThumbs(req, resp, item)
	if err != nil {
		return crawl.File{}, err
	}
	pic, err := im.render(ctx, resp, wanted, item)
	if err != nil {
		return crawl.File{}, pictureFailure(err)
	}
	if path == "" {
		path = pictureName(req.URL, pic.format)
	}
	meta := metaOf(resp)
	meta.ContentType, meta.Width, meta.Height = "image/"+pic.format, pic.size.X, pic.size.Y
	if meta.Checksum, err = im.sum(pic.full); err != nil {
		return crawl.File{}, &MediaError{Kind: KindStore, Err: err}
	}
	// The full picture comes last: as long as it is not there, nothing counts as stored.
	if meta.Thumbs, err = im.putThumbs(ctx, pic.thumbs); err != nil {
		return crawl.File{}, err
	}
	if err := im.put(ctx, path, pic.full, meta); err != nil {
		return crawl.File{}, err
	}
	if err := im.noteDown(ctx, req, path, item); err != nil {
		return crawl.File{}, err
	}
	return fileOf(req, path, pic.full.Size(), &meta, statusOf(resp)), nil
}

// pictureFailure gives the errors of the work on pixels their kinds.
func pictureFailure(err error) error {
	var (
		bad  *undecodableError
		many *tooManyPixelsError
	)
	switch {
	case errors.As(err, &bad):
		return &MediaError{Kind: KindUndecodable, Err: err}
	case errors.As(err, &many):
		return &MediaError{Kind: KindTooManyPixels, Err: err}
	}
	return err
}

// rendered is a picture ready to be stored.
type rendered struct {
	full   crawl.Body
	format string // of full
	size   image.Point
	thumbs []encodedThumb
}

// wantedThumb is a thumbnail to be made, and where it goes.
type wantedThumb struct {
	name, path string
	box        image.Point
}

type encodedThumb struct {
	wantedThumb
	size image.Point
	data []byte
}

// render turns a response into what is stored of it, with as little work as that takes.
func (im *images) render(ctx context.Context, resp *crawl.Response, wanted []wantedThumb, item any) (rendered, error) {
	r, err := resp.Body.Open()
	if err != nil {
		return rendered{}, &MediaError{Kind: KindStore, Err: err}
	}
	defer r.Close()
	at := heeding(ctx, r)
	info, err := inspectPicture(at)
	if err != nil {
		return rendered{}, err
	}
	if err := info.within(im.settings.MaxPixels); err != nil {
		return rendered{}, err
	}
	pic := rendered{full: resp.Body, format: info.Format, size: info.size()}
	if w, h := im.settings.MinWidth, im.settings.MinHeight; pic.size.X < w || pic.size.Y < h {
		return rendered{}, &MediaError{Kind: KindTooSmall, Err: fmt.Errorf("image too small (%dx%d < %dx%d)", pic.size.X, pic.size.Y, w, h)}
	}
	if im.imageDownloaded != nil {
		if err := im.imageDownloaded(ctx, resp, crawl.Size{Width: pic.size.X, Height: pic.size.Y}, item); err != nil {
			return rendered{}, err
		}
	}
	asIs := im.preserves() || info.passThrough() && im.convertImage == nil
	if asIs && len(wanted) == 0 && info.Format == "jpeg" {
		return pic, verifyPicture(at, info)
	}
	err = im.work(ctx, info, func() error {
		var least image.Point
		if asIs {
			least = leastFor(pic.size, boxesOf(wanted))
		}
		p, err := openPicture(at, info, least)
		if err == nil && !asIs {
			err = im.encode(ctx, &pic, p, resp, item)
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		pic.thumbs, err = im.encodeThumbs(p, wanted)
		return err
	})
	return pic, err
}

// work runs work on pixels where there is room for it. A panic in it is its error: the gate never sees one.
func (im *images) work(ctx context.Context, info pictureInfo, f func() error) error {
	return im.pixels.Do(ctx, pixelWeight(info), func() error {
		_, err := guarded(func() (struct{}, error) { return struct{}{}, f() })
		return err
	})
}

// encode makes the JPEG that is stored in place of what was downloaded.
func (im *images) encode(ctx context.Context, pic *rendered, p *picture, resp *crawl.Response, item any) error {
	if im.convertImage != nil {
		img, err := im.convertImage(ctx, resp, p.Image, item)
		if err != nil {
			return err
		}
		if img == nil || img.Bounds().Empty() {
			return errors.New("ConvertImage returned no picture, and no error")
		}
		p.Image = flatten(img)
		p.Size = p.Image.Bounds().Size()
	}
	var b bytes.Buffer
	if err := encodeJPEG(&b, p.Image, im.settings.Quality); err != nil {
		return err
	}
	pic.full, pic.format, pic.size = crawl.BytesBody(b.Bytes()), "jpeg", p.Size
	return nil
}

func (im *images) encodeThumbs(p *picture, wanted []wantedThumb) ([]encodedThumb, error) {
	list := make([]encodedThumb, len(wanted))
	for i, img := range p.thumbnails(boxesOf(wanted)) {
		var b bytes.Buffer
		if err := encodeJPEG(&b, img, im.settings.Quality); err != nil {
			return nil, err
		}
		list[i] = encodedThumb{wantedThumb: wanted[i], size: img.Bounds().Size(), data: b.Bytes()}
	}
	return list, nil
}

func boxesOf(wanted []wantedThumb) []image.Point {
	boxes := make([]image.Point, len(wanted))
	for i, w := range wanted {
		boxes[i] = w.box
	}
	return boxes
}

// putThumbs stores thumbnails and returns them by name.
func (im *images) putThumbs(ctx context.Context, list []encodedThumb) (map[string]crawl.Thumb, error) {
	if len(list) == 0 {
		return nil, nil
	}
	stored := make(map[string]crawl.Thumb, len(list))
	for _, t := range list {
		// What there is to know of them stands in the record of the full picture; their own one tells whether a power cut has cut them short.
		if err := im.put(ctx, t.path, crawl.BytesBody(t.data), crawl.Meta{ContentType: jpegType}); err != nil {
			return nil, err
		}
		stored[t.name] = crawl.Thumb{Path: t.path, Width: t.size.X, Height: t.size.Y}
	}
	return stored, nil
}

// wantedThumbs are all thumbnails that are asked for, in the order of their names. Without a response a path may be "": it depends on that.
func (im *images) wantedThumbs(req *crawl.Request, resp *crawl.Response, item any) ([]wantedThumb, error) {
	wanted := make([]wantedThumb, len(im.names))
	for i, name := range im.names {
		box := im.settings.Thumbs[name]
		wanted[i] = wantedThumb{name: name, box: image.Pt(box.Width, box.Height)}
		if im.thumbPath == nil {
			wanted[i].path = thumbName(req.URL, name)
			continue
		}
		path, err := im.thumbPath(req, name, resp, item)
		if err != nil {
			return nil, fmt.Errorf("thumb path: %w", err)
		}
		if path != "" || resp != nil {
			if err := store.CheckName(path); err != nil {
				return nil, fmt.Errorf("thumb path: %w", err)
			}
		}
		wanted[i].path = path
	}
	return wanted, nil
}

// finish completes what the store knows of a picture: its checksum and size if somebody else put it there, and thumbnails that are missing or have been asked
// for since.
func (im *images) finish(ctx context.Context, req *crawl.Request, h *held, item any) error {
	meta := &h.info.Meta
	before := *meta
	theirs := meta.Checksum == "" || meta.Width == 0 || meta.Height == 0
	if theirs {
		if err := im.examine(ctx, h); err != nil {
			return err
		}
		if im.fits != nil && !im.fits(meta) {
			return errors.New("it is " + meta.ContentType + ", and not " + jpegType)
		}
	}
	thumbs, missing, err := im.heldThumbs(ctx, req, h, theirs, item)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		remade, err := im.remake(ctx, h, missing)
		if err != nil {
			return err
		}
		maps.Copy(thumbs, remade)
	}
	if meta.Thumbs = thumbs; len(thumbs) == 0 {
		meta.Thumbs = nil
	}
	if meta.Checksum != before.Checksum || meta.Width != before.Width || !maps.Equal(meta.Thumbs, before.Thumbs) {
		im.remember(ctx, h)
	}
	return nil
}

// examine reads a stored picture once, for its checksum and its size.
func (im *images) examine(ctx context.Context, h *held) error {
	r, err := im.openHeld(ctx, h)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := inspectPicture(r)
	if err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	meta := &h.info.Meta
	if meta.Checksum, err = im.sumOf(r); err != nil {
		return err
	}
	meta.Width, meta.Height, meta.ContentType = info.size().X, info.size().Y, "image/"+info.Format
	return nil
}

// heldThumbs says which thumbnails the store has, and which are missing: not there, or recorded with another size than is asked for now, or not recorded, which makes
// them those of a picture that was there before this one. Those of a picture that is theirs, somebody else's, have no records.
func (im *images) heldThumbs(ctx context.Context, req *crawl.Request, h *held, theirs bool, item any) (map[string]crawl.Thumb, []wantedThumb, error) {
	wanted, err := im.wantedThumbs(req, nil, item)
	if err != nil {
		return nil, nil, err
	}
	meta := &h.info.Meta
	thumbs := make(map[string]crawl.Thumb, len(wanted))
	var missing []wantedThumb
	for _, w := range wanted {
		recorded, isRecorded := meta.Thumbs[w.name]
		if w.path == "" {
			w.path = recorded.Path // It came from a response that nobody has any more.
		}
		if w.path == "" {
			continue
		}
		size := thumbSize(image.Pt(meta.Width, meta.Height), w.box)
		want := crawl.Thumb{Path: w.path, Width: size.X, Height: size.Y}
		info, err := im.store.Stat(ctx, w.path)
		if err == nil && info.Size > 0 && !info.ModTime.IsZero() && (theirs && !isRecorded || recorded == want) {
			thumbs[w.name] = want
		} else {
			missing = append(missing, w)
		}
	}
	return thumbs, missing, nil
}

// remake makes thumbnails from the stored full picture.
func (im *images) remake(ctx context.Context, h *held, wanted []wantedThumb) (map[string]crawl.Thumb, error) {
	r, err := im.openHeld(ctx, h)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := inspectPicture(r)
	if err != nil {
		return nil, err
	}
	if err := info.within(im.settings.MaxPixels); err != nil {
		return nil, err
	}
	var list []encodedThumb
	err = im.work(ctx, info, func() error {
		p, err := openPicture(heeding(ctx, r), info, leastFor(info.size(), boxesOf(wanted)))
		if err != nil {
			return err
		}
		list, err = im.encodeThumbs(p, wanted)
		return err
	})
	if err != nil {
		return nil, err
	}
	return im.putThumbs(ctx, list)
}
