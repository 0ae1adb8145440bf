package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/disintegration/imaging"
)

const (
	picturesOnPage = 20
	pictureSamples = 12   // of how many pictures the thumbnails' quality is measured
	pictureLeast   = 38.0 // decibels
)

// pictureThumbs are the thumbnails: their names, their boxes, and their size by Pillow's rule.
var pictureThumbs = [...]struct {
	name string
	side int
	size image.Point
}{
	{"small", 50, image.Pt(50, 38)},
	{"big", 270, image.Pt(270, 203)},
}

// A gallery is what a contestant has left in its folder, as the parent finds it.
type gallery struct {
	Pictures int     `json:"pictures"` // whole ones, of the right size
	AsSent   int     `json:"as_sent"`  // those of them that are the server's, byte for byte
	Thumbs   int     `json:"thumbs"`   // of the right size
	Decibels float64 `json:"decibels"` // of the worst thumbnail that was looked at: see thumbDecibels
}

// picturesCase is a shop's pictures, from listing pages to files: photographs, which are to be kept as they are, with two thumbnails each. n is how many.
func picturesCase() benchCase {
	rate := func(o outcome) float64 { return float64(o.Job.N) / o.wall() }
	cpu := func(o outcome) float64 { return o.Result.CPU * 1e3 / float64(o.Job.N) }
	allocs := func(o outcome) float64 { return onlyGo(float64(o.Result.Allocs)) / float64(o.Job.N) }
	return benchCase{
		name:        "pictures",
		title:       "%s photographs of 1000×750 named by listing pages, each stored as it is with two thumbnails, 50 and 270",
		size:        600,
		quick:       60,
		tiny:        21,
		concurrency: 16,
		site:        picturesSite,
		entries:     map[string]entry{"tulle": tullePictures, "bare": barePictures, "scrapy": nil},
		inspect:     inspectPictures,
		faults:      picturesFaults,
		columns: []column{
			{head: "files/s", value: rate, format: "%.0f"},
			{head: "× scrapy", value: rate, format: "%.2f", against: "scrapy"},
			{head: "× bare", value: rate, format: "%.2f", against: "bare"},
			{head: "CPU ms/picture", value: cpu, format: "%.1f"},
			{head: "CPU of scrapy", value: cpu, format: "%.2f", against: "scrapy"},
			{head: "CPU of bare", value: cpu, format: "%.2f", against: "bare"},
			{head: "allocs/picture", value: allocs, format: "%.0f"},
			memoryColumn(),
			{head: "worst thumbnail", value: func(o outcome) float64 { return onlyGo(o.Gallery.Decibels) }, format: "%.1f dB"},
		},
	}
}

// picturesSite has listing pages, which lead from one to the next, and after them the pictures that they name.
func picturesSite(n int) *site {
	lists, photos := pictureLists(n), photographs()
	return &site{
		pages: lists + n,
		find: func(_, path []byte) int {
			page, isPicture := bytes.CutSuffix(path, []byte(".jpg"))
			if !isPicture {
				return pageOf(path, lists)
			}
			if picture := pageOf(page, n); picture >= 0 {
				return lists + picture
			}
			return -1
		},
		show: func(page int, r *reply) {
			if page < lists {
				r.room = picturesPage(r.room, page, n)
			} else {
				r.contentType = "image/jpeg"
				r.room = appendPhotograph(r.room, photos, page-lists)
			}
			r.body = r.room
		},
	}
}

func pictureLists(n int) int { return (n + picturesOnPage - 1) / picturesOnPage }

