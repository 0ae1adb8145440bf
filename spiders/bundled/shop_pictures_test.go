package bundled

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"
)

// Every shape in every pattern can be drawn, from whatever a product's number may choose. Small canvases make that cheap.
func TestEveryShapeDraws(t *testing.T) {
	t.Parallel()
	c := new(canvas)
	c.reset(32, 24, drawnWide)
	blank := bytes.Clone(c.img.Pix)
	for i := range departments {
		for _, cat := range departments[i].categories {
			for shape := range cat.kinds {
				for seed := range 2 * int(patterns) {
					it := &item{n: seed, category: cat, kind: &cat.kinds[shape], setting: cat.settings[shape],
						look: look{shape: shape, colour: shades[seed].rgb, trim: cream, base: oak.rgb, gloss: 0.5,
							pattern: pattern(seed) % patterns, seed: seed*4099 + 1}}
					draws := []func(*canvas){it.drawAlone}
					if seed < 2 {
						draws = append(draws, it.drawStudio, it.drawDetail, it.drawAtHome)
					}
					for _, draw := range draws {
						c.reset(32, 24, drawnWide)
						draw(c)
						require.NotEqual(t, blank, c.img.Pix, "%s, shape %d", cat.slug, shape)
					}
				}
			}
		}
	}
}

// answer is what the shop has at an address.
func answer(t *testing.T, s *Site, url string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
	require.Equal(t, http.StatusOK, w.Code, url)
	return w
}

func TestPicturesAreWhatTheirFateSays(t *testing.T) {
	t.Parallel()
	s := NewSite(SiteOptions{Products: 36})
	views, fates := map[view]bool{}, map[PictureFate]bool{}
	for _, n := range []int{brokenAt, tinyAt, 36} { // which have all views between them
		it, p := s.shelf.item(n), s.Product(n)
		for i, pic := range it.gallery {
			if views[pic.view] {
				continue
			}
			views[pic.view], fates[p.Images[i].Fate] = true, true
			url := p.Images[i].URL
			w := answer(t, s, url)
			media := w.Header().Get("Content-Type")
			m, format, err := image.Decode(w.Body)
			if p.Images[i].Fate == PictureBroken {
				require.Equal(t, "image/jpeg", media)
				require.Error(t, err, url)
				continue
			}
			require.NoError(t, err, url)
			require.Equal(t, "image/"+format, media, url)
			size := m.Bounds().Size()
			if p.Images[i].Fate == PictureTooSmall {
				require.Equal(t, image.Pt(16, 16), size)
				continue
			}
			require.GreaterOrEqual(t, size.X, 448, url)
			require.GreaterOrEqual(t, size.Y, 336, url)
		}
	}
	require.Len(t, views, int(thumbView)+1, "every view")
	require.Len(t, fates, 3)
}

// Every picture that a page shows exists, and so does every style sheet and icon; forms lead somewhere.
func TestEverythingThatAPageNeedsIsThere(t *testing.T) {
	t.Parallel()
	s := NewSite(SiteOptions{Products: 60})
	refs := []string{"/", "/living/", "/table/", "/haberdashery/yarn/", "/pages/about", "/pages/delivery", "/cart/", "/cart/add?product=3",
		"/search?q=lamp", "/search"}
	for n := 1; n <= s.Products(); n++ {
		refs = append(refs, s.Product(n).URL)
	}
	pictures := map[string]bool{}
	for _, ref := range refs {
		doc, err := goquery.NewDocumentFromReader(answer(t, s, ref).Body)
		require.NoError(t, err)
		require.Equal(t, 1, doc.Find("h1").Length(), ref)
		require.Equal(t, "en", doc.Find("html").AttrOr("lang", ""))
		doc.Find("img").Each(func(_ int, img *goquery.Selection) {
			path := img.AttrOr("src", "")
			sk, body := s.sketchAt(path)
			require.True(t, sk != nil || body != nil, path)
			_, described := img.Attr("alt")
			require.True(t, described, path)
			pictures[path] = true
		})
		for selector, attr := range map[string]string{"link[rel=stylesheet], link[rel=icon]": "href", "form": "action"} {
			require.NotZero(t, doc.Find(selector).Length(), selector)
			doc.Find(selector).Each(func(_ int, e *goquery.Selection) {
				require.True(t, strings.HasPrefix(e.AttrOr(attr, ""), "/"), "%s has no host, so that the shop can be browsed anywhere", ref)
				answer(t, s, e.AttrOr(attr, ""))
			})
		}
	}
	require.Greater(t, len(pictures), 100)
}

func TestShopsOfTwentyAndMoreHaveFaultyPictures(t *testing.T) {
	t.Parallel()
	for products, want := range map[int]int{20: 1, 200: 1, 256: 1, 300: 2, 1000: 4} {
		s := NewSite(SiteOptions{Products: products})
		fates := map[PictureFate]int{}
		for n := 1; n <= products; n++ {
			for i, p := range s.Product(n).Images {
				fates[p.Fate]++
				if p.Fate != PictureIntact {
					require.NotZero(t, i, "the first picture, which listings show too, is intact")
				}
			}
		}
		require.Equal(t, want, fates[PictureBroken], "%d products", products)
		require.GreaterOrEqual(t, fates[PictureTooSmall], 1, "%d products", products)
	}
}

