package pipeline

import (
	"fmt"
	"image"
	"image/jpeg"
	"io"

	"github.com/tulle-go/tulle/pipeline/internal/jpegscale"
)

// maxJPEGSide is the most that a JPEG's 16-bit width and height can say.
const maxJPEGSide = 1<<16 - 1

// encodeJPEG writes img as a baseline JPEG with 4:2:0 chroma at quality 1 to 100; 0 is 75, which is also what Pillow uses. The result always has three
// components: whatever img is, it is flattened first. A picture that JPEG has no room for is an undecodableError.
func encodeJPEG(w io.Writer, img image.Image, quality int) error {
	if size := img.Bounds().Size(); size.X > maxJPEGSide || size.Y > maxJPEGSide {
		return &undecodableError{Reason: fmt.Sprintf("%dx%d does not fit into a JPEG, whose sides have at most %d pixels", size.X, size.Y, maxJPEGSide)}
	}
	if quality == 0 {
		quality = jpeg.DefaultQuality
	}
	if err := jpegscale.Encode(w, flatten(img), quality); err != nil {
		return fmt.Errorf("encode jpeg: %w", err)
	}
	return nil
}
