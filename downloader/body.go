package downloader

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/tulle-go/tulle/crawl"
	"go.uber.org/zap"
)

// bodies takes bodies in, within the limits of the settings.
type bodies struct {
	spool *crawl.Spool
	log   *zap.Logger
	max   int64 // Download.MaxSize
	warn  int64 // Download.WarnSize
}

func newBodies(env *crawl.Env) bodies {
	return bodies{spool: env.Spool, log: env.Log, max: env.Settings.Download.MaxSize, warn: env.Settings.Download.WarnSize}
}

// read reads r to its end. size is what was announced, or -1; cut says that the body may end before it. The error is complete.
func (b *bodies) read(req *crawl.Request, r io.Reader, size int64, cut bool) (crawl.Body, error) {
	body, left, err := b.readOn(req, nil, r, size, cut)
	if left != nil {
		_ = left.Close() // The error in hand says more, and Close of the spool removes what is left.
	}
	return body, err
}

// readOn is read for what comes after a part, which is used up; nil is nothing. If the body breaks off and has gone to a file, what has come is returned too.
func (b *bodies) readOn(req *crawl.Request, part *crawl.Part, r io.Reader, size int64, cut bool) (crawl.Body, *crawl.Part, error) {
	most := b.max
	if k := req.Knob().MaxSize; k != 0 {
		most = k
	}
	if cut && (most <= 0 || size <= most) || req.Knob().StopAfter > 0 {
		size = -1
	}
	body, left, err := b.spool.ReadOn(part, r, size, most)
	if err != nil {
		return crawl.Body{}, left, bodyError(req, err)
	}
	warn := b.warn
	if k := req.Knob().WarnSize; k != 0 {
		warn = k
	}
	if n := body.Size(); warn > 0 && n > warn {
		b.log.Warn("large body", zap.String("url", address(req)), zap.Int64("bytes", n), zap.Int64("warn_size", warn))
	}
	return body, nil, nil
}

// bodyError tells apart what the site did and what the spool's disk did.
func bodyError(req *crawl.Request, err error) error {
	if errors.Is(err, crawl.ErrBodyTooLarge) {
		return failed(req, crawl.KindTooLarge, err)
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("download <%s>: %w", address(req), err)
	}
	return failed(req, crawl.KindTruncated, err)
}
