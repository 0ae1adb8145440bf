package bundled_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/spiders/bundled"
)

// ask sends one request to the shop, without a network.
func ask(s *bundled.Site, method, ref string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, ref, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func parse(t *testing.T, w *httptest.ResponseRecorder) *goquery.Document {
	t.Helper()
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(w.Body.String()))
	require.NoError(t, err)
	return doc
}

// walk is what a crawl of every link from the home page comes upon. Only links that follow allows are followed.
type walk struct {
	status    map[string]int    // by URL
	redirects map[string]string // from, to
	canonical map[string]int    // pages with status 200 by their canonical URL
}

func walkSite(t *testing.T, s *bundled.Site, follow func(ref string) bool) *walk {
	t.Helper()
	start := "http://" + bundled.SiteHost + "/"
	w := &walk{status: map[string]int{}, redirects: map[string]string{}, canonical: map[string]int{}}
	queue := []string{start}
	seen := map[string]bool{start: true}
	add := func(base *url.URL, ref string) {
		u, err := base.Parse(ref)
		require.NoError(t, err, ref)
		u.Fragment = ""
		if u.Host == bundled.SiteHost && !seen[u.String()] && follow(u.RequestURI()) {
			seen[u.String()] = true
			queue = append(queue, u.String())
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		base, err := url.Parse(at)
		require.NoError(t, err)
		resp := ask(s, http.MethodGet, at)
		w.status[at] = resp.Code
		if to := resp.Header().Get("Location"); to != "" {
			w.redirects[base.Path] = to
			add(base, to)
			continue
		}
		if resp.Code != http.StatusOK {
			continue
		}
		doc := parse(t, resp)
		if u, ok := doc.Find(`link[rel=canonical]`).Attr("href"); ok {
			w.canonical[u]++
		}
		doc.Find("a[href]").Each(func(_ int, a *goquery.Selection) { add(base, a.AttrOr("href", "")) })
	}
	return w
}

func obey(ref string) bool {
	return !strings.HasPrefix(ref, "/cart/") && !strings.HasPrefix(ref, "/search")
}

func TestEveryProductIsReachableAndHasOnePage(t *testing.T) {
	t.Parallel()
	for _, products := range []int{1, 7, 20, 200} {
		t.Run(strconv.Itoa(products), func(t *testing.T) {
			t.Parallel()
			s := bundled.NewSite(bundled.SiteOptions{Products: products})
			w := walkSite(t, s, obey)
			for n := 1; n <= products; n++ {
				require.Equal(t, 1, w.canonical[s.Product(n).URL], "pages about product %d", n)
			}
			missing := 0
			for u, status := range w.status {
				switch status {
				case http.StatusOK, http.StatusMovedPermanently, http.StatusFound:
				case http.StatusNotFound:
					missing++
				default:
					t.Errorf("%s answers %d", u, status)
				}
			}
			require.Equal(t, 1, missing, "one link leads nowhere")
			require.Equal(t, http.StatusNotFound, w.status["http://shop.localhost/pages/gift-cards"])
			require.Equal(t, http.StatusFound, w.status["http://shop.localhost/todays-find"])
			for u, n := range w.canonical {
				require.Equal(t, 1, n, u)
			}
		})
	}
}

// How many products a crawl finds that leaves out some of the links.
func TestSomeProductsAreReachedInOneWayOnly(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{Products: 120})
	found := func(follow func(string) bool) (n int) {
		w := walkSite(t, s, follow)
		for i := 1; i <= s.Products(); i++ {
			n += w.canonical[s.Product(i).URL]
		}
		return n
	}
	require.Less(t, found(func(ref string) bool { return obey(ref) && !strings.Contains(ref, "?page=") }), s.Products()-5)
	require.Less(t, found(func(ref string) bool { return obey(ref) && !strings.HasPrefix(ref, "/p/") }), s.Products()-2)
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{Products: 120})
	w := walkSite(t, s, obey)
	moved := 0
	linked := map[string]bool{}
	for from, to := range w.redirects {
		target := "http://" + bundled.SiteHost + to
		require.Equal(t, http.StatusOK, w.status[target], "%s leads to a page at once", from)
		linked[target] = true
		if strings.HasPrefix(from, "/p/") {
			moved++
			require.Equal(t, http.StatusMovedPermanently, w.status["http://"+bundled.SiteHost+from])
			n, err := strconv.Atoi(strings.TrimPrefix(from, "/p/"))
			require.NoError(t, err)
			require.Equal(t, s.Product(n).URL, target)
		}
	}
	require.GreaterOrEqual(t, moved, 6)
	for _, ref := range []string{"/p/1", "/p/120"} {
		require.Equal(t, http.StatusMovedPermanently, ask(s, http.MethodGet, ref).Code, "%s has moved too, whether it is linked or not", ref)
	}
	first := ask(s, http.MethodGet, "/table/cups-and-mugs/?page=1")
	require.Equal(t, http.StatusMovedPermanently, first.Code)
	require.Equal(t, "/table/cups-and-mugs/", first.Header().Get("Location"))
}

