package pipeline

import (
	"cmp"
	"encoding/binary"
	"image"
	"math"
	"slices"
	"sync"

	"github.com/disintegration/imaging"
)

// scaleDown is how many times larger than its largest thumbnail a picture must be that was decoded at a reduced scale, so that the thumbnail is as good as one from all
// pixels: 40 dB and more from what the Lanczos filter makes of them.
const scaleDown = 1.5

// thumbSize is the size of a thumbnail of a picture in a box, by Pillow's rule (Image.thumbnail), to the pixel: the aspect is kept as well as whole pixels allow,
// a picture that fits is not enlarged, and a side is never less than one.
func thumbSize(picture, box image.Point) image.Point {
	x, y := max(box.X, 1), max(box.Y, 1)
	if x >= picture.X && y >= picture.Y {
		return picture
	}
	aspect := float64(picture.X) / float64(picture.Y)
	if float64(x)/float64(y) >= aspect {
		x = nearer(float64(y)*aspect, func(n float64) float64 { return math.Abs(aspect - n/float64(y)) })
	} else {
		y = nearer(float64(x)/aspect, func(n float64) float64 {
			if n == 0 {
				return 0
			}
			return math.Abs(aspect - float64(x)/n)
		})
	}
	return image.Pt(x, y)
}

// nearer is v rounded down or up, whichever is less off, and 1 at least.
func nearer(v float64, off func(float64) float64) int {
	n := math.Floor(v)
	if up := math.Ceil(v); off(up) < off(n) {
		n = up
	}
	return max(int(n), 1)
}

// leastFor is what openPicture has to give for thumbnails in these boxes of a picture of the given size.
func leastFor(size image.Point, boxes []image.Point) (least image.Point) {
	for _, box := range boxes {
		thumb := thumbSize(size, box)
		if thumb == size {
			return size
		}
		least.X = max(least.X, min(int(math.Ceil(float64(thumb.X)*scaleDown)), size.X))
		least.Y = max(least.Y, min(int(math.Ceil(float64(thumb.Y)*scaleDown)), size.Y))
	}
	return least
}

// thumbnails makes one picture for each box, in their order. They are flat, as the picture is; one that would not be smaller is the picture itself.
//
// The large ones come first. Each is made by the Lanczos filter from averages of the picture's samples, few times as many as it needs, and these
// averages serve as the picture for the smaller ones.
func (p *picture) thumbnails(boxes []image.Point) []image.Image {
	order := make([]int, len(boxes))
	sizes := make([]image.Point, len(boxes))
	for i, box := range boxes {
		order[i], sizes[i] = i, thumbSize(p.Size, box)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(sizes[b].X*sizes[b].Y, sizes[a].X*sizes[a].Y)
	})
	thumbs := make([]image.Image, len(boxes))
	made := map[image.Point]image.Image{p.Size: p.Image}
	from := channelsOf(p.Image)
	from.reduced(p.Size, p.Image.Bounds().Size())
	for _, i := range order {
		size := sizes[i]
		if made[size] == nil {
			from = from.average(size)
			made[size] = from.lanczos(size)
		}
		thumbs[i] = made[size]
	}
	return thumbs
}

// channels is a flat picture taken apart: Y, Cb and Cr, or R, G and B.
type channels struct {
	planes [3]plane // the first one has all three before average has been there, if it is an interleaved one
	ycbcr  bool
}

// channelsOf shares the pixels of img.
func channelsOf(img image.Image) (c channels) {
	size := img.Bounds().Size()
	w, h := float64(size.X), float64(size.Y)
	switch m := img.(type) {
	case *image.YCbCr:
		sx, sy := subsampling(m.SubsampleRatio)
		chroma := plane{stride: m.CStride, step: 1, w: (size.X + sx - 1) / sx, h: (size.Y + sy - 1) / sy, across: w / float64(sx), down: h / float64(sy)}
		c.ycbcr = true
		c.planes = [3]plane{{stride: m.YStride, step: 1, w: size.X, h: size.Y, across: w, down: h}, chroma, chroma}
		c.planes[0].pix, c.planes[1].pix, c.planes[2].pix = m.Y, m.Cb, m.Cr
	case *image.RGBA:
		c.planes[0] = plane{pix: m.Pix, stride: m.Stride, step: 4, w: size.X, h: size.Y, across: w, down: h}
	default:
		return channelsOf(flatten(img)) // which is one of the two
	}
	return c
}

