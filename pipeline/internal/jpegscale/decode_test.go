package jpegscale

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// files are pictures of 75x53 in all the kinds that are decoded, as libjpeg-turbo writes them, and two that are not.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.jpeg")
	require.NoError(t, err)
	all := make(map[string][]byte)
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		all[strings.TrimSuffix(filepath.Base(name), ".jpeg")] = b
	}
	require.Greater(t, len(all), 10)
	return all
}

func unsupported(name string) bool { return name == "cmyk" || name == "rgb" }

// samples are the planes of a picture, cropped.
func samples(t testing.TB, m image.Image) [][]byte {
	t.Helper()
	size := m.Bounds().Size()
	crop := func(pix []byte, stride, w, h int) (p []byte) {
		for y := range h {
			p = append(p, pix[y*stride:y*stride+w]...)
		}
		return p
	}
	switch m := m.(type) {
	case *image.Gray:
		return [][]byte{crop(m.Pix, m.Stride, size.X, size.Y)}
	case *image.YCbCr:
		last := m.COffset(size.X-1, size.Y-1)
		w, h := last%m.CStride+1, last/m.CStride+1
		return [][]byte{crop(m.Y, m.YStride, size.X, size.Y), crop(m.Cb, m.CStride, w, h), crop(m.Cr, m.CStride, w, h)}
	}
	require.Failf(t, "samples", "of %T", m)
	return nil
}

// TestFullSize is the standard library's picture, but for the rounding of a sample by one.
func TestFullSize(t *testing.T) {
	t.Parallel()
	for name, b := range files(t) {
		want, err := jpeg.Decode(bytes.NewReader(b))
		require.NoError(t, err, name)
		got, err := Decode(bytes.NewReader(b), 1)
		if unsupported(name) {
			require.ErrorIs(t, err, ErrUnsupported, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, want.Bounds(), got.Bounds(), name)
		a, w := samples(t, got), samples(t, want)
		require.Len(t, a, len(w), name)
		for i := range w {
			require.Len(t, a[i], len(w[i]), name)
			for j := range w[i] {
				require.InDelta(t, w[i][j], a[i][j], 1, "%s, plane %d, sample %d", name, i, j)
			}
		}
	}
}

// TestScaled holds a small picture to the means of the pixels of the whole one.
func TestScaled(t *testing.T) {
	t.Parallel()
	for name, b := range files(t) {
		if unsupported(name) {
			continue
		}
		full, err := Decode(bytes.NewReader(b), 1)
		require.NoError(t, err)
		for _, d := range []int{2, 4, 8} {
			got, err := Decode(bytes.NewReader(b), d)
			require.NoError(t, err, name)
			require.Equal(t, image.Rect(0, 0, (75+d-1)/d, (53+d-1)/d), got.Bounds(), name)
			luma, whole, w := samples(t, got)[0], samples(t, full)[0], got.Bounds().Dx()
			var off, n float64
			for y := range 53 / d {
				for x := range 75 / d {
					sum := 0
					for i := range d * d {
						sum += int(whole[(d*y+i/d)*75+d*x+i%d])
					}
					// Clipping at black and white comes after the mean here, and before it there.
					off += math.Abs(float64(luma[y*w+x]) - float64(sum)/float64(d*d))
					n++
				}
			}
			require.Less(t, off/n, 1.0, "%s at 1/%d", name, d)
		}
	}
}

// TestTransforms compares the three transforms with the sums that define them (T.81, A.3.3), on random blocks.
func TestTransforms(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{2, 4, 8} {
		for range 200 {
			var block [64]int32
			block[0] = int32(rng.IntN(1200) - 600)
			for range 12 {
				block[rng.IntN(64)] += int32(rng.IntN(240) - 120)
			}
			want := definition(&block, size)
			d := decoder{size: size}
			got := make([]byte, size*size)
			var where places
			for i, v := range block {
				if v != 0 {
					where |= placeOf(i)
				}
			}
			d.transform8(&block, where, got, size)
			for i := range got {
				require.InDelta(t, want[i], got[i], 1, "size %d", size)
			}
		}
	}
}

// definition is the means of the pixels that sums of cosines make of a block.
func definition(block *[64]int32, size int) []float64 {
	out := make([]float64, size*size)
	c := func(u int) float64 {
		if u == 0 {
			return math.Sqrt(1. / 8)
		}
		return math.Sqrt(2. / 8)
	}
	n := 8 / size
	for y := range 8 {
		for x := range 8 {
			sum := 0.0
			for v := range 8 {
				for u := range 8 {
					sum += c(u) * c(v) * float64(block[8*v+u]) * math.Cos(float64((2*x+1)*u)*math.Pi/16) * math.Cos(float64((2*y+1)*v)*math.Pi/16)
				}
			}
			out[y/n*size+x/n] += sum / float64(n*n)
		}
	}
	for i := range out {
		out[i] = min(max(out[i]+128, 0), 255)
	}
	return out
}

// TestBrokenFiles cuts files short and changes their bytes: an error or a picture, never a panic, and never the picture of a file that ends too early.
func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for name, b := range files(t) {
		if unsupported(name) {
			continue
		}
		for n := range len(b) - 1 {
			_, err := Decode(bytes.NewReader(b[:n]), 1+n%2)
			require.Error(t, err, "%s, %d of %d bytes", name, n, len(b))
		}
		for range 300 {
			bad := slices.Clone(b)
			for range 1 + rng.IntN(3) {
				bad[rng.IntN(len(bad))] = byte(rng.Uint32())
			}
			_, _ = Decode(bytes.NewReader(bad), 1<<rng.IntN(4))
		}
	}
}

