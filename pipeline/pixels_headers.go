package pipeline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/webp"
)

const (
	// maxParts bounds the segments, chunks and blocks that are looked at before a file counts as hostile. Real pictures have tens, a large PNG thousands.
	maxParts = 1 << 16

	// maxGarbage bounds the bytes of a JPEG that are skipped in search of markers. Some cameras and editors leave a few.
	maxGarbage = 1 << 16

	// scanPixels is how many pixels the scans of a JPEG may go over, each scan over all. Whatever it is, there may be minScans, and maxScans at most.
	scanPixels = 1 << 29
	minScans   = 20
	maxScans   = 100

	// The best that each coder can do. A JPEG block of 64 pixels takes a bit in one scan of one component at least. Deflate turns 258 bytes into two bits, and
	// 1032 is what zlib's authors measured. An LZW code of GIF's, 12 bits, stands for a string of 4096 pixels at most. PackBits repeats a byte 128 times by two. A
	// macroblock of VP8's, 256 pixels, takes more than three bits for its modes alone, whose probabilities are fixed in a key frame (RFC 6386, 11.2): 600 pixels a byte.
	jpegPixelsPerByte = 64 * 8
	deflateRatio      = 1032
	lzwPixelsPerByte  = 4096 * 8 / 12
	packBitsRatio     = 64
	vp8PixelsPerByte  = 1000

	// webpBytesPerPixel is several times what the worst encoder could make of noise.
	webpBytesPerPixel = 16

	pngSignature = "\x89PNG\r\n\x1a\n"
)

// JPEG markers (ITU-T T.81, table B.1).
const (
	markerTEM   = 0x01
	markerSOF0  = 0xc0
	markerSOF2  = 0xc2
	markerDHT   = 0xc4
	markerJPG   = 0xc8
	markerDAC   = 0xcc
	markerSOF15 = 0xcf
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerAPP1  = 0xe1
	markerAPP14 = 0xee
)

var (
	errTooManyParts = errors.New("too many parts before the first pixel")
	errNoFrame      = errors.New("no picture in it")
)

// jpegSegment is a marker and what belongs to it.
type jpegSegment struct {
	marker byte
	body   int64 // where its parameters start
	length int64 // of its parameters
}

func (s jpegSegment) end() int64 { return s.body + s.length }

// jpegWalk goes over a JPEG from segment to segment.
type jpegWalk struct {
	src     *source
	off     int64 // where the next segment is looked for
	parts   int   // how many there were
	garbage int   // stray bytes between them
}

// next finds the next segment. Stray bytes before it are passed over, as the standard decoder and libjpeg do. An error too is that there are too many of either.
func (w *jpegWalk) next() (jpegSegment, error) {
	if w.parts++; w.parts > maxParts {
		return jpegSegment{}, errTooManyParts
	}
	var b [2]byte
	for ; w.garbage < maxGarbage; w.garbage++ {
		if err := w.src.readFull(b[:], w.off); err != nil {
			return jpegSegment{}, err
		}
		switch m := b[1]; {
		case b[0] != 0xff, m == 0xff: // stray, or a fill byte
			w.off++
			continue
		case m == 0, m == markerTEM, m >= markerRST0 && m <= markerRST7: // left over from a scan
			w.off += 2
			continue
		case m == markerEOI:
			return jpegSegment{marker: m, body: w.off + 2}, nil
		}
		seg := jpegSegment{marker: b[1], body: w.off + 4}
		if err := w.src.readFull(b[:], w.off+2); err != nil {
			return jpegSegment{}, err
		}
		if seg.length = int64(binary.BigEndian.Uint16(b[:])) - 2; seg.length < 0 {
			return jpegSegment{}, errors.New("jpeg: segment without a length")
		}
		w.off = seg.end()
		return seg, nil
	}
	return jpegSegment{}, errors.New("jpeg: no marker where one should be")
}