// reduced says of which size the whole picture is. If that is larger, samples are means of d by d pixels, the last ones perhaps of fewer.
func (c *channels) reduced(whole, size image.Point) {
	if whole == size {
		return
	}
	d := 2
	for (whole.X+d-1)/d > size.X || (whole.Y+d-1)/d > size.Y {
		d *= 2
	}
	for i := range c.planes {
		p := &c.planes[i]
		p.across *= float64(whole.X) / float64(d*size.X)
		p.down *= float64(whole.Y) / float64(d*size.Y)
		p.averagedX, p.averagedY = true, true
	}
}

// halved says that a thumbnail has one sample of plane i for two pixels, across and down, as its JPEG has.
func (c channels) halved(i int) bool { return c.ycbcr && i > 0 }

// average makes of c what lanczos is to be given for a thumbnail of that size.
func (c channels) average(size image.Point) channels {
	for i, p := range c.planes {
		parts := p.average(averages(p.across, size.X, c.halved(i)), averages(p.down, size.Y, c.halved(i)))
		if len(parts) == len(c.planes) {
			copy(c.planes[:], parts)
			break
		}
		c.planes[i] = parts[0]
	}
	return c
}

// averages is how many averages to make of have samples for a side of a thumbnail. Averaging is several times cheaper than the Lanczos filter, and as it costs the
// thumbnail only what sharpened cannot give back, photographs stay 40 dB and more from what the filter makes of all samples. Small thumbnails, where more
// gets lost and the filter costs nothing, have more to choose from. Chroma needs less, as the filter takes two pixels' at once.
func averages(have float64, side int, halved bool) int {
	density := 1.75
	if side <= 128 {
		density = 2.5
	}
	if halved {
		density *= 0.7
	}
	switch n := math.Ceil(density * float64(side)); {
	case have > worthIt*n:
		return int(n)
	case halved && have < 0.75*float64(side):
		// A thumbnail nearly as large as the picture: give the filter a sample for each pixel, as a decoder shows them.
		have *= 2
	}
	return max(int(math.Round(have)), 1)
}

// worthIt is how many samples must go into an average, across or down, for averaging to be done at all.
const worthIt = 1.25

// lanczos makes a thumbnail.
func (c channels) lanczos(size image.Point) image.Image {
	var rows, columns taps
	for i, p := range c.planes {
		if i < 2 || !c.ycbcr { // Cb and Cr are alike
			rows = newTaps(p.h, size.Y, c.halved(i), p.averagedY)
			columns = newTaps(p.w, size.X, c.halved(i), p.averagedX)
		}
		c.planes[i] = p.filter(rows).filter(columns)
	}
	a, b, d := c.planes[0], c.planes[1], c.planes[2]
	if c.ycbcr {
		return &image.YCbCr{
			Y: a.pix, Cb: b.pix, Cr: d.pix, YStride: a.stride, CStride: b.stride,
			SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: image.Rectangle{Max: size},
		}
	}
	dst := image.NewRGBA(image.Rectangle{Max: size})
	for i := range a.pix {
		p := dst.Pix[4*i : 4*i+4]
		p[0], p[1], p[2], p[3] = a.pix[i], b.pix[i], d.pix[i], 255
	}
	return dst
}

// plane is one channel, w by h samples, in rows that are stride bytes apart. The whole picture is across by down samples, which are not always whole numbers. With a
// step of 4 it is an interleaved one: three channels and a fourth that does not matter.
type plane struct {
	pix          []byte
	stride, step int
	w, h         int
	across, down float64
	// averagedX and averagedY say that the samples are averages.
	averagedX, averagedY bool
}

// average makes w by h samples of the picture, each the mean of its area. A sample on the border of two areas counts for both by what lies in each, so that nothing
// is cut off and nothing shifts. It returns a plane for each channel.
func (p plane) average(w, h int) []plane {
	if p.step == 1 && w == p.w && h == p.h && p.across == float64(w) && p.down == float64(h) {
		return []plane{p}
	}
	// Weights are in parts of 256. Where so many samples meet that they would get few parts each, averages are averaged.
	if w1, h1 := halfway(p.across, w), halfway(p.down, h); w1 != w || h1 != h {
		parts := p.average(w1, h1)
		for i, part := range parts {
			parts[i] = part.average(w, h)[0]
		}
		return parts
	}
	columns, rows := newMeans(p.w, p.across, w), newMeans(p.h, p.down, h)
	parts := make([]plane, min(p.step, 3))
	for i := range parts {
		parts[i] = plane{
			pix: make([]byte, w*h), stride: w, step: 1, w: w, h: h, across: float64(w), down: float64(h),
			averagedX: p.averagedX || p.across > worthIt*float64(w), averagedY: p.averagedY || p.down > worthIt*float64(h),
		}
	}
	length := p.w * p.step
	sum := make([]uint64, (length+7)/8*2)
	mean := make([]byte, (length+7)/8*8)
	for y := range h {
		clear(sum)
		for k, weight := range rows.weights[y*rows.taps : (y+1)*rows.taps] {
			if weight != 0 {
				at := (rows.first[y] + k) * p.stride
				addRow(sum, p.pix[at:at+length], uint64(weight))
			}
		}
		divideRow(mean, sum)
		for i, part := range parts {
			columns.apply(part.pix[y*w:(y+1)*w], mean[i:], p.step)
		}
	}
	return parts
}

