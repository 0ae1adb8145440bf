package bundled

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// SiteHost is the host in the shop's absolute URLs, wherever it is served: those of products, canonical links, the sitemap.
// Links from page to page have no host, so the shop can also be browsed at any other address.
const SiteHost = "shop.localhost"

// DefaultProducts is the size of a shop that nobody has chosen a size for.
const DefaultProducts = 200

// MaxProducts is the size of the largest shop.
const MaxProducts = 10_000_000

// opened is the day on which the shop's oldest page was written; remade is when its listings and fixed pages were last changed.
var (
	opened = time.Date(2025, time.March, 3, 8, 0, 0, 0, time.UTC)
	remade = opened.AddDate(1, 2, 0)
)

//go:embed shop
var shopFiles embed.FS

// SiteOptions says what shop to build. The zero value is the usual one.
type SiteOptions struct {
	// Products is how many products the shop has. 0 and less mean DefaultProducts, more than MaxProducts mean MaxProducts.
	// A large shop costs no more memory than a small one: pages are made when they are asked for.
	Products int
}

// A Site is the shop that the spider "shop" crawls: a handler that answers its pages and pictures. It is deterministic: sites with
// the same options answer alike, byte for byte. It is safe for concurrent use and starts no goroutines.
type Site struct {
	shelf *shelf
	easel easel
	pages map[string]*template.Template
	mux   *http.ServeMux
}

var _ http.Handler = (*Site)(nil)

// NewSite builds a shop. It costs the same for any number of products.
func NewSite(opts SiteOptions) *Site {
	n := opts.Products
	if n <= 0 {
		n = DefaultProducts
	}
	s := &Site{shelf: newShelf(min(n, MaxProducts)), pages: map[string]*template.Template{}, mux: http.NewServeMux()}
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{"stock": stockText, "count": count}).
		ParseFS(shopFiles, "shop/layout.html"))
	for _, name := range []string{"home", "department", "category", "product", "note"} {
		s.pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(shopFiles, "shop/"+name+".html"))
	}
	s.route()
	return s
}

// Products is how many products the shop has. They are numbered from 1.
func (s *Site) Products() int { return s.shelf.products }

// Product is what the page about product n says. For a number that the shop does not have it is the zero Product.
func (s *Site) Product(n int) Product {
	if n < 1 || n > s.shelf.products {
		return Product{}
	}
	return s.shelf.item(n).product()
}

// ServeHTTP answers GET and HEAD; other methods get 405, addresses that the shop does not have 404.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Site) route() {
	s.mux.HandleFunc("GET /{$}", s.home)
	for i := range departments {
		dep := &departments[i]
		s.mux.HandleFunc("GET /"+dep.slug+"/{$}", func(w http.ResponseWriter, r *http.Request) { s.department(w, r, dep) })
		for _, cat := range dep.categories {
			s.mux.HandleFunc("GET /"+dep.slug+"/"+cat.slug+"/{$}", func(w http.ResponseWriter, r *http.Request) { s.category(w, r, cat) })
		}
	}
	s.mux.HandleFunc("GET /products/{slug}", s.product)
	s.mux.HandleFunc("GET /p/{number}", s.movedProduct)
	s.mux.HandleFunc("GET /todays-find", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.shelf.item(min(11, s.shelf.products)).path(), http.StatusFound)
	})
	s.mux.HandleFunc("GET /pages/{name}", s.fixedPage)
	s.mux.HandleFunc("GET /cart/{$}", s.cart)
	s.mux.HandleFunc("GET /cart/add", s.cart)
	s.mux.HandleFunc("GET /search", s.search)
	s.mux.HandleFunc("GET /pictures/", s.picture)
	s.mux.HandleFunc("GET /robots.txt", func(w http.ResponseWriter, r *http.Request) {
		body := "User-agent: *\nDisallow: /cart/\nDisallow: /search\n\nSitemap: " + absolute("/sitemap.xml") + "\n"
		send(w, r, "text/plain; charset=utf-8", remade, []byte(body))
	})
	s.mux.HandleFunc("GET /api/products", s.api)
	s.mux.HandleFunc("GET /sitemap.xml", s.sitemap)
	s.mux.HandleFunc("GET /sitemaps/{name}", s.sitemapPart)
	s.mux.HandleFunc("GET /style.css", file("style.css", "text/css; charset=utf-8"))
	s.mux.HandleFunc("GET /favicon.svg", file("favicon.svg", "image/svg+xml"))
	s.mux.HandleFunc("GET /", s.notFound)
}

func absolute(path string) string { return "http://" + SiteHost + path }

// send answers with a body, or with 304 or a part of it when the request asks for that.
func send(w http.ResponseWriter, r *http.Request, media string, changed time.Time, body []byte) {
	sum := sha256.Sum256(body)
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("ETag", `"`+hex.EncodeToString(sum[:10])+`"`)
	if strings.HasPrefix(media, "text/html") {
		h.Set("Cache-Control", "no-cache")
	} else {
		h.Set("Cache-Control", "public, max-age=3600")
	}
	http.ServeContent(w, r, "", changed, bytes.NewReader(body))
}

func file(name, media string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := shopFiles.ReadFile("shop/" + name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, r, media, remade, body)
	}
}

func (s *Site) movedProduct(w http.ResponseWriter, r *http.Request) {
	number := r.PathValue("number")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > s.shelf.products || number != strconv.Itoa(n) {
		s.notFound(w, r)
		return
	}
	http.Redirect(w, r, s.shelf.item(n).path(), http.StatusMovedPermanently)
}

func (s *Site) picture(w http.ResponseWriter, r *http.Request) {
	sk, body := s.sketchAt(r.URL.Path)
	switch {
	case body != nil:
		send(w, r, "image/jpeg", opened, body)
	case sk == nil:
		s.notFound(w, r)
	default:
		body, err := s.easel.body(r.URL.Path, sk)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		send(w, r, sk.media, opened, body)
	}
}
