package pipeline

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
)

// flatten gives any picture the form that JPEG has: an *image.YCbCr, or an *image.RGBA that is opaque, its origin at (0,0). What is transparent is
// blended onto white, 16 bits are scaled to 8, inks and palettes become RGB. img is never written to; the result may share its pixels.
func flatten(img image.Image) image.Image {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if b.Empty() {
		return &image.RGBA{}
	}
	var row func(d []byte, y int) // fills d, a row of opaque RGBA
	switch m := img.(type) {
	case *image.YCbCr:
		if b.Min == (image.Point{}) {
			return m
		}
		return onCanvas(m, image.Point{}, b.Size())
	case *image.Gray:
		return fromGrey(m.Pix[m.PixOffset(b.Min.X, b.Min.Y):], m.Stride, w, h)
	case *image.Gray16:
		grey := make([]byte, w*h)
		for y := range h {
			s := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for x := range w {
				grey[y*w+x] = to8(uint32(binary.BigEndian.Uint16(s[2*x:])))
			}
		}
		return fromGrey(grey, w, w, h)
	case *image.RGBA:
		pix := m.Pix[m.PixOffset(b.Min.X, b.Min.Y):]
		if m.Opaque() {
			return &image.RGBA{Pix: pix, Stride: m.Stride, Rect: image.Rect(0, 0, w, h)}
		}
		row = func(d []byte, y int) {
			for i, s := 0, pix[y*m.Stride:]; i < len(d); i += 4 {
				rest := 255 - int(s[i+3])
				d[i] = byte(min(int(s[i])+rest, 255))
				d[i+1] = byte(min(int(s[i+1])+rest, 255))
				d[i+2] = byte(min(int(s[i+2])+rest, 255))
				d[i+3] = 255
			}
		}
	case *image.NRGBA:
		pix := m.Pix[m.PixOffset(b.Min.X, b.Min.Y):]
		if m.Opaque() {
			return &image.RGBA{Pix: pix, Stride: m.Stride, Rect: image.Rect(0, 0, w, h)}
		}
		row = func(d []byte, y int) {
			for i, s := 0, pix[y*m.Stride:]; i < len(d); i += 4 {
				a := s[i+3]
				d[i], d[i+1], d[i+2], d[i+3] = over8(s[i], a), over8(s[i+1], a), over8(s[i+2], a), 255
			}
		}
	case *image.RGBA64:
		row = func(d []byte, y int) {
			s := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for i := 0; i < len(d); i += 4 {
				rest := 0xffff - uint32(binary.BigEndian.Uint16(s[2*i+6:]))
				for c := range 3 {
					d[i+c] = to8(uint32(binary.BigEndian.Uint16(s[2*(i+c):])) + rest)
				}
				d[i+3] = 255
			}
		}
	case *image.NRGBA64:
		row = func(d []byte, y int) {
			s := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for i := 0; i < len(d); i += 4 {
				a := uint64(binary.BigEndian.Uint16(s[2*i+6:]))
				for c := range 3 {
					d[i+c] = over16(uint64(binary.BigEndian.Uint16(s[2*(i+c):])), a)
				}
				d[i+3] = 255
			}
		}
	case *image.Paletted:
		colours := flatPalette(m.Palette)
		row = func(d []byte, y int) {
			s := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):][:w]
			for x, index := range s {
				copy(d[4*x:4*x+4], colours[index][:])
			}
		}
	case *image.CMYK:
		row = func(d []byte, y int) {
			s := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):]
			for i := 0; i < len(d); i += 4 {
				light := 255 - uint32(s[i+3])
				for c := range 3 {
					d[i+c] = byte(light - div255(uint32(s[i+c])*light))
				}
				d[i+3] = 255
			}
		}
	case *image.NYCbCrA:
		row = func(d []byte, y int) {
			for x := range w {
				yi, ci, ai := m.YOffset(b.Min.X+x, b.Min.Y+y), m.COffset(b.Min.X+x, b.Min.Y+y), m.AOffset(b.Min.X+x, b.Min.Y+y)
				red, green, blue := color.YCbCrToRGB(m.Y[yi], m.Cb[ci], m.Cr[ci])
				a := m.A[ai]
				d[4*x], d[4*x+1], d[4*x+2], d[4*x+3] = over8(red, a), over8(green, a), over8(blue, a), 255
			}
		}
	default:
		row = func(d []byte, y int) {
			for x := range w {
				rgb := flatColour(img.At(b.Min.X+x, b.Min.Y+y))
				copy(d[4*x:4*x+4], rgb[:])
			}
		}
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		row(dst.Pix[y*dst.Stride:][:4*w], y)
	}
	return dst
}

