package jpegscale

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// drawn is a picture with slopes, edges and noise; noise 255 is nothing but noise, whose coefficients are the largest there are.
func drawn(w, h, noise int) *image.RGBA {
	rng := rand.New(rand.NewPCG(uint64(w), uint64(h)))
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			base := [3]int{255 * x / w, 255 * y / h, 128 + 100*((x/9+y/7)%2)}
			p := m.Pix[m.PixOffset(x, y):]
			for i, v := range base {
				if noise == 255 {
					v = 255 * rng.IntN(2)
				} else {
					v += rng.IntN(2*noise+1) - noise
				}
				p[i] = byte(min(max(v, 0), 255))
			}
			p[3] = 255
		}
	}
	return m
}

// as is the picture in another form.
func as(m *image.RGBA, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
	dst := image.NewYCbCr(m.Rect, ratio)
	for y := range m.Rect.Dy() {
		for x := range m.Rect.Dx() {
			c := m.RGBAAt(x, y)
			at := dst.COffset(x, y)
			dst.Y[dst.YOffset(x, y)], dst.Cb[at], dst.Cr[at] = color.RGBToYCbCr(c.R, c.G, c.B)
		}
	}
	return dst
}

// off is the root of the mean square of what the samples of two pictures differ by.
func off(t *testing.T, a, b image.Image) float64 {
	t.Helper()
	sum, n := 0.0, 0.0
	want := samples(t, b)
	for i, plane := range samples(t, a) {
		require.Len(t, plane, len(want[i]))
		for j, v := range plane {
			d := float64(v) - float64(want[i][j])
			sum, n = sum+d*d, n+1
		}
	}
	return math.Sqrt(sum / n)
}

// apart is off for the colours of two pictures of one size.
func apart(a, b image.Image) float64 {
	sum, size := 0.0, a.Bounds().Size()
	for y := range size.Y {
		for x := range size.X {
			r1, g1, b1, _ := a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y).RGBA()
			r2, g2, b2, _ := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			for _, d := range [...]float64{float64(r1) - float64(r2), float64(g1) - float64(g2), float64(b1) - float64(b2)} {
				sum += d * d / (257 * 257)
			}
		}
	}
	return math.Sqrt(sum / float64(3*size.X*size.Y))
}

// TestEncode holds what is written to what the standard encoder makes of the same picture: the same header, next to the same scan, as near to the picture, and read by both decoders.
func TestEncode(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Point{{1, 1}, {2, 1}, {1, 9}, {8, 8}, {15, 17}, {16, 16}, {33, 20}, {75, 53}} {
		for _, noise := range []int{0, 8, 255} {
			whole := drawn(size.X+3, size.Y+2, noise)
			forms := map[string]image.Image{"rgba": drawn(size.X, size.Y, noise), "part of rgba": whole.SubImage(image.Rect(3, 2, size.X+3, size.Y+2))}
			for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
				forms[ratio.String()] = as(drawn(size.X, size.Y, noise), ratio)
				forms["part of "+ratio.String()] = as(whole, ratio).SubImage(image.Rect(2, 1, size.X+2, size.Y+1))
			}
			for name, m := range forms {
				for _, quality := range []int{1, 30, 75, 100} {
					where := fmt.Sprintf("%s %v noise %d quality %d", name, size, noise, quality)
					var ours, theirs bytes.Buffer
					require.NoError(t, Encode(&ours, m, quality), where)
					require.NoError(t, jpeg.Encode(&theirs, m, &jpeg.Options{Quality: quality}), where)
					scan := bytes.Index(theirs.Bytes(), []byte{0xff, sos})
					require.Equal(t, theirs.Bytes()[:scan+14], ours.Bytes()[:scan+14], where)
					// What fills up the last MCUs is the mean of two pixels here, where theirs is the last one.
					require.InDelta(t, theirs.Len(), ours.Len(), 50+float64(theirs.Len())/50, where)

					got, err := jpeg.Decode(bytes.NewReader(ours.Bytes()))
					require.NoError(t, err, where)
					want, err := jpeg.Decode(bytes.NewReader(theirs.Bytes()))
					require.NoError(t, err, where)
					require.Less(t, apart(got, m), 1.1*apart(want, m)+2, where)
					again, err := Decode(bytes.NewReader(ours.Bytes()), 1)
					require.NoError(t, err, where)
					require.Less(t, off(t, again, got), 0.5, where)
				}
			}
		}
	}
}

// TestEncodeQuality says that nothing is lost against the standard encoder: both are as far from the picture.
func TestEncodeQuality(t *testing.T) {
	t.Parallel()
	m := as(drawn(400, 300, 12), image.YCbCrSubsampleRatio420)
	for _, quality := range []int{20, 50, 75, 90, 100} {
		var ours, theirs bytes.Buffer
		require.NoError(t, Encode(&ours, m, quality))
		require.NoError(t, jpeg.Encode(&theirs, m, &jpeg.Options{Quality: quality}))
		a, err := jpeg.Decode(&ours)
		require.NoError(t, err)
		b, err := jpeg.Decode(&theirs)
		require.NoError(t, err)
		t.Logf("quality %d: off by %.4f, the standard encoder by %.4f", quality, off(t, a, m), off(t, b, m))
		require.LessOrEqual(t, off(t, a, m), off(t, b, m)+0.01)
	}
}

// TestForward undoes the transform with its opposite.
func TestForward(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		pix, back := make([]byte, 64), make([]byte, 64)
		for i := range pix {
			pix[i] = byte(rng.IntN(256))
		}
		var b [64]int32
		forward(&b, pix, 8)
		for i := range b {
			b[i] = (b[i] + 4) >> 3
		}
		d := decoder{size: 8}
		d.transform8(&b, someAC|0xff, back, 8)
		for i := range pix {
			require.InDelta(t, pix[i], back[i], 2)
		}
	}
}

func TestDivide(t *testing.T) {
	t.Parallel()
	for v := 1; v < 256; v++ {
		by := uint32(v) * 8
		var q divisors
		q.half[5], q.inverse[5] = by/2, uint32((1<<32+uint64(by)-1)/uint64(by))
		for n := int32(-16400); n <= 16400; n++ {
			want := (n + int32(by/2)) / int32(by)
			if n < 0 {
				want = (n - int32(by/2)) / int32(by)
			}
			if got := q.divide(n, 5); got != want {
				require.Equal(t, want, got, "%d by %d", n, by)
			}
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, Encode(io.Discard, image.NewRGBA(image.Rect(0, 0, 0, 5)), 75), "size")
	require.ErrorContains(t, Encode(io.Discard, image.NewRGBA(image.Rect(0, 0, 1<<16, 1)), 75), "size")
	require.ErrorContains(t, Encode(io.Discard, image.NewGray(image.Rect(0, 0, 1, 1)), 75), "Gray")
	cause := errors.New("no room")
	for after := range 3 {
		require.ErrorIs(t, Encode(&limited{after, cause}, drawn(20, 40, 5), 75), cause)
	}
}

// limited takes so many writes.
type limited struct {
	left int
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left == 0 {
		return 0, l.err
	}
	l.left--
	return len(p), nil
}

func BenchmarkEncode(b *testing.B) {
	m := as(drawn(270, 203, 8), image.YCbCrSubsampleRatio420)
	b.Run("here", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, Encode(io.Discard, m, 75))
		}
	})
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, jpeg.Encode(io.Discard, m, &jpeg.Options{Quality: 75}))
		}
	})
}
