package bundled

import (
	"image"
	"image/color"
	"image/draw"
	"math"

	"golang.org/x/image/vector"
)

// rgb is an opaque colour of the shop's drawings.
type rgb struct{ r, g, b uint8 }

var (
	white = rgb{255, 255, 255}
	black = rgb{24, 20, 18}
)

// mix goes from a at t = 0 to b at t = 1; t outside is clamped.
func mix(a, b rgb, t float64) rgb {
	t = min(max(t, 0), 1)
	ch := func(x, y uint8) uint8 { return uint8(math.Round(float64(x) + (float64(y)-float64(x))*t)) }
	return rgb{ch(a.r, b.r), ch(a.g, b.g), ch(a.b, b.b)}
}

func (c rgb) lighter(t float64) rgb { return mix(c, white, t) }
func (c rgb) darker(t float64) rgb  { return mix(c, black, t) }

// transform maps an object's own coordinates to pixels: scale, then move. Turned shapes turn their paths instead, so that a row of
// pixels is always a row of the object and round bodies can be shaded row by row.
type transform struct{ scale, x, y float64 }

func (t transform) at(p pt) pt { return pt{p.x*t.scale + t.x, p.y*t.scale + t.y} }

// A paint colours one row of pixels of a shape: row[i] is the pixel at (x+i, y), given the transform that the shape is drawn with.
type paint func(t transform, x, y int, row []rgb)

func solid(c rgb) paint {
	return func(_ transform, _, _ int, row []rgb) {
		for i := range row {
			row[i] = c
		}
	}
}

// ramp is a colour scale in 128 steps.
type ramp [128]rgb

func newRamp(f func(t float64) rgb) *ramp {
	var r ramp
	for i := range r {
		r[i] = f(float64(i) / float64(len(r)-1))
	}
	return &r
}

func (r *ramp) at(t float64) rgb {
	return r[int(min(max(t, 0), 1)*float64(len(r)-1))]
}

// across goes from a at x0 to b at x1 of the object.
func across(x0, x1 float64, a, b rgb) paint {
	r := newRamp(func(t float64) rgb { return mix(a, b, t) })
	return r.across(x0, x1)
}

func (r *ramp) across(x0, x1 float64) paint {
	return func(t transform, x, _ int, row []rgb) {
		px0 := x0*t.scale + t.x
		step := 1 / ((x1 - x0) * t.scale)
		u := (float64(x) + 0.5 - px0) * step
		for i := range row {
			row[i] = r.at(u)
			u += step
		}
	}
}

// down goes from a at y0 to b at y1 of the object.
func down(y0, y1 float64, a, b rgb) paint {
	r := newRamp(func(t float64) rgb { return mix(a, b, t) })
	return func(t transform, _, y int, row []rgb) {
		c := r.at((float64(y) + 0.5 - y0*t.scale - t.y) / ((y1 - y0) * t.scale))
		for i := range row {
			row[i] = c
		}
	}
}

// A canvas is a picture in the making. One goroutine draws on it at a time, and it serves one picture after another.
type canvas struct {
	img   *image.RGBA // premultiplied, as the jpeg and png packages take it fastest
	w, h  float64     // its size in the coordinates that drawings use
	scale float64     // pixels for each of those
	to    transform
	ras   vector.Rasterizer
	mask  []uint8
	row   []rgb
	ink   *rgb    // when set, everything that is drawn opaque is drawn in this one colour: a silhouette
	inky  float64 // how opaque that is
}

// reset makes the canvas w × h pixels of nothing, on which drawings that are made for a width of across fill its width.
func (c *canvas) reset(w, h int, across float64) {
	var pix []uint8
	if c.img != nil {
		pix = c.img.Pix[:0]
	}
	if n := 4 * w * h; cap(pix) >= n {
		pix = pix[:n]
		clear(pix)
	} else {
		pix = make([]uint8, n)
	}
	c.img = &image.RGBA{Pix: pix, Stride: 4 * w, Rect: image.Rect(0, 0, w, h)}
	if len(c.row) < w {
		c.row = make([]rgb, w)
	}
	c.scale = float64(w) / across
	c.w, c.h = across, float64(h)/c.scale
	c.to, c.ink = transform{scale: c.scale}, nil
}

// at draws with the object's origin at (x, y) of the current coordinates, scaled.
func (c *canvas) at(x, y, scale float64, drawing func()) {
	old := c.to
	p := old.at(pt{x, y})
	c.to = transform{old.scale * scale, p.x, p.y}
	drawing()
	c.to = old
}

// silhouette draws everything that is opaque in one colour.
func (c *canvas) silhouette(ink rgb, alpha float64, drawing func()) {
	c.ink, c.inky = &ink, alpha
	drawing()
	c.ink = nil
}

// backdrop fills the whole width from y0 to y1, from one colour to another.
func (c *canvas) backdrop(y0, y1 float64, a, b rgb) {
	from, to := int(math.Round(y0*c.scale)), int(math.Round(y1*c.scale))
	for y := max(from, 0); y < min(to, c.img.Rect.Dy()); y++ {
		line := c.img.Pix[y*c.img.Stride : (y+1)*c.img.Stride]
		m := mix(a, b, float64(y-from)/float64(max(to-from-1, 1)))
		copy(line, []byte{m.r, m.g, m.b, 255})
		for n := 4; n < len(line); n *= 2 {
			copy(line[n:], line[:n])
		}
	}
}