func TestPicturesAreSharedAndOfSeveralFormats(t *testing.T) {
	t.Parallel()
	s := NewSite(SiteOptions{})
	owners := map[string]int{}
	for n := 1; n <= s.Products(); n++ {
		for _, p := range s.Product(n).Images {
			owners[p.URL]++
		}
	}
	shared, formats := 0, map[string]int{}
	for url, n := range owners {
		if n > 1 {
			shared++
		}
		formats[url[strings.LastIndexByte(url, '.'):]]++
	}
	require.Greater(t, shared, 10)
	require.Greater(t, formats[".jpg"], formats[".png"])
	require.NotZero(t, formats[".png"])
	require.NotZero(t, formats[".gif"])

	swatch, _, err := image.Decode(answer(t, s, absolute(swatchPath(&linen))).Body)
	require.NoError(t, err)
	_, _, _, corner := swatch.At(0, 0).RGBA()
	_, _, _, middle := swatch.At(swatch.Bounds().Dx()/2, swatch.Bounds().Dy()/2).RGBA()
	require.Zero(t, corner, "a swatch lies on nothing")
	require.EqualValues(t, 0xffff, middle)
}

func TestPicturesThatDoNotExist(t *testing.T) {
	t.Parallel()
	s := NewSite(SiteOptions{Products: 20})
	for _, path := range []string{
		"/pictures/", "/pictures/nothing.jpg", "/pictures/products/", "/pictures/products/1/9.jpg", "/pictures/products/21/1.jpg",
		"/pictures/products/01/1.jpg", "/pictures/products/-1/1.jpg", "/pictures/products/1/1.gif", "/pictures/materials/gold.png",
		"/pictures/guides/lamps.jpg", "/pictures/departments/garden.jpg",
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, http.StatusNotFound, w.Code, path)
	}
}

func TestPicturesKeptAreBounded(t *testing.T) {
	t.Parallel()
	var e easel
	sk := &sketch{thumb, thumb, asJPEG, "image/jpeg", func(c *canvas) { c.backdrop(0, c.h, white, black) }, drawnWide}
	for i := range 3 * keptPictures {
		_, err := e.body(strconv.Itoa(i), sk)
		require.NoError(t, err)
	}
	require.Len(t, e.done, keptPictures)
	require.Len(t, e.oldest, keptPictures)
	require.Contains(t, e.done, strconv.Itoa(3*keptPictures-1))
}

// A canvas that was used before, larger or smaller, leaves nothing of that in the next picture.
func TestCanvasIsCleanAfterReset(t *testing.T) {
	t.Parallel()
	s := NewSite(SiteOptions{})
	sk, _ := s.shelf.item(1).sketch(0)
	fresh, used := new(canvas), new(canvas)
	used.reset(sk.w*2, sk.h*2, sk.across)
	used.silhouette(black, 1, func() { used.fill(rect(0, 0, 999, 999), solid(white), 1) })
	for _, c := range []*canvas{fresh, used} {
		c.reset(sk.w, sk.h, sk.across)
		s.shelf.item(1).drawAlone(c)
	}
	require.Equal(t, fresh.img.Pix, used.img.Pix)
}

func TestFillCoversWhatItSays(t *testing.T) {
	t.Parallel()
	red := color.RGBA{200, 0, 0, 255}
	c := new(canvas)
	c.reset(100, 100, 50) // two pixels for each unit
	c.fill(rect(10, 10, 20, 20).add(hole(15, 15, 2, 2)), solid(rgb{200, 0, 0}), 1)
	require.Equal(t, red, c.img.RGBAAt(22, 22))
	require.Equal(t, red, c.img.RGBAAt(39, 39))
	require.Equal(t, color.RGBA{}, c.img.RGBAAt(19, 22))
	require.Equal(t, color.RGBA{}, c.img.RGBAAt(40, 30))
	require.Equal(t, color.RGBA{}, c.img.RGBAAt(30, 30), "the hole")

	c.reset(100, 100, 100)
	c.fill(rect(-500, -500, 500, 500), solid(rgb{200, 0, 0}), 1)
	require.Equal(t, red, c.img.RGBAAt(0, 0), "what lies outside is cut off")
	require.Equal(t, red, c.img.RGBAAt(99, 99))
	c.fill(rect(-500, -500, -10, -10), solid(rgb{0, 0, 200}), 1)
	require.Equal(t, red, c.img.RGBAAt(0, 0))
}

func BenchmarkPicture(b *testing.B) {
	s := NewSite(SiteOptions{})
	n := 0
	for b.Loop() {
		sk, _ := s.shelf.item(n%s.Products() + 1).sketch(0)
		if _, err := s.easel.render(sk); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// TestGuidesOfAllCategories asks for every category's guide: one of them once had a tone that its palette had not.
func TestGuidesOfAllCategories(t *testing.T) {
	t.Parallel()
	site := NewSite(SiteOptions{Products: 2000})
	seen := map[string]bool{}
	for n := 1; n <= site.Products(); n++ {
		for _, pic := range site.Product(n).Images {
			if !strings.HasSuffix(pic.URL, ".gif") || seen[pic.URL] {
				continue
			}
			seen[pic.URL] = true
			w := httptest.NewRecorder()
			site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, pic.URL, nil))
			require.Equal(t, http.StatusOK, w.Code, pic.URL)
			_, err := gif.Decode(w.Body)
			require.NoError(t, err, pic.URL)
		}
	}
	require.Len(t, seen, 13, "one of each category")
}