// halfway is n, or more where it is too far from have for one step.
func halfway(have float64, n int) int {
	if have > 64*float64(n) {
		return 8 * n
	}
	return n
}

// Eight samples are added at a time: four in the even bytes and four in the odd ones, each in a lane of 16 bits. The weights of a mean add up to 256, so that a
// lane holds 255*256 at most.
const (
	lanes  = 0x00ff00ff00ff00ff
	halves = 0x0080008000800080
)

// addRow adds a row of samples, times weight, to sum.
func addRow(sum []uint64, row []byte, weight uint64) {
	i := 0
	for ; len(row) >= 8; i += 2 {
		v := binary.LittleEndian.Uint64(row)
		s := sum[i : i+2 : i+2]
		s[0] += (v & lanes) * weight
		s[1] += (v >> 8 & lanes) * weight
		row = row[8:]
	}
	if len(row) > 0 {
		var last [8]byte
		copy(last[:], row)
		v := binary.LittleEndian.Uint64(last[:])
		sum[i] += (v & lanes) * weight
		sum[i+1] += (v >> 8 & lanes) * weight
	}
}

// divideRow divides by 256 and rounds.
func divideRow(mean []byte, sum []uint64) {
	for i := 0; i < len(sum); i += 2 {
		binary.LittleEndian.PutUint64(mean[4*i:], (sum[i]+halves)>>8&lanes|(sum[i+1]+halves)&^lanes)
	}
}

// means says how samples make averages: average i is the sum of taps samples from first[i] on, times their weights, which add up to 256.
type means struct {
	taps    int
	first   []int
	weights []uint32
}

// newMeans divides length samples into m equal stretches. There are n of them; the last may count in part.
func newMeans(n int, length float64, m int) means {
	side := length / float64(m)
	taps := min(max(int(math.Ceil(side))+1, 4), n) // for 4 there is a fast way
	if side == 1 {
		taps = 1
	}
	d := means{taps: taps, first: make([]int, m), weights: make([]uint32, m*taps)}
	for i := range d.first {
		from, to := side*float64(i), side*float64(i+1)
		d.first[i] = min(int(from), n-taps)
		done := 0.0
		for k := range taps {
			part := math.Round(256 * min(max((float64(d.first[i]+k+1)-from)/(to-from), 0), 1))
			if k == taps-1 {
				part = 256
			}
			d.weights[i*taps+k] = uint32(part - done)
			done = part
		}
	}
	return d
}

// apply averages a row whose samples are step bytes apart.
func (d means) apply(dst, row []byte, step int) {
	switch {
	case d.taps == 1:
		for i, first := range d.first {
			dst[i] = row[first*step]
		}
	case d.taps == 4 && step == 1:
		weights := d.weights
		for i, first := range d.first {
			p, w := row[first:first+4:first+4], weights[:4:4]
			dst[i] = byte((uint32(p[0])*w[0] + uint32(p[1])*w[1] + uint32(p[2])*w[2] + uint32(p[3])*w[3] + 128) >> 8)
			weights = weights[4:]
		}
	default:
		for i, first := range d.first {
			sum, at := uint32(128), first*step
			for _, w := range d.weights[i*d.taps : (i+1)*d.taps] {
				sum += uint32(row[at]) * w
				at += step
			}
			dst[i] = byte(sum >> 8)
		}
	}
}