// fill paints the inside of a path. alpha goes from 0, nothing, to 1, opaque.
func (c *canvas) fill(p *outline, with paint, alpha float64) {
	if c.ink != nil {
		if alpha < 0.6 {
			return
		}
		with, alpha = solid(*c.ink), c.inky
	}
	box := c.box(p)
	if box.Empty() {
		return
	}
	w, h := box.Dx(), box.Dy()
	c.ras.Reset(w, h)
	dx, dy := float64(box.Min.X), float64(box.Min.Y)
	f := func(q pt) (float32, float32) {
		q = c.to.at(q)
		return float32(q.x - dx), float32(q.y - dy)
	}
	open := false
	for _, s := range p.steps {
		x, y := f(s.c)
		switch {
		case s.move:
			if open {
				c.ras.ClosePath()
			}
			open = true
			c.ras.MoveTo(x, y)
		case s.b == s.c:
			c.ras.LineTo(x, y)
		default:
			ax, ay := f(s.a)
			bx, by := f(s.b)
			c.ras.CubeTo(ax, ay, bx, by, x, y)
		}
	}
	if open {
		c.ras.ClosePath()
	}
	if len(c.mask) < w*h {
		c.mask = make([]uint8, w*h)
	}
	mask := &image.Alpha{Pix: c.mask[:w*h], Stride: w, Rect: image.Rect(0, 0, w, h)}
	c.ras.DrawOp = draw.Src
	c.ras.Draw(mask, mask.Rect, image.NewUniform(color.Opaque), image.Point{})
	c.blend(mask, box.Min, with, alpha)
}

// box is the part of the canvas that a path can touch. A curve lies within its control points.
func (c *canvas) box(p *outline) image.Rectangle {
	lo, hi := pt{math.Inf(1), math.Inf(1)}, pt{math.Inf(-1), math.Inf(-1)}
	add := func(q pt) {
		lo.x, lo.y = min(lo.x, q.x), min(lo.y, q.y)
		hi.x, hi.y = max(hi.x, q.x), max(hi.y, q.y)
	}
	for _, s := range p.steps {
		if !s.move {
			add(c.to.at(s.a))
			add(c.to.at(s.b))
		}
		add(c.to.at(s.c))
	}
	if lo.x > hi.x {
		return image.Rectangle{}
	}
	return image.Rect(int(math.Floor(lo.x)), int(math.Floor(lo.y)), int(math.Ceil(hi.x)), int(math.Ceil(hi.y))).Intersect(c.img.Bounds())
}

func (c *canvas) blend(mask *image.Alpha, at image.Point, with paint, alpha float64) {
	w, h := mask.Rect.Dx(), mask.Rect.Dy()
	scale := uint32(math.Round(min(max(alpha, 0), 1) * 256))
	for y := range h {
		cover := mask.Pix[y*mask.Stride : y*mask.Stride+w]
		first := 0
		for first < w && cover[first] == 0 {
			first++
		}
		last := w
		for last > first && cover[last-1] == 0 {
			last--
		}
		if first == last {
			continue
		}
		row := c.row[:last-first]
		with(c.to, at.X+first, at.Y+y, row)
		pix := c.img.Pix[c.img.PixOffset(at.X+first, at.Y+y):]
		for i, m := range cover[first:last] {
			a := uint32(m) * scale >> 8
			d := pix[4*i : 4*i+4 : 4*i+4]
			switch s := row[i]; a {
			case 0:
			case 255:
				d[0], d[1], d[2], d[3] = s.r, s.g, s.b, 255
			default:
				over(d, s, a)
			}
		}
	}
}

// over lays colour s with coverage a, 0 to 255, over a premultiplied pixel.
func over(d []uint8, s rgb, a uint32) {
	k := 255 - a
	d[0] = uint8((uint32(s.r)*a + uint32(d[0])*k + 127) / 255)
	d[1] = uint8((uint32(s.g)*a + uint32(d[1])*k + 127) / 255)
	d[2] = uint8((uint32(s.b)*a + uint32(d[2])*k + 127) / 255)
	d[3] = uint8(a + (uint32(d[3])*k+127)/255)
}

// glow lays a soft ellipse that fades from alpha in its middle to nothing at its edge: a shadow, a shine, lamplight.
func (c *canvas) glow(cx, cy, rx, ry float64, with rgb, alpha float64) {
	if c.ink != nil {
		return
	}
	mid := c.to.at(pt{cx, cy})
	rx, ry = rx*c.to.scale, ry*c.to.scale
	box := image.Rect(int(mid.x-rx), int(mid.y-ry), int(mid.x+rx)+1, int(mid.y+ry)+1).Intersect(c.img.Bounds())
	for y := box.Min.Y; y < box.Max.Y; y++ {
		v := (float64(y) + 0.5 - mid.y) / ry
		left := 1 - v*v
		if left <= 0 {
			continue
		}
		pix := c.img.Pix[c.img.PixOffset(box.Min.X, y):]
		for x := range box.Dx() {
			u := (float64(box.Min.X+x) + 0.5 - mid.x) / rx
			f := left - u*u
			if f <= 0 {
				continue
			}
			if a := uint32(f * f * alpha * 255); a > 0 {
				over(pix[4*x:4*x+4:4*x+4], with, a)
			}
		}
	}
}