var digits = regexp.MustCompile(`\d+`)

func TestProductPagesSayWhatProductSays(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{})
	for n := 1; n <= s.Products(); n++ {
		want := s.Product(n)
		require.Equal(t, n, want.Number)
		doc := parse(t, ask(s, http.MethodGet, want.URL))
		base, err := url.Parse(want.URL)
		require.NoError(t, err)

		got := bundled.Product{Number: n, URL: doc.Find("link[rel=canonical]").AttrOr("href", ""), Title: doc.Find("h1").Text(),
			Price: doc.Find(".facts > p.price").Text(), Description: doc.Find("p.description").Text()}
		cents := strings.NewReplacer("€", "", ",", "", ".", "").Replace(got.Price)
		got.Cents, err = strconv.Atoi(cents)
		require.NoError(t, err)
		stock := doc.Find(".facts > p.stock")
		got.Stock, _ = strconv.Atoi(digits.FindString(stock.Text()))
		require.Equal(t, strconv.Itoa(want.Stock), stock.AttrOr("data-stock", ""))
		doc.Find("nav.breadcrumb a").Each(func(_ int, a *goquery.Selection) { got.Breadcrumb = append(got.Breadcrumb, a.Text()) })
		doc.Find("table.specs tr").Each(func(_ int, tr *goquery.Selection) {
			got.Specs = append(got.Specs, bundled.Spec{Name: tr.Find("th").Text(), Value: tr.Find("td").Text()})
		})
		doc.Find("#gallery img").Each(func(i int, img *goquery.Selection) {
			u, err := base.Parse(img.AttrOr("src", ""))
			require.NoError(t, err)
			require.NotEmpty(t, img.AttrOr("alt", ""))
			require.Less(t, i, len(want.Images))
			got.Images = append(got.Images, bundled.Picture{URL: u.String(), Fate: want.Images[i].Fate})
		})
		require.Equal(t, want, got)
		require.Equal(t, 1, doc.Find("h1").Length())
		require.Equal(t, want.Title, doc.Find("nav.breadcrumb [aria-current=page]").Text())

		var ld struct {
			Name, Description, URL string
			Image                  []string
			Offers                 struct{ Price, PriceCurrency, Availability string }
		}
		require.NoError(t, json.Unmarshal([]byte(doc.Find(`script[type="application/ld+json"]`).Text()), &ld))
		require.Equal(t, want.Title, ld.Name)
		require.Equal(t, want.URL, ld.URL)
		require.Equal(t, want.Description, ld.Description)
		require.Len(t, ld.Image, len(want.Images))
		require.Equal(t, fmt.Sprintf("%d.%02d", want.Cents/100, want.Cents%100), ld.Offers.Price)
		require.Equal(t, want.Stock == 0, strings.HasSuffix(ld.Offers.Availability, "OutOfStock"))
	}
	require.Zero(t, s.Product(0))
	require.Zero(t, s.Product(201))
}

