package pipeline

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/stretchr/testify/require"
)

func TestThumbSize(t *testing.T) {
	t.Parallel()
	boxes := []image.Point{{50, 50}, {270, 270}, {10, 25}, {100, 20}}
	for _, tt := range []struct {
		picture image.Point
		want    [4]image.Point
	}{
		{image.Pt(100, 100), [4]image.Point{{50, 50}, {100, 100}, {10, 10}, {20, 20}}},
		{image.Pt(400, 300), [4]image.Point{{50, 38}, {270, 203}, {10, 8}, {27, 20}}},
		{image.Pt(300, 400), [4]image.Point{{37, 50}, {202, 270}, {10, 13}, {15, 20}}},
		{image.Pt(1000, 10), [4]image.Point{{50, 1}, {270, 3}, {10, 1}, {100, 1}}},
		{image.Pt(10, 1000), [4]image.Point{{1, 50}, {3, 270}, {1, 25}, {1, 20}}},
		{image.Pt(51, 50), [4]image.Point{{50, 49}, {51, 50}, {10, 10}, {20, 20}}},
		{image.Pt(640, 427), [4]image.Point{{50, 33}, {270, 180}, {10, 7}, {30, 20}}},
		{image.Pt(333, 500), [4]image.Point{{33, 50}, {180, 270}, {10, 15}, {13, 20}}},
		{image.Pt(1, 1), [4]image.Point{{1, 1}, {1, 1}, {1, 1}, {1, 1}}},
	} {
		for i, box := range boxes {
			require.Equal(t, tt.want[i], thumbSize(tt.picture, box), "%v in %v", tt.picture, box)
		}
	}
	require.Equal(t, image.Pt(1, 1), thumbSize(image.Pt(30, 30), image.Pt(0, -5)))

	lines := strings.Split(strings.TrimSpace(string(pixelFile(t, "thumbsizes.txt"))), "\n")
	require.Len(t, lines, 400)
	for _, line := range lines {
		var picture, box, want image.Point
		_, err := fmt.Sscan(line, &picture.X, &picture.Y, &box.X, &box.Y, &want.X, &want.Y)
		require.NoError(t, err)
		require.Equal(t, want, thumbSize(picture, box), line)
	}
}

func TestLeastFor(t *testing.T) {
	t.Parallel()
	require.Equal(t, image.Pt(405, 305), leastFor(image.Pt(1000, 750), []image.Point{{50, 50}, {270, 270}}))
	require.Equal(t, image.Pt(300, 225), leastFor(image.Pt(300, 225), []image.Point{{270, 270}, {50, 50}}), "never more than there is")
	require.Equal(t, image.Pt(200, 100), leastFor(image.Pt(200, 100), []image.Point{{50, 50}, {270, 270}}))
	require.Equal(t, image.Point{}, leastFor(image.Pt(200, 100), nil))
}

// photograph draws what a camera might see: detail at every scale, hard edges, fine lines, and some noise.
func photograph(w, h int) *image.RGBA {
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	light := make([][3]float64, w*h)
	for cell, weight := 256, 45.0; cell >= 2; cell, weight = cell/2, weight*0.75 {
		cw := w/cell + 2
		grid := make([][3]float64, cw*(h/cell+2))
		for i := range grid {
			grey := random.NormFloat64()
			for c := range 3 {
				grid[i][c] = grey + 0.3*random.NormFloat64()
			}
		}
		for y := range h {
			for x := range w {
				fx, fy := float64(x%cell)/float64(cell), float64(y%cell)/float64(cell)
				at := y/cell*cw + x/cell
				for c := range 3 {
					top := grid[at][c]*(1-fx) + grid[at+1][c]*fx
					bottom := grid[at+cw][c]*(1-fx) + grid[at+cw+1][c]*fx
					light[y*w+x][c] += weight * (top*(1-fy) + bottom*fy)
				}
			}
		}
	}
	for range 40 {
		cx, cy, r := random.IntN(w), random.IntN(h), 5+random.IntN(w/12)
		tint := [3]float64{random.Float64()*160 - 80, random.Float64()*160 - 80, random.Float64()*160 - 80}
		stripe := 1 << random.IntN(6)
		for y := max(cy-r, 0); y < min(cy+r, h); y++ {
			for x := max(cx-r, 0); x < min(cx+r, w); x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r && (x+y)/stripe%2 == 0 {
					for c := range 3 {
						light[y*w+x][c] += tint[c]
					}
				}
			}
		}
	}
	for range w * h / 600 { // twigs before the sky
		x, y, angle := random.Float64()*float64(w), random.Float64()*float64(h), random.Float64()*math.Pi
		dark, thick := 60+120*random.Float64(), 1+random.IntN(3)
		for range 20 + random.IntN(w/6) {
			angle += 0.05 * random.NormFloat64()
			x, y = x+math.Cos(angle), y+math.Sin(angle)
			for i := range thick {
				if px, py := int(x)+i, int(y); px >= 0 && px < w && py >= 0 && py < h {
					for c := range 3 {
						light[py*w+px][c] = -dark + 5*float64(c)
					}
				}
			}
		}
	}
	for i, l := range light {
		noise := 150 + 5*random.NormFloat64()
		for c := range 3 {
			img.Pix[4*i+c] = uint8(min(max(l[c]+noise+random.NormFloat64(), 0), 255))
		}
		img.Pix[4*i+3] = 255
	}
	return img
}

