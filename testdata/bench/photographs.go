package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"sync"
)

const (
	photographWide, photographHigh = 1000, 750
	photographQuality              = 85
	photographKinds                = 3
)

// photographs are JPEG files of photographWide by photographHigh, with chroma for two by two pixels, of 100 to 200 KB: drawn, but with what a decoder and a filter meet in
// a photograph: detail at every scale that gets fainter as it gets finer, hard edges, fine stripes and lines, a lens that is not perfectly sharp, and the noise of a sensor.
// The same on every machine.
var photographs = sync.OnceValue(func() [][]byte {
	files := make([][]byte, photographKinds)
	for i := range files {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, photograph(i), &jpeg.Options{Quality: photographQuality}); err != nil {
			panic(err) // It is written to memory.
		}
		files[i] = b.Bytes()
	}
	return files
})

// A light is a plane of brightness around 0, in steps of a hundredth of what a JPEG's sample can tell apart, so that no machine's floating point has a say in it.
type light struct {
	v    []int32
	w, h int
}

// photograph draws one. Its chroma is drawn at half the size, as a JPEG keeps it.
func photograph(kind int) *image.YCbCr {
	img := image.NewYCbCr(image.Rect(0, 0, photographWide, photographHigh), image.YCbCrSubsampleRatio420)
	d := dice(1000 + kind)
	for i, pix := range [...][]byte{img.Y, img.Cb, img.Cr} {
		l, strength, noise := light{w: photographWide, h: photographHigh}, int32(24), 250
		if i > 0 {
			l.w, l.h, strength, noise = photographWide/2, photographHigh/2, 9, 120
		}
		l.v = make([]int32, l.w*l.h)
		l.clouds(&d, strength)
		l.things(&d, strength)
		if i == 0 {
			l.twigs(&d)
			l.blur()
		}
		for at, v := range l.v {
			v += int32(d.roll(2*noise) + d.roll(2*noise) - 2*noise)
			pix[at] = byte(min(max(12800+v, 0), 25500) / 100)
		}
	}
	return img
}

// clouds adds noise of every scale, each finer one fainter.
func (l *light) clouds(d *dice, strength int32) {
	strength *= 100
	for cell := 256; cell >= 2; cell /= 2 {
		across := l.w/cell + 2
		corners := make([]int32, across*(l.h/cell+2))
		for i := range corners {
			corners[i] = int32(d.roll(int(2*strength))) - strength
		}
		c := int32(cell)
		for y := range l.h {
			fy := int32(y % cell)
			for x := range l.w {
				fx, at := int32(x%cell), y/cell*across+x/cell
				top := corners[at]*(c-fx) + corners[at+1]*fx
				bottom := corners[at+across]*(c-fx) + corners[at+across+1]*fx
				l.v[y*l.w+x] += (top/c*(c-fy) + bottom/c*fy) / c
			}
		}
		strength = strength * 3 / 4
	}
}

// things adds discs with hard edges, plain or striped.
func (l *light) things(d *dice, strength int32) {
	for range 40 {
		cx, cy, r := d.roll(l.w), d.roll(l.h), 5+d.roll(l.w/12)
		tint, stripe := strength*int32(d.roll(600)-300), 1<<d.roll(6)
		for y := max(cy-r, 0); y < min(cy+r, l.h); y++ {
			for x := max(cx-r, 0); x < min(cx+r, l.w); x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r && (x+y)/stripe%2 == 0 {
					l.v[y*l.w+x] += tint
				}
			}
		}
	}
}

// twigs draws dark lines that bend.
func (l *light) twigs(d *dice) {
	for range 300 {
		x, y, dx, dy := 256*d.roll(l.w), 256*d.roll(l.h), d.roll(512)-256, d.roll(512)-256
		dark, thick := int32(-2000-d.roll(9000)), 1+d.roll(3)
		for range 20 + d.roll(l.w/6) {
			dx, dy = min(max(dx+d.roll(33)-16, -256), 256), min(max(dy+d.roll(33)-16, -256), 256)
			x, y = x+dx, y+dy
			for i := range thick {
				if px, py := x>>8+i, y>>8; px >= 0 && px < l.w && py >= 0 && py < l.h {
					l.v[py*l.w+px] = dark
				}
			}
		}
	}
}

// blur is the lens: each sample becomes the mean of itself and its neighbours, which count for half.
func (l *light) blur() {
	line := make([]int32, max(l.w, l.h))
	smooth := func(first, step, n int) {
		for i := range n {
			line[i] = l.v[first+i*step]
		}
		for i := range n {
			l.v[first+i*step] = (line[max(i-1, 0)] + 2*line[i] + line[min(i+1, n-1)]) / 4
		}
	}
	for y := range l.h {
		smooth(y*l.w, 1, l.w)
	}
	for x := range l.w {
		smooth(x, l.w, l.h)
	}
}