// flatPalette has a colour for every index that a pixel can say. Those beyond the palette are black, as libpng has it.
func flatPalette(p color.Palette) (colours [256][4]byte) {
	for i := range colours {
		colours[i] = [4]byte{0, 0, 0, 255}
		if i < len(p) && p[i] != nil {
			colours[i] = flatColour(p[i])
		}
	}
	return colours
}

// flatColour blends one colour onto white.
func flatColour(c color.Color) [4]byte {
	if n, ok := c.(color.NRGBA); ok {
		return [4]byte{over8(n.R, n.A), over8(n.G, n.A), over8(n.B, n.A), 255}
	}
	r, g, b, a := c.RGBA()
	return [4]byte{to8(r + 0xffff - a), to8(g + 0xffff - a), to8(b + 0xffff - a), 255}
}

// over8 blends c onto white, rounded to nearest: Pillow's arithmetic, to the bit.
func over8(c, alpha byte) byte {
	a := uint32(alpha)
	return byte(div255(uint32(c)*a + 255*(255-a)))
}

// div255 is v/255 rounded to nearest, for v up to 255*255.
func div255(v uint32) uint32 {
	v += 128
	return (v + v>>8) >> 8
}

// over16 blends a 16-bit value onto white and scales it to 8 bits, with one rounding.
func over16(c, alpha uint64) byte {
	const full, scale = 0xffff, 0xffff * 257
	return byte((c*alpha + full*(full-alpha) + scale/2) / scale)
}

// to8 scales a 16-bit value to 8 bits, rounded to nearest. What is too large for 16 bits is white.
func to8(v uint32) byte {
	return byte((min(v, 0xffff) + 128) / 257)
}

// fromGrey makes a picture of three components of one. It shares pix.
func fromGrey(pix []byte, stride, w, h int) *image.YCbCr {
	cw, ch := (w+1)/2, (h+1)/2
	neutral := bytes.Repeat([]byte{128}, cw*ch)
	return &image.YCbCr{
		Y: pix, YStride: stride, Cb: neutral, Cr: neutral, CStride: cw,
		SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rect(0, 0, w, h),
	}
}

// widenRange turns the limited range of video, 16 to 235 and 16 to 240, which lossy WebP has, into the full one that image.YCbCr means. Without it black is grey
// and everything is pale: golang.org/x/image/webp hands out the values as they are in the file.
func widenRange(m *image.YCbCr) {
	var luma, chroma [256]byte
	for i := range 256 {
		luma[i] = byte(min(max((2*255*(i-16)+219)/(2*219), 0), 255))
		chroma[i] = byte(min(max((2*255*(i-128)+2*128*224+224)/(2*224), 0), 255))
	}
	for i, v := range m.Y {
		m.Y[i] = luma[v]
	}
	for i, v := range m.Cb {
		m.Cb[i] = chroma[v]
	}
	for i, v := range m.Cr {
		m.Cr[i] = chroma[v]
	}
}

// onCanvas puts a flat picture on a white one of the given size.
func onCanvas(img image.Image, at, size image.Point) image.Image {
	dst := image.NewRGBA(image.Rectangle{Max: size})
	b := img.Bounds()
	if b.Size() != size {
		draw.Draw(dst, dst.Rect, image.White, image.Point{}, draw.Src)
	}
	draw.Draw(dst, b.Sub(b.Min).Add(at), img, b.Min, draw.Src)
	return dst
}