// asStored is what a JPEG encoder takes from pixels: chroma for two by two of them.
func asStored(m *image.RGBA) *image.YCbCr {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	dst := image.NewYCbCr(m.Rect, image.YCbCrSubsampleRatio420)
	for y := 0; y < h; y += 2 {
		for x := 0; x < w; x += 2 {
			cb, cr := 2, 2
			for i := range 4 {
				px, py := min(x+i%2, w-1), min(y+i/2, h-1)
				p := m.Pix[py*m.Stride+4*px:]
				luma, blue, red := color.RGBToYCbCr(p[0], p[1], p[2])
				dst.Y[py*dst.YStride+px] = luma
				cb, cr = cb+int(blue), cr+int(red)
			}
			at := y/2*dst.CStride + x/2
			dst.Cb[at], dst.Cr[at] = uint8(cb/4), uint8(cr/4)
		}
	}
	return dst
}

// psnr says how near a thumbnail is to wanted pixels when both are stored, in decibels.
func psnr(thumb image.Image, want *image.RGBA) float64 {
	if m, ok := thumb.(*image.RGBA); ok {
		thumb = asStored(m)
	}
	size := want.Rect.Size()
	a := onCanvas(thumb, image.Point{}, size).(*image.RGBA)
	b := onCanvas(asStored(want), image.Point{}, size).(*image.RGBA)
	sum := 0
	for i, v := range a.Pix {
		off := int(v) - int(b.Pix[i])
		sum += off * off
	}
	return 10 * math.Log10(255*255/(float64(sum)/float64(3*size.X*size.Y)))
}

// Thumbnails are as good as if the Lanczos filter had worked on every pixel of the picture. 38 dB are promised; this picture reaches 42, and 41 if averages are not
// sharpened.
func TestThumbnailQuality(t *testing.T) {
	t.Parallel()
	whole := photograph(360, 270)
	for _, size := range []image.Point{{360, 270}, {331, 261}} {
		photo := image.NewRGBA(image.Rectangle{Max: size})
		draw.Draw(photo, photo.Rect, image.NewUniform(rgb{210, 40, 60}), image.Point{}, draw.Src) // a frame, because edges are where filters slip
		draw.Draw(photo, photo.Rect.Inset(3), whole, image.Pt(3, 3), draw.Src)
		fromJPEG, _ := mustOpen(t, encoded(t, asJPEG, photo))
		for name, p := range map[string]*picture{"jpeg": fromJPEG, "pixels": {Image: photo, Size: size}} {
			t.Run(fmt.Sprintf("%s %v", name, size), func(t *testing.T) {
				t.Parallel()
				sides := []int{50, 131, 25, 300}
				boxes := make([]image.Point, len(sides))
				for i, side := range sides {
					boxes[i] = image.Pt(side, side)
				}
				for i, thumb := range p.thumbnails(boxes) {
					thumbSize := thumbSize(size, boxes[i])
					requireFlat(t, thumb, thumbSize)
					want := imaging.Resize(p.Image, thumbSize.X, thumbSize.Y, imaging.Lanczos)
					pixels := &image.RGBA{Pix: want.Pix, Stride: want.Stride, Rect: want.Rect}
					const least = 41.5
					require.GreaterOrEqual(t, psnr(thumb, pixels), least, "%d, one of many", sides[i])
					require.GreaterOrEqual(t, psnr(p.thumbnails(boxes[i : i+1])[0], pixels), least, "%d, alone", sides[i])
				}
			})
		}
	}
}