// inspectJPEG reads the segments up to the first scan.
func inspectJPEG(src *source, info *pictureInfo) error {
	var b [15]byte
	adobe, oriented := false, false
	for w := (jpegWalk{src: src, off: 2}); ; {
		seg, err := w.next()
		if err != nil {
			return err
		}
		head := b[:min(seg.length, int64(len(b)))]
		if err := src.readFull(head, seg.body); err != nil {
			return err
		}
		switch m := seg.marker; {
		case m == markerDHT, m == markerJPG, m == markerDAC:
		case m >= markerSOF0 && m <= markerSOF15:
			if info.Mode != "" {
				return errors.New("jpeg: two frames")
			}
			if m > markerSOF2 {
				return fmt.Errorf("jpeg: coding %#x is not supported (lossless, hierarchical or arithmetic)", m)
			}
			if len(head) < 6 {
				return errors.New("jpeg: frame header too short")
			}
			if head[0] != 8 {
				return fmt.Errorf("jpeg: %d bits a sample are not supported", head[0])
			}
			info.Height, info.Width = int(binary.BigEndian.Uint16(head[1:])), int(binary.BigEndian.Uint16(head[3:]))
			info.staged = m == markerSOF2
			info.floor = info.area() / jpegPixelsPerByte
			switch head[5] {
			case 1:
				info.Mode = modeGrey
			case 3:
				info.Mode = modeRGB
			case 4:
				info.Mode = modeCMYK
			default:
				return fmt.Errorf("jpeg: %d components are not supported", head[5])
			}
		case m == markerAPP1 && !oriented && bytes.HasPrefix(head, []byte("Exif\x00")):
			oriented = true
			info.Orientation = exifOrientation(io.NewSectionReader(src, seg.body+6, max(seg.length-6, 0)))
		case m == markerAPP14 && len(head) >= 12 && string(head[:5]) == "Adobe":
			adobe = true
		case m == markerSOS:
			if info.Mode == "" {
				return errors.New("jpeg: scan before the frame header")
			}
			info.bareCMYK = info.Mode == modeCMYK && !adobe
			return nil
		case m == markerEOI:
			return errNoFrame
		}
	}
}

// checkScans follows a JPEG's segments and scans to the end marker. It fails if there is none, if there are more scans than such a picture may have, and if less
// is in them than could hold it.
func checkScans(src *source, info pictureInfo) error {
	most, scans, size := mostScans(info), 0, int64(0)
	buf := make([]byte, min(src.size, 32<<10))
	for w := (jpegWalk{src: src, off: 2}); ; {
		seg, err := w.next()
		if err != nil {
			return err
		}
		switch seg.marker {
		case markerEOI:
			if size < max(info.floor, 1) {
				src.ended = true
				return fmt.Errorf("scans of %d bytes cannot hold %dx%d", size, info.Width, info.Height)
			}
			return nil
		case markerSOS:
			if scans++; scans > most {
				return fmt.Errorf("jpeg: more than %d scans of %dx%d", most, info.Width, info.Height)
			}
			if w.off, err = skipScan(src, seg.end(), buf); err != nil {
				return err
			}
			size += w.off - seg.end()
		}
	}
}

// mostScans is how many scans a JPEG may have, for each may go over all its pixels and take a few bytes. libjpeg writes ten, and eighteen in CMYK; programs that
// look for the shortest file write some dozens at most.
func mostScans(info pictureInfo) int {
	return int(min(max(scanPixels/max(info.area(), 1), minScans), maxScans))
}

// skipScan returns where the marker after the entropy-coded data at off starts. buf is for its use.
func skipScan(src *source, off int64, buf []byte) (int64, error) {
	for {
		n, err := src.ReadAt(buf[:min(int64(len(buf)), max(src.size-off, 1))], off)
		if n < 2 {
			if err == nil || errors.Is(err, io.EOF) {
				src.ended, err = true, io.ErrUnexpectedEOF
			}
			return 0, err
		}
		rest := buf[:n]
		for {
			i := bytes.IndexByte(rest, 0xff)
			if i < 0 {
				off += int64(len(rest))
				break
			}
			off, rest = off+int64(i), rest[i:]
			if len(rest) < 2 {
				break // read again from here
			}
			if m := rest[1]; m != 0 && (m < markerRST0 || m > markerRST7) {
				return off, nil
			}
			off, rest = off+2, rest[2:]
		}
	}
}