func TestListingsShowEveryProductOnce(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{})
	titles := map[string]int{}
	deepest := 0
	home := parse(t, ask(s, http.MethodGet, "/"))
	home.Find("nav.departments a").Each(func(_ int, a *goquery.Selection) {
		department := parse(t, ask(s, http.MethodGet, a.AttrOr("href", "")))
		department.Find("article.category h3 a").Each(func(_ int, a *goquery.Selection) {
			ref := a.AttrOr("href", "")
			for pages := 1; ref != ""; pages++ {
				doc := parse(t, ask(s, http.MethodGet, ref))
				require.LessOrEqual(t, doc.Find("article.product-card").Length(), 20)
				doc.Find("article.product-card").Each(func(_ int, card *goquery.Selection) {
					titles[card.Find("h3 a").Text()]++
					require.Contains(t, card.Find("p.price").Text(), "€")
					require.NotEmpty(t, card.Find("p.stock").Text())
					require.NotEmpty(t, card.Find("img").AttrOr("src", ""))
				})
				deepest = max(deepest, pages)
				ref = doc.Find("a[rel=next]").AttrOr("href", "")
			}
		})
	})
	require.Equal(t, 3, deepest)
	require.Len(t, titles, s.Products())
	for title, n := range titles {
		require.Equal(t, 1, n, title)
	}
}

func TestSearchAndBasketAreLinkedButNotToBeCrawled(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{})
	robots := ask(s, http.MethodGet, "/robots.txt")
	require.Equal(t, "User-agent: *\nDisallow: /cart/\nDisallow: /search\n\nSitemap: http://shop.localhost/sitemap.xml\n", robots.Body.String())
	require.Equal(t, "text/plain; charset=utf-8", robots.Header().Get("Content-Type"))

	page := parse(t, ask(s, http.MethodGet, s.Product(1).URL))
	require.Equal(t, "/cart/add?product=1", page.Find(`a[href^="/cart/add"]`).AttrOr("href", ""))
	require.NotZero(t, page.Find(`a[href^="/search?q="]`).Length())
	require.Equal(t, s.Product(1).Title, parse(t, ask(s, http.MethodGet, "/cart/add?product=1")).Find("article.product-card h3").Text())

	hits := parse(t, ask(s, http.MethodGet, "/search?q=brass+lamp")).Find("article.product-card")
	require.NotZero(t, hits.Length())
	require.Zero(t, parse(t, ask(s, http.MethodGet, "/search?q=%3Cscript%3E")).Find("article.product-card").Length())
	for _, ref := range []string{"/cart/", "/search?q=oak"} {
		require.Equal(t, "noindex", parse(t, ask(s, http.MethodGet, ref)).Find("meta[name=robots]").AttrOr("content", ""))
	}
}

// locations are the addresses in a sitemap or in an index of sitemaps.
func locations(t *testing.T, s *bundled.Site, ref, root string) []string {
	t.Helper()
	w := ask(s, http.MethodGet, ref)
	require.Equal(t, http.StatusOK, w.Code, ref)
	require.Equal(t, "application/xml; charset=utf-8", w.Header().Get("Content-Type"))
	var doc struct {
		XMLName xml.Name
		URLs    []struct {
			Loc string `xml:"loc"`
		} `xml:"url"`
		Maps []struct {
			Loc string `xml:"loc"`
		} `xml:"sitemap"`
	}
	require.NoError(t, xml.Unmarshal(w.Body.Bytes(), &doc))
	require.Equal(t, xml.Name{Space: "http://www.sitemaps.org/schemas/sitemap/0.9", Local: root}, doc.XMLName)
	var locs []string
	for _, u := range append(doc.URLs, doc.Maps...) {
		locs = append(locs, u.Loc)
	}
	return locs
}

func TestSitemapHasEveryPage(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{})
	locs := locations(t, s, "/sitemap.xml", "urlset")
	for n := 1; n <= s.Products(); n++ {
		require.Contains(t, locs, s.Product(n).URL)
	}
	require.Len(t, locs, s.Products()+19)
	for _, loc := range locs {
		require.Equal(t, http.StatusOK, ask(s, http.MethodHead, loc).Code, loc)
	}
	require.Equal(t, http.StatusNotFound, ask(s, http.MethodGet, "/sitemaps/products-1.xml").Code)
}