// TestThumbnailQualityOfScaledDecoding holds thumbnails of a photograph that was decoded at a half, a quarter and an eighth to the Lanczos filter over all of its pixels.
func TestThumbnailQualityOfScaledDecoding(t *testing.T) {
	t.Parallel()
	photo := imaging.Resize(photograph(400, 300), 1000, 750, imaging.Lanczos)
	var file bytes.Buffer
	require.NoError(t, jpeg.Encode(&file, flatten(photo), &jpeg.Options{Quality: 90}))
	r := bytes.NewReader(file.Bytes())
	info, err := inspectPicture(r)
	require.NoError(t, err)
	whole, err := openPicture(r, info, image.Point{})
	require.NoError(t, err)
	for _, side := range []int{270, 330, 160, 80, 50} {
		box := image.Pt(side, side)
		p, err := openPicture(r, info, leastFor(info.size(), []image.Point{box}))
		require.NoError(t, err)
		require.Less(t, p.Image.Bounds().Dx(), 1000, "%d is made of fewer pixels", side)
		size := thumbSize(info.size(), box)
		want := imaging.Resize(whole.Image, size.X, size.Y, imaging.Lanczos)
		got := psnr(p.thumbnails([]image.Point{box})[0], &image.RGBA{Pix: want.Pix, Stride: want.Stride, Rect: want.Rect})
		t.Logf("%d from %v: %.1f dB", side, p.Image.Bounds().Size(), got)
		require.GreaterOrEqual(t, got, 40.0, "%d", side)
	}
}

func TestThumbnails(t *testing.T) {
	t.Parallel()
	p := &picture{Image: asStored(photograph(120, 90)), Size: image.Pt(120, 90)}
	boxes := []image.Point{{30, 30}, {500, 500}, {60, 60}, {30, 30}, {120, 90}, {30, 23}}
	thumbs := p.thumbnails(boxes)
	require.Len(t, thumbs, len(boxes))
	require.Equal(t, image.Pt(30, 23), thumbs[0].Bounds().Size())
	require.Equal(t, image.Pt(60, 45), thumbs[2].Bounds().Size())
	require.Same(t, thumbs[0], thumbs[3], "made once")
	require.Same(t, thumbs[0], thumbs[5])
	require.Same(t, p.Image, thumbs[1], "never enlarged")
	require.Same(t, p.Image, thumbs[4])
	require.Empty(t, p.thumbnails(nil))
}

// A picture of one colour has thumbnails of that colour, to the bit, in every size.
func TestThumbnailsOfOneColour(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Point{{1, 1}, {2, 1}, {1, 3}, {7, 5}, {301, 199}, {1, 5000}, {40000, 1}} {
		pixels := image.NewRGBA(image.Rectangle{Max: size})
		for i := 0; i < len(pixels.Pix); i += 4 {
			copy(pixels.Pix[i:], []byte{200, 30, 90, 255})
		}
		images := []image.Image{pixels}
		for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
			m := image.NewYCbCr(pixels.Rect, ratio)
			for _, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
				for i := range plane {
					plane[i] = 173
				}
			}
			images = append(images, m)
		}
		for _, img := range images {
			p := &picture{Image: img, Size: size}
			boxes := []image.Point{{1, 1}, {3, 40}, {51, 7}, {300, 198}}
			for i, thumb := range p.thumbnails(boxes) {
				requireFlat(t, thumb, thumbSize(size, boxes[i]))
				same := true
				if m, ok := thumb.(*image.YCbCr); ok {
					for _, plane := range [][]byte{m.Y, m.Cb, m.Cr} {
						same = same && bytes.Count(plane, []byte{173}) == len(plane)
					}
				} else {
					pix := thumb.(*image.RGBA).Pix
					same = bytes.Count(pix, pixels.Pix[:4])*4 == len(pix)
				}
				require.True(t, same, "%T of %v in %v", img, size, boxes[i])
			}
		}
	}
}

// Averaging keeps what is where: a slope stays a straight line, from edge to edge, whatever the remainder is.
func TestAverageDoesNotShift(t *testing.T) {
	t.Parallel()
	for _, n := range []int{100, 101, 199, 200, 255} {
		for m := 3; m < n; m += 11 {
			p := plane{pix: make([]byte, n*n), stride: n, step: 1, w: n, h: n, across: float64(n), down: float64(n)}
			for i := range p.pix {
				p.pix[i] = byte(i % n)
			}
			got := p.average(m, m)[0]
			worst := 0.0
			for i, v := range got.pix {
				center := (float64(i%m)+0.5)*float64(n)/float64(m) - 0.5
				worst = max(worst, math.Abs(center-float64(v)))
			}
			require.LessOrEqual(t, worst, 1.0, "%d to %d", n, m)
		}
	}
}

func TestMeansWeights(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n, m   int
		length float64
	}{{1, 1, 1}, {3, 2, 3}, {5, 5, 5}, {5, 6, 4.5}, {500, 7, 500}, {500, 100, 499.5}, {1000, 473, 1000}, {50, 100, 50}, {4, 1, 3.5}} {
		d := newMeans(tt.n, tt.length, tt.m)
		for i, first := range d.first {
			require.GreaterOrEqual(t, first, 0)
			require.LessOrEqual(t, first+d.taps, tt.n)
			sum := uint32(0)
			for _, w := range d.weights[i*d.taps : (i+1)*d.taps] {
				sum += w
			}
			require.Equal(t, uint32(256), sum, "%+v", tt)
		}
	}
}