// inspectPNG reads the header and looks for EXIF, which may stand on either side of the pixels.
func inspectPNG(src *source, info *pictureInfo) error {
	var b [25]byte
	if err := src.readFull(b[:], int64(len(pngSignature))); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(b[:]) != 13 || string(b[4:8]) != "IHDR" {
		return errors.New("png: does not start with its header")
	}
	w, h := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if w > 1<<31-1 || h > 1<<31-1 {
		return errors.New("png: impossible width or height")
	}
	info.Width, info.Height = int(w), int(h)
	depth, channels := int64(b[16]), int64(1)
	switch b[17] {
	case 0:
		info.Mode = modeGrey
	case 2:
		info.Mode, channels = modeRGB, 3
	case 3:
		info.Mode = modePalette
	case 4:
		info.Mode, channels = modeAlpha, 2
	case 6:
		info.Mode, channels = modeAlpha, 4
	default:
		return fmt.Errorf("png: colour type %d is not supported", b[17])
	}
	info.deep, info.staged = depth > 8, b[20] != 0
	info.floor = int64(float64(w) * float64(h) * float64(depth*channels) / 8 / deflateRatio)

	for off, n := int64(len(pngSignature)+len(b)), 0; n < maxParts && off < src.size; n++ {
		if err := src.readFull(b[:8], off); err != nil {
			break // the decoder will say it better, and only if it minds
		}
		length := int64(binary.BigEndian.Uint32(b[:]))
		switch string(b[4:8]) {
		case "eXIf":
			info.Orientation = exifOrientation(src.exif(off+8, length))
			return nil
		case "IEND":
			return nil
		}
		off += 8 + length + 4
	}
	return src.err
}

// inspectGIF reads up to the first frame's place.
func inspectGIF(src *source, info *pictureInfo) error {
	var b [13]byte
	if err := src.readFull(b[:], 0); err != nil {
		return err
	}
	info.Mode = modePalette
	info.Width, info.Height = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
	off := int64(len(b))
	if b[10]&0x80 != 0 {
		off += 3 << (b[10]&7 + 1)
	}
	for parts := maxParts; parts > 0; parts-- {
		if err := src.readFull(b[:1], off); err != nil {
			return err
		}
		off++
		switch b[0] {
		case '!': // extension: a label, then blocks of which the last is empty
			for off, b[0] = off+1, 1; b[0] != 0 && parts > 0; parts-- {
				if err := src.readFull(b[:1], off); err != nil {
					return err
				}
				off += 1 + int64(b[0])
			}
		case ',':
			if err := src.readFull(b[:9], off); err != nil {
				return err
			}
			x, y := int(binary.LittleEndian.Uint16(b[0:])), int(binary.LittleEndian.Uint16(b[2:]))
			w, h := int(binary.LittleEndian.Uint16(b[4:])), int(binary.LittleEndian.Uint16(b[6:]))
			if w == 0 || h == 0 {
				return errNoFrame
			}
			info.frame = image.Rect(x, y, x+w, y+h)
			info.Width, info.Height = max(info.Width, x+w), max(info.Height, y+h)
			info.floor = int64(w) * int64(h) / lzwPixelsPerByte
			return nil
		case ';':
			return errNoFrame
		default:
			return fmt.Errorf("gif: unknown block %#x", b[0])
		}
	}
	return errTooManyParts
}

// webpChunk is where a chunk's payload lies.
type webpChunk struct {
	kind        string
	off, length int64
}

const (
	chunkVP8  = "VP8 "
	chunkVP8L = "VP8L"
)

// nextWebPChunk reads the chunk at off and returns where the next one starts.
func nextWebPChunk(src *source, off int64) (webpChunk, int64, error) {
	var b [8]byte
	if err := src.readFull(b[:], off); err != nil {
		return webpChunk{}, 0, err
	}
	c := webpChunk{kind: string(b[:4]), off: off + 8, length: int64(binary.LittleEndian.Uint32(b[4:]))}
	return c, c.off + c.length + c.length&1, nil
}