func TestSitemapOfALargeShopHasParts(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{Products: 50_001})
	const at = "http://shop.localhost/sitemaps/"
	require.Equal(t, []string{at + "pages.xml", at + "products-1.xml", at + "products-2.xml"}, locations(t, s, "/sitemap.xml", "sitemapindex"))
	require.Len(t, locations(t, s, at+"pages.xml", "urlset"), 19)
	require.Equal(t, []string{s.Product(50_001).URL}, locations(t, s, at+"products-2.xml", "urlset"))
	for _, name := range []string{"products-0.xml", "products-3.xml", "products-01.xml", "products-x.xml", "products-1"} {
		require.Equal(t, http.StatusNotFound, ask(s, http.MethodGet, at+name).Code, name)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for asked, want := range map[int]int{0: 200, -5: 200, 1: 1, 1_000_000: 1_000_000, 1 << 30: bundled.MaxProducts} {
		require.Equal(t, want, bundled.NewSite(bundled.SiteOptions{Products: asked}).Products())
	}
	// A huge shop answers as quickly as a small one, from its first page to its last.
	s := bundled.NewSite(bundled.SiteOptions{Products: 1_000_000})
	last := s.Product(1_000_000)
	require.Equal(t, last.Title, parse(t, ask(s, http.MethodGet, last.URL)).Find("h1").Text())
	doc := parse(t, ask(s, http.MethodGet, "/table/cups-and-mugs/?page=6000"))
	var numbers []string
	doc.Find("nav.pagination li").Each(func(_ int, li *goquery.Selection) { numbers = append(numbers, strings.TrimSpace(li.Text())) })
	require.Equal(t, []string{"1", "…", "5998", "5999", "6000", "6001", "6002", "…", "12000"}, numbers)
	require.Equal(t, 20, doc.Find("article.product-card").Length())
	require.Equal(t, "/table/cups-and-mugs/?page=5999", doc.Find("a[rel=prev]").AttrOr("href", ""))
	require.Equal(t, "/table/cups-and-mugs/?page=6001", doc.Find("a[rel=next]").AttrOr("href", ""))
}

func TestSitesAreAlike(t *testing.T) {
	t.Parallel()
	a, b := bundled.NewSite(bundled.SiteOptions{Products: 60}), bundled.NewSite(bundled.SiteOptions{Products: 60})
	refs := []string{"/", "/table/", "/table/bowls/", "/sitemap.xml", "/robots.txt", "/style.css", "/favicon.svg", "/pages/about",
		"/search?q=oak", "/nowhere", "/p/5", "/todays-find", "/pictures/materials/oak.png", "/pictures/guides/lamps.gif"}
	for n := 1; n <= a.Products(); n++ {
		require.Equal(t, a.Product(n), b.Product(n))
		refs = append(refs, a.Product(n).URL)
		if n == 2 {
			refs = append(refs, a.Product(n).Images[0].URL)
		}
	}
	for i := range refs { // in opposite orders, so that neither depends on what was asked before
		_ = ask(b, http.MethodGet, refs[len(refs)-1-i])
	}
	for _, ref := range refs {
		x, y := ask(a, http.MethodGet, ref), ask(b, http.MethodGet, ref)
		require.Equal(t, x.Code, y.Code, ref)
		require.Equal(t, x.Header(), y.Header(), ref)
		require.Equal(t, x.Body.Bytes(), y.Body.Bytes(), ref)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{Products: 20})
	for _, ref := range []string{"/", s.Product(3).URL, s.Product(3).Images[0].URL, s.Product(7).Images[1].URL, "/robots.txt", "/sitemap.xml", "/style.css"} {
		get, head := ask(s, http.MethodGet, ref), ask(s, http.MethodHead, ref)
		require.Equal(t, http.StatusOK, get.Code, ref)
		for _, name := range []string{"Content-Type", "Content-Length", "ETag", "Last-Modified", "Cache-Control"} {
			require.NotEmpty(t, get.Header().Get(name), "%s of %s", name, ref)
		}
		require.Equal(t, strconv.Itoa(get.Body.Len()), get.Header().Get("Content-Length"))
		require.Equal(t, get.Header(), head.Header(), ref)
		require.Empty(t, head.Body.Bytes(), ref)

		again := ask(s, http.MethodGet, ref, "If-None-Match", get.Header().Get("ETag"))
		require.Equal(t, http.StatusNotModified, again.Code, ref)
		require.Empty(t, again.Body.Bytes(), ref)
		require.Equal(t, http.StatusNotModified, ask(s, http.MethodGet, ref, "If-Modified-Since", get.Header().Get("Last-Modified")).Code, ref)
		require.Equal(t, http.StatusOK, ask(s, http.MethodGet, ref, "If-None-Match", `"another"`).Code, ref)

		post := ask(s, http.MethodPost, ref)
		require.Equal(t, http.StatusMethodNotAllowed, post.Code, ref)
		require.Equal(t, "GET, HEAD", post.Header().Get("Allow"))
	}
	missing := ask(s, http.MethodHead, "/nowhere")
	require.Equal(t, http.StatusNotFound, missing.Code)
	require.Empty(t, missing.Body.Bytes())
}