// The weights of a filtered sample add up to one, and no sum of bytes leaves its lane: the last of them would be its neighbours' too.
func TestTapsStayInTheirLanes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 12, 25, 33, 100, 125, 250, 375, 473, 500, 1001} {
		for side := 1; side <= n*4/3; side = side + 1 + side/7 {
			for _, halved := range []bool{false, true} {
				for _, averaged := range []bool{false, true} {
					d := newTaps(n, side, halved, averaged)
					for i, first := range d.first {
						require.GreaterOrEqual(t, first, 0)
						require.LessOrEqual(t, first+d.length, n)
						light, dark := 0, 0
						for _, w := range d.weights[i*d.length : (i+1)*d.length] {
							light, dark = light+max(int(w), 0), dark+min(int(w), 0)
						}
						require.Equal(t, 128, light+dark)
						const lane = 1 << 16
						const room = headroom & (lane - 1)
						require.Less(t, room+255*light, lane, "%d of %d, halved %v, averaged %v", side, n, halved, averaged)
						require.GreaterOrEqual(t, room+255*dark, 0, "%d of %d, halved %v, averaged %v", side, n, halved, averaged)
					}
				}
			}
		}
	}
}

// Edges between black and white overshoot both, in every lane and next to every other value: they are clipped, and nobody's neighbour notices.
func TestFilterOfHardEdges(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for _, w := range []int{1, 3, 7, 8, 9, 15, 17, 40} {
		p := plane{pix: make([]byte, w*60), stride: w, step: 1, w: w, h: 60}
		for i := range p.pix {
			p.pix[i] = byte(255 * random.IntN(2))
		}
		d := newTaps(60, 23, false, true)
		got := p.filter(d)
		require.Equal(t, image.Pt(23, w), image.Pt(got.w, got.h))
		for x := range w {
			for y, first := range d.first {
				sum := 64
				for k, weight := range d.weights[y*d.length : (y+1)*d.length] {
					sum += int(weight) * int(p.pix[(first+k)*w+x])
				}
				require.Equal(t, byte(min(max(sum>>7, 0), 255)), got.pix[x*got.stride+y], "column %d of %d, row %d", x, w, y)
			}
		}
	}
}

// picturesToStore is one picture's work: two thumbnails, and the header before them.
func picturesToStore(b *testing.B, data []byte, boxes []image.Point) {
	r := bytes.NewReader(data)
	info, err := inspectPicture(r)
	require.NoError(b, err)
	p, err := openPicture(r, info, leastFor(info.size(), boxes))
	require.NoError(b, err)
	for _, thumb := range p.thumbnails(boxes) {
		require.NoError(b, encodeJPEG(io.Discard, thumb, 75))
	}
}

// photographFile is a JPEG of 1000x750.
func photographFile(b *testing.B) []byte {
	b.Helper()
	var file bytes.Buffer
	soft := imaging.Resize(photograph(625, 469), 1000, 750, imaging.Linear) // as sharp as most lenses are: 0.2 bytes a pixel
	require.NoError(b, jpeg.Encode(&file, flatten(soft), &jpeg.Options{Quality: 85}))
	return file.Bytes()
}

// BenchmarkPicture shows what a photograph of 1000x750 costs: use -cpu 1 for milliseconds of one core.
func BenchmarkPicture(b *testing.B) {
	data := photographFile(b)
	b.Logf("%d bytes", len(data))
	boxes := []image.Point{{50, 50}, {270, 270}}
	r := bytes.NewReader(data)
	info, err := inspectPicture(r)
	require.NoError(b, err)
	p, err := openPicture(r, info, image.Point{})
	require.NoError(b, err)

	b.Run("inspect", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := inspectPicture(r)
			require.NoError(b, err)
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, verifyPicture(r, info))
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := openPicture(r, info, image.Point{})
			require.NoError(b, err)
		}
	})
	b.Run("thumbnails", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.thumbnails(boxes)
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			picturesToStore(b, data, boxes)
		}
	})
	b.Run("naive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			img, err := imaging.Decode(bytes.NewReader(data), imaging.AutoOrientation(true))
			require.NoError(b, err)
			for _, box := range boxes {
				thumb := imaging.Fit(img, box.X, box.Y, imaging.Lanczos)
				require.NoError(b, imaging.Encode(io.Discard, thumb, imaging.JPEG, imaging.JPEGQuality(75)))
			}
		}
	})
}