// turned makes a flat picture upright that is stored with the given EXIF orientation.
func turned(img image.Image, orientation int) image.Image {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	if m, ok := img.(*image.YCbCr); ok {
		if t, ok := turnedYCbCr(m, orientation); ok {
			return t
		}
		img = onCanvas(m, image.Point{}, m.Rect.Size())
	}
	m := img.(*image.RGBA)
	w, h := m.Rect.Dx(), m.Rect.Dy()
	dst := image.NewRGBA(turnedRect(w, h, orientation))
	turnPlane(dst.Pix, dst.Stride, m.Pix, m.Stride, w, h, 4, orientation)
	return dst
}

// turnedYCbCr turns the planes, which is exact where the chroma samples still lie between the same pixels afterwards: an odd width or height
// must not leave half a chroma sample at the wrong end, and there is no name for 4:1:1 on its side.
func turnedYCbCr(m *image.YCbCr, orientation int) (*image.YCbCr, bool) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	sx, sy := subsampling(m.SubsampleRatio)
	if w%sx != 0 || h%sy != 0 || sx > 2 {
		return nil, false
	}
	ratio := m.SubsampleRatio
	if orientation >= 5 {
		switch ratio {
		case image.YCbCrSubsampleRatio422:
			ratio = image.YCbCrSubsampleRatio440
		case image.YCbCrSubsampleRatio440:
			ratio = image.YCbCrSubsampleRatio422
		}
	}
	dst := image.NewYCbCr(turnedRect(w, h, orientation), ratio)
	turnPlane(dst.Y, dst.YStride, m.Y, m.YStride, w, h, 1, orientation)
	turnPlane(dst.Cb, dst.CStride, m.Cb, m.CStride, w/sx, h/sy, 1, orientation)
	turnPlane(dst.Cr, dst.CStride, m.Cr, m.CStride, w/sx, h/sy, 1, orientation)
	return dst, true
}

// subsampling is how many pixels across and down share a chroma sample.
func subsampling(ratio image.YCbCrSubsampleRatio) (x, y int) {
	switch ratio {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

func turnedRect(w, h, orientation int) image.Rectangle {
	if orientation >= 5 {
		w, h = h, w
	}
	return image.Rect(0, 0, w, h)
}

// turnPlane writes src, w by h samples of 1 or 4 bytes, to dst as a viewer shows it. It goes from tile to tile, because a column is read for every row that
// is written and the cache holds only so many lines.
func turnPlane(dst []byte, dstStride int, src []byte, srcStride, w, h, size, orientation int) {
	// The sample that is shown at (x,y) is at first + x*dx + y*dy.
	left, right, top, bottom := 0, (w-1)*size, 0, (h-1)*srcStride
	var first, dx, dy int
	switch orientation {
	case 2: // mirrored
		first, dx, dy = top+right, -size, srcStride
	case 3: // upside down
		first, dx, dy = bottom+right, -size, -srcStride
	case 4: // upside down and mirrored
		first, dx, dy = bottom+left, size, -srcStride
	case 5: // on its left side and mirrored
		first, dx, dy = top+left, srcStride, size
	case 6: // on its left side: turn it clockwise
		first, dx, dy = bottom+left, -srcStride, size
	case 7: // on its right side and mirrored
		first, dx, dy = bottom+right, -srcStride, -size
	case 8: // on its right side: turn it counter-clockwise
		first, dx, dy = top+right, srcStride, -size
	}
	if orientation >= 5 {
		w, h = h, w
	}
	const tile = 32
	for y0 := 0; y0 < h; y0 += tile {
		for x0 := 0; x0 < w; x0 += tile {
			for y := y0; y < min(y0+tile, h); y++ {
				from := first + x0*dx + y*dy
				to := dst[y*dstStride+x0*size : y*dstStride+min(x0+tile, w)*size]
				if size == 1 {
					for i := range to {
						to[i] = src[from]
						from += dx
					}
					continue
				}
				for i := 0; i < len(to); i += 4 {
					binary.LittleEndian.PutUint32(to[i:], binary.LittleEndian.Uint32(src[from:]))
					from += dx
				}
			}
		}
	}
}