func picturesPage(dst []byte, page, n int) []byte {
	dst = append(dst, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>A shop</title></head>\n<body>\n<ul>\n"...)
	for i := page * picturesOnPage; i < min((page+1)*picturesOnPage, n); i++ {
		dst = append(dst, "<li class=\"thing\"><h2>"...)
		dst = appendTitle(dst, i)
		dst = append(dst, "</h2><p class=\"price\">"...)
		dst = appendPrice(dst, i)
		dst = append(dst, "</p><img src=\""+pagePath(i)+".jpg\" alt=\"\"></li>\n"...)
	}
	dst = append(dst, "</ul>\n"...)
	if page+1 < pictureLists(n) {
		dst = append(dst, "<p><a class=\"next\" href=\""+pagePath(page+1)+"\">more</a></p>\n"...)
	}
	return append(dst, "</body>\n</html>\n"...)
}

// appendPhotograph makes a file that no other picture has: one of the photographs with a comment of its own.
func appendPhotograph(dst []byte, photos [][]byte, picture int) []byte {
	photo, comment := photos[picture%len(photos)], "No. "+strconv.Itoa(picture)
	dst = append(dst, photo[:2]...)
	dst = append(dst, 0xff, 0xfe, 0, byte(len(comment)+2))
	dst = append(dst, comment...)
	return append(dst, photo[2:]...)
}

// pictureStore is the folder in which a contestant keeps its pictures, under the names that Scrapy gives them.
func pictureStore(j job) string { return filepath.Join(j.Folder, "pictures") }

func pictureFile(j job, address string) string {
	sum := sha1.Sum([]byte(address))
	return filepath.Join(pictureStore(j), "full", hex.EncodeToString(sum[:])+".jpg")
}

func thumbFile(j job, thumb, address string) string {
	return filepath.Join(pictureStore(j), "thumbs", thumb, filepath.Base(pictureFile(j, address)))
}

// inspectPictures looks at what a run has stored. What is missing or wrong is not counted.
func inspectPictures(o *outcome) error {
	photos, g := photographs(), new(gallery)
	o.Gallery = g
	var want []byte
	for picture := range o.Job.N {
		address := o.Job.url(picture) + ".jpg"
		got, err := os.ReadFile(pictureFile(o.Job, address))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		want = appendPhotograph(want[:0], photos, picture)
		if c, err := jpeg.DecodeConfig(bytes.NewReader(got)); err == nil && image.Pt(c.Width, c.Height) == image.Pt(photographWide, photographHigh) {
			g.Pictures++
		}
		if bytes.Equal(got, want) {
			g.AsSent++
		}
		for i, thumb := range pictureThumbs {
			got, err := os.ReadFile(thumbFile(o.Job, thumb.name, address))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if c, err := jpeg.DecodeConfig(bytes.NewReader(got)); err != nil || image.Pt(c.Width, c.Height) != thumb.size {
				continue
			}
			g.Thumbs++
			if picture%max(o.Job.N/pictureSamples, 1) != 0 {
				continue
			}
			decibels, err := thumbDecibels(got, lanczosThumbs()[picture%len(photos)][i])
			if err != nil {
				return fmt.Errorf("%s of %s: %w", thumb.name, address, err)
			}
			if g.Decibels == 0 || decibels < g.Decibels {
				g.Decibels = decibels
			}
		}
	}
	return nil
}

func picturesFaults(o outcome) []string {
	faults, n, g := fetchedOnce(o), o.Job.N, o.Gallery
	if items, sum := followItems(n); o.Result.Items != items || o.Result.ItemSum != sum {
		faults = append(faults, "items are wrong")
	}
	if g.Pictures != n {
		faults = append(faults, fmt.Sprintf("%d of %d pictures", g.Pictures, n))
	}
	if g.AsSent != g.Pictures {
		faults = append(faults, fmt.Sprintf("%d pictures are not what was sent", g.Pictures-g.AsSent))
	}
	if want := n * len(pictureThumbs); g.Thumbs != want {
		faults = append(faults, fmt.Sprintf("%d of %d thumbnails", g.Thumbs, want))
	}
	if g.Thumbs > 0 && g.Decibels < pictureLeast {
		faults = append(faults, fmt.Sprintf("a thumbnail of %.1f dB", g.Decibels))
	}
	return faults
}

// A lanczosThumb is a thumbnail that the Lanczos filter makes of all pixels of a photograph.
type lanczosThumb struct {
	pixels *image.RGBA
	// loss is what the standard JPEG encoder does to it at quality 75, which is everybody's: the mean of the squares.
	loss float64
}

var lanczosThumbs = sync.OnceValue(func() [][len(pictureThumbs)]lanczosThumb {
	all := make([][len(pictureThumbs)]lanczosThumb, photographKinds)
	for i, file := range photographs() {
		photo, err := jpeg.Decode(bytes.NewReader(file))
		if err != nil {
			panic(err) // It is our own.
		}
		for k, thumb := range pictureThumbs {
			m := imaging.Resize(photo, thumb.size.X, thumb.size.Y, imaging.Lanczos)
			pixels := &image.RGBA{Pix: m.Pix, Stride: m.Stride, Rect: m.Rect} // A photograph is opaque.
			var b bytes.Buffer
			if err := jpeg.Encode(&b, pixels, nil); err != nil {
				panic(err) // It is written to memory.
			}
			off, err := squaredError(b.Bytes(), pixels)
			if err != nil {
				panic(err)
			}
			all[i][k] = lanczosThumb{pixels, off}
		}
	}
	return all
})

// thumbDecibels says how near a stored thumbnail is to what the Lanczos filter makes of all pixels: the peak signal-to-noise ratio, without the noise that storing as JPEG
// adds to any thumbnail. What is as good as Lanczos has 99.
func thumbDecibels(file []byte, want lanczosThumb) (float64, error) {
	off, err := squaredError(file, want.pixels)
	if err != nil {
		return 0, err
	}
	return min(10*math.Log10(255*255/max(off-want.loss, 1e-9)), 99), nil
}

// squaredError is the mean of the squares of what a JPEG's red, green and blue samples are off.
func squaredError(file []byte, want *image.RGBA) (float64, error) {
	img, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		return 0, err
	}
	got := image.NewRGBA(want.Rect)
	draw.Draw(got, got.Rect, img, img.Bounds().Min, draw.Src)
	sum := 0.0
	for i, v := range got.Pix {
		off := float64(v) - float64(want.Pix[i])
		sum += off * off
	}
	return sum / float64(3*got.Rect.Dx()*got.Rect.Dy()), nil
}
