package bundled

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSitemapURLs is how many addresses one sitemap may have (sitemaps.org, protocol 0.9).
const maxSitemapURLs = 50_000

// sitemapURL and sitemapSet are the sitemap protocol's own elements.
type sitemapURL struct {
	Loc     string `xml:"loc"`
	LastMod string `xml:"lastmod"`
}

type sitemapSet struct {
	XMLName xml.Name
	URLs    []sitemapURL `xml:"url"`
	Maps    []sitemapURL `xml:"sitemap"`
}

const sitemapNamespace = "http://www.sitemaps.org/schemas/sitemap/0.9"

func sendSitemap(w http.ResponseWriter, r *http.Request, root string, set sitemapSet) {
	set.XMLName = xml.Name{Space: sitemapNamespace, Local: root}
	body, err := xml.MarshalIndent(set, "", " ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, r, "application/xml; charset=utf-8", remade, append([]byte(xml.Header), append(body, '\n')...))
}

// fixedURLs are the pages that are not about one product.
func fixedURLs() []sitemapURL {
	day := remade.Format(time.DateOnly)
	urls := []sitemapURL{{absolute("/"), day}}
	for i := range departments {
		d := &departments[i]
		urls = append(urls, sitemapURL{absolute("/" + d.slug + "/"), day})
		for _, c := range d.categories {
			urls = append(urls, sitemapURL{absolute(c.path(d)), day})
		}
	}
	return append(urls, sitemapURL{absolute("/pages/about"), day}, sitemapURL{absolute("/pages/delivery"), day})
}

// productURLs are the pages of the products from one number to another.
func (s *Site) productURLs(from, to int) []sitemapURL {
	urls := make([]sitemapURL, 0, to-from+1)
	for n := from; n <= to; n++ {
		it := s.shelf.item(n)
		urls = append(urls, sitemapURL{absolute(it.path()), it.changed().Format(time.DateOnly)})
	}
	return urls
}

func (s *Site) sitemap(w http.ResponseWriter, r *http.Request) {
	fixed := fixedURLs()
	if len(fixed)+s.shelf.products <= maxSitemapURLs {
		sendSitemap(w, r, "urlset", sitemapSet{URLs: append(fixed, s.productURLs(1, s.shelf.products)...)})
		return
	}
	day := remade.Format(time.DateOnly)
	maps := []sitemapURL{{absolute("/sitemaps/pages.xml"), day}}
	for i := range s.sitemapParts() {
		maps = append(maps, sitemapURL{absolute("/sitemaps/products-" + strconv.Itoa(i+1) + ".xml"), day})
	}
	sendSitemap(w, r, "sitemapindex", sitemapSet{Maps: maps})
}

func (s *Site) sitemapParts() int { return (s.shelf.products + maxSitemapURLs - 1) / maxSitemapURLs }

// sitemapPart answers the parts that the index of a large shop names; a small shop has none.
func (s *Site) sitemapPart(w http.ResponseWriter, r *http.Request) {
	large := len(fixedURLs())+s.shelf.products > maxSitemapURLs
	name := r.PathValue("name")
	if large && name == "pages.xml" {
		sendSitemap(w, r, "urlset", sitemapSet{URLs: fixedURLs()})
		return
	}
	number := strings.TrimSuffix(strings.TrimPrefix(name, "products-"), ".xml")
	part, err := strconv.Atoi(number)
	if err != nil || !large || part < 1 || part > s.sitemapParts() || name != "products-"+strconv.Itoa(part)+".xml" {
		s.notFound(w, r)
		return
	}
	sendSitemap(w, r, "urlset", sitemapSet{URLs: s.productURLs((part-1)*maxSitemapURLs+1, min(part*maxSitemapURLs, s.shelf.products))})
}