// TestReaders gets the same picture from a reader that gives a byte at a time, and a reader's own error.
func TestReaders(t *testing.T) {
	t.Parallel()
	b := files(t)["420-progressive"]
	want, err := Decode(bytes.NewReader(b), 1)
	require.NoError(t, err)
	got, err := Decode(iotest.OneByteReader(bytes.NewReader(b)), 1)
	require.NoError(t, err)
	require.Equal(t, samples(t, want), samples(t, got))
	broken := errors.New("the disk is broken")
	_, err = Decode(io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(broken)), 1)
	require.ErrorIs(t, err, broken)
	_, err = Decode(bytes.NewReader(b), 3)
	require.ErrorContains(t, err, "denominator 3")
}

func FuzzDecode(f *testing.F) {
	for _, b := range files(f) {
		f.Add(b, byte(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, scale byte) {
		if c, err := jpeg.DecodeConfig(bytes.NewReader(b)); err == nil && c.Width*c.Height > 1<<20 {
			t.Skip("a header that asks for much memory is its caller's affair")
		}
		m, err := Decode(bytes.NewReader(b), 1<<(scale%4))
		if err == nil {
			samples(t, m)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	m := image.NewYCbCr(image.Rect(0, 0, 1600, 1200), image.YCbCrSubsampleRatio420)
	rng := rand.New(rand.NewPCG(5, 6))
	v := 128.0
	for i := range m.Y {
		v += 12*rng.NormFloat64() - (v-128)/16
		m.Y[i] = byte(min(max(v, 0), 255))
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = byte(i/97), byte(i/89)
	}
	var file bytes.Buffer
	require.NoError(b, jpeg.Encode(&file, m, &jpeg.Options{Quality: 75}))
	b.Logf("%d bytes", file.Len())
	b.Run("standard", func(b *testing.B) {
		for b.Loop() {
			_, err := jpeg.Decode(bytes.NewReader(file.Bytes()))
			require.NoError(b, err)
		}
	})
	for _, d := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint("1-", d), func(b *testing.B) {
			for b.Loop() {
				_, err := Decode(bytes.NewReader(file.Bytes()), d)
				require.NoError(b, err)
			}
		})
	}
}

// TestRunsBeyondTheBlock are coefficients behind the last one, which are an error, and zeros there, which all decoders let pass.
func TestRunsBeyondTheBlock(t *testing.T) {
	t.Parallel()
	for symbol, want := range map[byte]error{0xf1: errCode, 0xf0: nil} {
		d := decoder{size: 8}
		d.bits.reset(bytes.NewReader(make([]byte, 16)))
		counts := [17]int{1: 1} // the one code is a zero bit
		require.NoError(t, d.huff[0][0].build(&counts, []byte{0}, false))
		require.NoError(t, d.huff[1][0].build(&counts, []byte{symbol}, true))
		_, err := d.sequential(&part{c: &d.comps[0], dc: &d.huff[0][0], ac: &d.huff[1][0]})
		require.Equal(t, want, err, "%#x", symbol)
	}
}