// inspectWebP finds the first frame, which in an animation is inside another chunk, and the EXIF data, which stand after the pixels.
func inspectWebP(src *source, info *pictureInfo) error {
	var b [24]byte
	info.Mode = modeRGB
	off, end := int64(12), src.size
	animated, exif := false, false
	for n := 0; n < maxParts && off < end; n++ {
		c, next, err := nextWebPChunk(src, off)
		if err != nil {
			if info.pixels.kind != "" {
				break // what is missing comes after the pixels
			}
			return err
		}
		off = next
		switch c.kind {
		case "VP8X":
			if info.Width != 0 {
				continue // the first one says how large the canvas is
			}
			if err := src.readFull(b[:10], c.off); err != nil {
				return err
			}
			const exifBit, animationBit = 1 << 3, 1 << 1
			animated, exif = b[0]&animationBit != 0, b[0]&exifBit != 0
			info.Width, info.Height = uint24(b[4:])+1, uint24(b[7:])+1
		case "ANMF":
			if !animated || info.pixels.kind != "" {
				continue
			}
			if err := src.readFull(b[:16], c.off); err != nil {
				return err
			}
			x, y := 2*uint24(b[0:]), 2*uint24(b[3:])
			info.frame = image.Rect(x, y, x+uint24(b[6:])+1, y+uint24(b[9:])+1)
			if !info.frame.In(image.Rect(0, 0, info.Width, info.Height)) {
				return errors.New("webp: frame outside of the canvas")
			}
			off = c.off + 16 // into it; the frames after it are passed over
		case "ALPH":
			if info.pixels.kind == "" {
				info.alpha = c
			}
		case chunkVP8, chunkVP8L:
			if info.pixels.kind != "" {
				continue
			}
			info.pixels = c
			w, h, err := webpSize(src, c)
			if err != nil {
				return err
			}
			if info.Width == 0 {
				info.Width, info.Height = w, h
			}
			if info.frame.Empty() {
				info.frame = image.Rect(0, 0, info.Width, info.Height)
			}
			if info.frame.Size() != image.Pt(w, h) {
				return errors.New("webp: frame and canvas differ in size")
			}
			if c.kind == chunkVP8L {
				info.alpha = webpChunk{}
			} else {
				info.floor = int64(w) * int64(h) / vp8PixelsPerByte
			}
			if c.kind == chunkVP8L || info.alpha.length > 0 {
				info.Mode = modeAlpha
			}
			if !exif {
				return nil
			}
		case "EXIF":
			if info.Orientation == 1 {
				info.Orientation = exifOrientation(src.exif(c.off, c.length))
			}
			exif = false
		}
		if info.pixels.kind != "" && !exif {
			return nil
		}
	}
	if info.pixels.kind == "" {
		return errNoFrame
	}
	return src.err
}

