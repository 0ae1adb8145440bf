package bundled

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strconv"
	"strings"
	"sync"
)

// Sizes in pixels: of the first picture of a product, and of the others.
const (
	wide, high  = 560, 420
	wideOther   = 448
	highOther   = 336
	thumb       = 16
	jpegQuality = 82
	drawnWide   = 640.0 // the coordinates of drawings, whatever size they come out
	drawnHigh   = 480.0
)

// A sketch is a picture that can be drawn: its size in pixels, its format, how, and how wide its drawing thinks it is.
type sketch struct {
	w, h   int
	encode func(*bytes.Buffer, *image.RGBA) error
	media  string
	draw   func(*canvas)
	across float64
}

// easel draws pictures when they are asked for. It keeps the canvases of pictures that are done and the bytes of the newest ones.
type easel struct {
	canvases sync.Pool // of *canvas

	mu     sync.Mutex
	done   map[string][]byte // Guarded by mu.
	oldest []string          // the keys of done, in the order they came; Guarded by mu.
}

// keptPictures bounds the pictures that are kept: to a few megabytes.
const keptPictures = 64

// body is the encoded picture at a path.
func (e *easel) body(path string, s *sketch) ([]byte, error) {
	e.mu.Lock()
	body, ok := e.done[path]
	e.mu.Unlock()
	if ok {
		return body, nil
	}
	body, err := e.render(s)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, twice := e.done[path]; twice {
		return body, nil
	}
	if e.done == nil {
		e.done = map[string][]byte{}
	}
	if len(e.oldest) == keptPictures {
		delete(e.done, e.oldest[0])
		e.oldest = e.oldest[1:]
	}
	e.done[path] = body
	e.oldest = append(e.oldest, path)
	return body, nil
}

func (e *easel) render(s *sketch) ([]byte, error) {
	c, ok := e.canvases.Get().(*canvas)
	if !ok {
		c = new(canvas)
	}
	defer e.canvases.Put(c)
	c.reset(s.w, s.h, s.across)
	s.draw(c)
	var b bytes.Buffer
	b.Grow(32 << 10)
	err := s.encode(&b, c.img)
	return b.Bytes(), err
}

func asJPEG(b *bytes.Buffer, m *image.RGBA) error {
	return jpeg.Encode(b, m, &jpeg.Options{Quality: jpegQuality})
}

func asPNG(b *bytes.Buffer, m *image.RGBA) error {
	return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(b, m)
}

// asGIF keeps the scale between paper and ink, which is all that a guide has.
func asGIF(b *bytes.Buffer, m *image.RGBA) error {
	const tones = 32
	palette := make(color.Palette, tones)
	for i := range palette {
		c := mix(paper, inkTone, float64(i)/(tones-1))
		palette[i] = color.RGBA{c.r, c.g, c.b, 255}
	}
	p := image.NewPaletted(m.Rect, palette)
	for i := range p.Pix {
		tone := (int(paper.r) - int(m.Pix[4*i])) * (tones - 1) / (int(paper.r) - int(inkTone.r))
		p.Pix[i] = uint8(min(max(tone, 0), tones-1)) // edges may be a shade lighter than paper, or darker than ink
	}
	return gif.EncodeAll(b, &gif.GIF{Image: []*image.Paletted{p}, Delay: []int{0}})
}

// sketchAt finds what is to be drawn at a path under /pictures/. body is set instead for what is not drawn: the broken ones.
func (s *Site) sketchAt(path string) (sk *sketch, body []byte) {
	dir, name, ok := strings.Cut(strings.TrimPrefix(path, "/pictures/"), "/")
	if !ok {
		if name = dir; name == "welcome.jpg" {
			return &sketch{1120, 760, asJPEG, "image/jpeg", drawWelcome, 1120}, nil
		}
		return nil, nil
	}
	switch dir {
	case "products":
		number, _, _ := strings.Cut(name, "/")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > s.shelf.products {
			return nil, nil
		}
		it := s.shelf.item(n)
		for i, p := range it.gallery {
			if p.path == path {
				return it.sketch(i)
			}
		}
	case "materials":
		for _, m := range materials {
			if path == swatchPath(m) {
				return &sketch{wideOther, highOther, asPNG, "image/png", m.drawSwatch, drawnWide}, nil
			}
		}
	case "guides":
		for i := range departments {
			for _, c := range departments[i].categories {
				if path == guidePath(c) {
					return &sketch{wideOther, highOther, asGIF, "image/gif", c.drawGuide, drawnWide}, nil
				}
			}
		}
	case "departments":
		for i := range departments {
			if name == departments[i].slug+".jpg" {
				return &sketch{wide, high, asJPEG, "image/jpeg", departmentDrawings[i], drawnWide}, nil
			}
		}
	}
	return nil, nil
}

// sketch is picture i of the gallery.
func (it *item) sketch(i int) (*sketch, []byte) {
	jpg := func(w, h int, draw func(*canvas)) (*sketch, []byte) {
		return &sketch{w, h, asJPEG, "image/jpeg", draw, drawnWide}, nil
	}
	switch it.gallery[i].view {
	case studio:
		return jpg(wide, high, it.drawStudio)
	case cutout:
		return &sketch{wide, high, asPNG, "image/png", it.drawAlone, drawnWide}, nil
	case detail:
		return jpg(wideOther, highOther, it.drawDetail)
	case atHome:
		return jpg(wideOther, highOther, it.drawAtHome)
	case thumbView:
		return jpg(thumb, thumb, func(c *canvas) { c.backdrop(0, c.h, it.look.colour, it.look.trim) })
	default:
		return nil, []byte(brokenPicture)
	}
}

// brokenPicture begins as a JPEG does and goes on as the disk that it was saved on did.
var brokenPicture = "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + strings.Repeat("input/output error\n", 64)