// filter makes of each column what t says, and exchanges rows and columns, so that a second call does the rows and puts everything back in place. Eight columns are
// done at a time, in lanes as addRow has them, in parts of 128. A sum may be negative on the way; what it ends as, with the headroom, is not, so no lane has borrowed
// from its neighbour for good.
func (p plane) filter(t taps) plane {
	n := len(t.first)
	dst := plane{pix: make([]byte, n*p.w), stride: n, step: 1, w: n, h: p.w, averagedX: p.averagedY, averagedY: p.averagedX}
	if p.w < 8 {
		p = p.widened()
	}
	pix, stride, columns := p.pix, p.stride, min(dst.h, 8)
	for next := 0; next < dst.h; next += 8 {
		x := min(next, p.w-8) // the last eight may have been done in part
		out := dst.pix[x*n:]
		for y, first := range t.first {
			even, odd := uint64(headroom), uint64(headroom)
			at := first*stride + x
			for _, weight := range t.weights[y*t.length : (y+1)*t.length] {
				v := binary.LittleEndian.Uint64(pix[at:])
				even += (v & lanes) * weight
				odd += (v >> 8 & lanes) * weight
				at += stride
			}
			for i := 0; i < columns; i += 2 {
				out[i*n+y] = sample(even)
				if i+1 < columns {
					out[(i+1)*n+y] = sample(odd)
				}
				even, odd = even>>16, odd>>16
			}
		}
	}
	return dst
}

// headroom is 128 in each lane, for what the filter makes of an edge beyond black, and a half, to round.
const headroom = 0x4040404040404040

// sample is the lowest lane's.
func sample(sum uint64) byte {
	return byte(min(max(int(sum&0xffff)>>7-128, 0), 255))
}

// widened is a plane of eight columns, of which those that p has not do not matter.
func (p plane) widened() plane {
	pix := make([]byte, 8*p.h)
	for y := range p.h {
		copy(pix[8*y:], p.pix[y*p.stride:y*p.stride+p.w])
	}
	p.pix, p.stride, p.w = pix, 8, 8
	return p
}

// taps says how samples make filtered ones: sample i is the sum of length samples from first[i] on, times their weights, which add up to 128. Negative weights are in
// two's complement.
type taps struct {
	length  int
	first   []int
	weights []uint64
}

// newTaps is imaging's Lanczos filter for side pixels, or for half as many samples, each the mean of two pixels, made of n samples.
func newTaps(n, side int, halved, averaged bool) taps {
	kernel, support := lanczosTable(), imaging.Lanczos.Support
	if averaged {
		kernel = sharpened(kernel, support, float64(side)/float64(n))
	}
	pixels, samples := 1, side
	if halved {
		pixels, samples = 2, (side+1)/2
	}
	step := float64(n) / float64(side)
	scale := max(step, 1) // it takes as many samples as it needs, and never fewer than for one pixel each
	reach := scale * support
	t := taps{length: min(int(2*reach+float64(pixels-1)*step)+2, n), first: make([]int, samples)}
	t.weights = make([]uint64, samples*t.length)
	sums := make([]float64, t.length)
	for i := range samples {
		clear(sums)
		last := min(pixels*(i+1), side)
		center := func(pixel int) float64 { return (float64(pixel)+0.5)*step - 0.5 }
		t.first[i] = min(max(int(math.Ceil(center(pixels*i)-reach)), 0), n-t.length)
		for pixel := pixels * i; pixel < last; pixel++ {
			for k := range sums {
				sums[k] += kernel((float64(t.first[i]+k) - center(pixel)) / scale)
			}
		}
		round(t.weights[i*t.length:(i+1)*t.length], sums)
	}
	return t
}

// round makes weights of numbers in proportion to them. What one of them loses to rounding the next one gets, so that it stays nearly where it was.
func round(weights []uint64, parts []float64) {
	whole, sum, done := 0.0, 0.0, 0
	for _, part := range parts {
		whole += part
	}
	for k, part := range parts {
		sum += part
		now := int(math.Round(128 * sum / whole))
		weights[k] = uint64(now - done)
		done = now
	}
}

// lanczosTable is the kernel of imaging.Lanczos from a table, because thousands of weights of two sines each cost as much as using them.
var lanczosTable = sync.OnceValue(func() func(float64) float64 {
	const density = 256
	table := make([]float64, int(imaging.Lanczos.Support)*density+2)
	for i := range table {
		table[i] = imaging.Lanczos.Kernel(float64(i) / density)
	}
	return func(x float64) float64 {
		x = math.Abs(x) * density
		i := int(x)
		if i+1 >= len(table) {
			return 0
		}
		return table[i] + (table[i+1]-table[i])*(x-float64(i))
	}
})

// sharpened also gives back what averaging took. An average over a length b, in pixels of the thumbnail, damps a wave of frequency f by sinc(b*f), about
// 1 - (pi*b*f)^2/6; subtracting a 24th of the second difference over b raises it by as much. What that adds beyond the kernel's support is next to nothing and
// is left out.
func sharpened(kernel func(float64) float64, support, b float64) func(float64) float64 {
	return func(x float64) float64 {
		if math.Abs(x) >= support {
			return 0
		}
		return kernel(x) - (kernel(x-b)-2*kernel(x)+kernel(x+b))/24
	}
}