// webpSize reads width and height from the start of a frame's pixels.
func webpSize(src *source, c webpChunk) (w, h int, err error) {
	var b [10]byte
	head := b[:min(int64(len(b)), c.length)]
	if err := src.readFull(head, c.off); err != nil {
		return 0, 0, err
	}
	switch {
	case c.kind == chunkVP8 && len(head) == 10 && string(head[3:6]) == "\x9d\x01\x2a": // RFC 6386, 9.1
		return int(binary.LittleEndian.Uint16(head[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(head[8:]) & 0x3fff), nil
	case c.kind == chunkVP8L && len(head) >= 5 && head[0] == 0x2f: // RFC 9649, 3.4
		bits := binary.LittleEndian.Uint32(head[1:])
		return int(bits&0x3fff) + 1, int(bits>>14&0x3fff) + 1, nil
	}
	return 0, 0, errors.New("webp: frame without a header")
}

// decodeWebP decodes the first frame. The decoder knows neither animations nor much tolerance for a container's slips, so it is given a container made for
// this frame.
func decodeWebP(src *source, info pictureInfo) (image.Image, error) {
	// The decoder makes room for what a chunk is said to hold, which may be gigabytes in a file of a hundred bytes, or for a picture of a hundred pixels.
	for _, c := range [...]webpChunk{info.alpha, info.pixels} {
		if c.off+c.length > src.size {
			src.ended = true
			return nil, fmt.Errorf("a chunk of %d bytes in a file of %d", c.length, src.size)
		}
		if c.length > 1<<20+info.area()*webpBytesPerPixel {
			return nil, fmt.Errorf("webp: %d bytes for %dx%d", c.length, info.Width, info.Height)
		}
	}
	var parts []io.Reader
	total := int64(4)
	chunk := func(kind string, length int64, payload io.Reader) {
		head := binary.LittleEndian.AppendUint32([]byte(kind), uint32(length))
		parts = append(parts, bytes.NewReader(head), payload)
		total += 8 + length
		if length&1 != 0 {
			parts = append(parts, bytes.NewReader([]byte{0}))
			total++
		}
	}
	if info.alpha.length > 0 {
		const alphaBit = 1 << 4
		w, h := info.frame.Dx()-1, info.frame.Dy()-1
		x := []byte{alphaBit, 0, 0, 0, byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)}
		chunk("VP8X", int64(len(x)), bytes.NewReader(x))
		chunk("ALPH", info.alpha.length, io.LimitReader(src.reader(info.alpha.off), info.alpha.length))
	}
	chunk(info.pixels.kind, info.pixels.length, io.LimitReader(src.reader(info.pixels.off), info.pixels.length))
	head := append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(total)), "WEBP"...)
	img, err := webp.Decode(io.MultiReader(append([]io.Reader{bytes.NewReader(head)}, parts...)...))
	if err != nil {
		return nil, err
	}
	switch m := img.(type) {
	case *image.YCbCr:
		widenRange(m)
	case *image.NYCbCrA:
		widenRange(&m.YCbCr)
	}
	return img, nil
}

// tiffFloor is the fewest bytes that could hold area pixels. Each may take no more than a bit, and how well a fax does depends on the picture alone.
func tiffFloor(area int64, compression uint32) int64 {
	switch compression {
	case 0, uncompressed:
		return area / 8
	case lzw:
		return area / 8 / lzwPixelsPerByte
	case deflate, oldDeflate:
		return area / 8 / deflateRatio
	case packBits:
		return area / 8 / packBitsRatio
	}
	return 0
}

// bitsOfBMP is the bits a pixel takes, from the header that the decoder has accepted.
func bitsOfBMP(head []byte) uint16 {
	if len(head) < 30 {
		return 0
	}
	return binary.LittleEndian.Uint16(head[28:])
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// readFull fills p from off or fails. Headers are read by the byte, and from one to the next: what stands behind is read ahead.
func (s *source) readFull(p []byte, off int64) error {
	if at := off - s.aheadAt; at >= 0 && at+int64(len(p)) <= int64(len(s.ahead)) {
		copy(p, s.ahead[at:])
		return nil
	}
	if end := off + int64(len(p)); off >= 0 && end > int64(len(s.head)) && end <= s.size && len(p) < readAhead {
		if s.ahead == nil {
			s.ahead = make([]byte, 0, readAhead)
		}
		n, err := s.ReadAt(s.ahead[:min(readAhead, s.size-off)], off)
		s.ahead, s.aheadAt = s.ahead[:n], off
		if n >= len(p) {
			err = nil
		}
		copy(p, s.ahead)
		return err
	}
	if n, err := s.ReadAt(p, off); n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// exif is the EXIF data at off, without the prefix that belongs to JPEG and that some programs write elsewhere too.
func (s *source) exif(off, length int64) io.ReaderAt {
	const prefix = "Exif\x00\x00"
	var b [len(prefix)]byte
	if s.readFull(b[:], off) == nil && string(b[:]) == prefix {
		off, length = off+int64(len(prefix)), length-int64(len(prefix))
	}
	return io.NewSectionReader(s, off, max(length, 0))
}