func TestAddressesThatTheShopDoesNotHave(t *testing.T) {
	t.Parallel()
	s := bundled.NewSite(bundled.SiteOptions{Products: 20})
	last := strings.TrimPrefix(s.Product(20).URL, "http://"+bundled.SiteHost)
	for _, ref := range []string{
		"/nowhere", "/products/", "/products/7", "/products/some-lamp-7", strings.TrimSuffix(last, "20") + "21", last + "/", last + "x",
		"/p/0", "/p/21", "/p/01", "/p/x", "/p/99999999999999999999", "/living/garden/", "/table/bowls/?page=0", "/table/bowls/?page=2",
		"/table/bowls/?page=x", "/table/bowls/?page=01", "/pages/", "/pages/nothing", "/sitemaps/pages.xml",
	} {
		w := ask(s, http.MethodGet, ref)
		require.Equal(t, http.StatusNotFound, w.Code, ref)
		require.Equal(t, strconv.Itoa(w.Body.Len()), w.Header().Get("Content-Length"))
		require.NotEmpty(t, parse(t, w).Find("h1").Text())
	}
}

func ExampleSite_Product() {
	shop := bundled.NewSite(bundled.SiteOptions{})
	p := shop.Product(44)
	fmt.Println(p.URL)
	fmt.Println(p.Title, p.Price, p.Breadcrumb)
	// Output:
	// http://shop.localhost/products/elmer-wall-clock-in-oak-44
	// Elmer Wall Clock in Oak €100.00 [Home Living Clocks]
}

// TestAPI reads the API to its end, by pages of every size.
func TestAPI(t *testing.T) {
	t.Parallel()
	const products = 101
	s := bundled.NewSite(bundled.SiteOptions{Products: products})
	ask := func(url string) (status int, body []byte) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
		return w.Code, w.Body.Bytes()
	}
	for _, limit := range []string{"", "1", "7", "50"} {
		next, n := ("http://" + bundled.SiteHost + "/api/products"), 0
		if limit != "" {
			next += "?limit=" + limit
		}
		for next != "" {
			status, body := ask(next)
			require.Equal(t, http.StatusOK, status)
			var page struct {
				Total    int
				Next     string
				Products []struct {
					URL   string
					Price struct{ Amount float64 }
				}
			}
			require.NoError(t, json.Unmarshal(body, &page))
			require.Equal(t, products, page.Total)
			for _, p := range page.Products {
				n++
				require.Equal(t, s.Product(n).URL, p.URL)
				require.InDelta(t, float64(s.Product(n).Cents)/100, p.Price.Amount, 0.001)
			}
			next = page.Next
		}
		require.Equal(t, products, n, "limit %q", limit)
	}
	for _, query := range []string{"cursor=0", "cursor=102", "cursor=x", "limit=0", "limit=51", "limit=x"} {
		status, body := ask(("http://" + bundled.SiteHost + "/api/products?" + query))
		require.Equal(t, http.StatusBadRequest, status, query)
		require.True(t, json.Valid(body))
	}
}
