package bundled

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// perPage is how many products a page of a listing has.
const perPage = 20

// link is a link as a page shows it.
type link struct {
	Path, Text string
	Current    bool
}

// page is what the layout needs to know of every page, and in Main what the page's own template needs.
type page struct {
	Title     string // in the window's title, before the shop's name
	Summary   string // for search engines
	Canonical string // "" on pages that nobody should index
	Nav       []link
	Crumbs    []link // the way here; the last one is the page itself
	Query     string // in the search field
	Main      any
}

func (s *Site) render(name string, p page, in *department) ([]byte, error) {
	for i := range departments {
		d := &departments[i]
		p.Nav = append(p.Nav, link{"/" + d.slug + "/", d.name, d == in})
	}
	var b bytes.Buffer
	if err := s.pages[name].ExecuteTemplate(&b, "layout.html", p); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return b.Bytes(), nil
}

func (s *Site) show(w http.ResponseWriter, r *http.Request, name string, p page, in *department, changed time.Time) {
	body, err := s.render(name, p, in)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, r, "text/html; charset=utf-8", changed, body)
}

// card is a product in a grid.
type card struct {
	Link, Title, Price string
	Stock              int
	Picture, Kind      string
}

func (s *Site) card(n int) card {
	it := s.shelf.item(n)
	return card{it.link(), it.title, price(it.cents), it.stock, it.gallery[0].path, it.category.name}
}

// cards are the cards of products by their numbers; numbers that the shop does not have are left out.
func (s *Site) cards(numbers ...int) []card {
	var cards []card
	for _, n := range numbers {
		if n <= s.shelf.products {
			cards = append(cards, s.card(n))
		}
	}
	return cards
}

// stockText says how many there are.
func stockText(n int) string {
	switch {
	case n == 0:
		return "Out of stock"
	case n < 4:
		return fmt.Sprintf("Only %d left", n)
	default:
		return fmt.Sprintf("%d in stock", n)
	}
}

func count(n int) string {
	if n == 1 {
		return "1 product"
	}
	return strconv.Itoa(n) + " products"
}

// tile is a department or category with a picture.
type tile struct {
	Path, Name, Line, Picture string
	Count                     int
}

func (s *Site) home(w http.ResponseWriter, r *http.Request) {
	main := struct {
		Departments []tile
		New         []card
		Notes       []link // by addresses that have moved
	}{New: s.cards(1, 2, 3, 4, 6, 8, 7, 10)}
	for i := range departments {
		d := &departments[i]
		t := tile{Path: "/" + d.slug + "/", Name: d.name, Line: d.line, Picture: "/pictures/departments/" + d.slug + ".jpg"}
		for _, c := range d.categories {
			t.Count += s.shelf.count(c)
		}
		main.Departments = append(main.Departments, t)
	}
	for n := 2; n <= min(4, s.shelf.products); n++ {
		main.Notes = append(main.Notes, link{Path: oldPath(n), Text: s.shelf.item(n).title})
	}
	s.show(w, r, "home", page{
		Title:     "Things for the home, and for mending them",
		Summary:   "Bobbinet is a small shop for lamps, vases, chairs, cups, thread and the rest of what a home needs.",
		Canonical: absolute("/"), Main: main,
	}, nil, remade)
}

func (s *Site) department(w http.ResponseWriter, r *http.Request, d *department) {
	main := struct {
		Name, Line string
		Categories []tile
		Favourites []card
	}{Name: d.name, Line: d.line}
	var favourites []int
	for place := 1; place <= 2; place++ { // the first of each stands for its category already
		for _, c := range d.categories {
			if place < s.shelf.count(c) && len(favourites) < 8 {
				favourites = append(favourites, s.shelf.number(c, place))
			}
		}
	}
	main.Favourites = s.cards(favourites...)
	for _, c := range d.categories {
		t := tile{Path: c.path(d), Name: c.name, Count: s.shelf.count(c)}
		if t.Count > 0 {
			t.Picture = s.card(s.shelf.number(c, 0)).Picture
		}
		main.Categories = append(main.Categories, t)
	}
	s.show(w, r, "department", page{
		Title: d.name, Summary: d.line, Canonical: absolute("/" + d.slug + "/"),
		Crumbs: []link{{Path: "/", Text: "Home"}, {Text: d.name, Current: true}}, Main: main,
	}, d, remade)
}

func (c *category) path(d *department) string { return "/" + d.slug + "/" + c.slug + "/" }

func (s *Site) category(w http.ResponseWriter, r *http.Request, c *category) {
	total := s.shelf.count(c)
	last := max((total+perPage-1)/perPage, 1)
	d := s.shelf.home[c]
	at := 1
	if asked := r.URL.Query().Get("page"); asked != "" {
		n, err := strconv.Atoi(asked)
		switch {
		case err != nil || n < 1 || n > last || asked != strconv.Itoa(n):
			s.notFound(w, r)
			return
		case n == 1:
			http.Redirect(w, r, c.path(d), http.StatusMovedPermanently)
			return
		}
		at = n
	}
	address := func(n int) string {
		if n == 1 {
			return c.path(d)
		}
		return c.path(d) + "?page=" + strconv.Itoa(n)
	}
	main := struct {
		Name, Intro string
		Siblings    []link
		Total       int
		First, Last int
		Cards       []card
		Pages       []link // one without a path is a gap
		Previous    string
		Next        string
	}{Name: c.name, Intro: c.intro, Total: total, First: (at-1)*perPage + 1, Last: min(at*perPage, total)}
	for _, sibling := range d.categories {
		main.Siblings = append(main.Siblings, link{sibling.path(d), sibling.name, sibling == c})
	}
	for place := main.First - 1; place < main.Last; place++ {
		main.Cards = append(main.Cards, s.card(s.shelf.number(c, place)))
	}
	for n := 1; n <= last && last > 1; n++ {
		switch near := n >= at-2 && n <= at+2; {
		case n == 1 || n == last || near:
			main.Pages = append(main.Pages, link{address(n), strconv.Itoa(n), n == at})
		case n == 2:
			main.Pages = append(main.Pages, link{})
			n = at - 3 // goes on two pages before this one
		default:
			main.Pages = append(main.Pages, link{})
			n = last - 1 // goes on with the last
		}
	}
	title := c.name
	if at > 1 {
		main.Previous = address(at - 1)
		title += ", page " + strconv.Itoa(at)
	}
	if at < last {
		main.Next = address(at + 1)
	}
	s.show(w, r, "category", page{
		Title: title, Summary: c.intro, Canonical: absolute(address(at)),
		Crumbs: []link{{Path: "/", Text: "Home"}, {Path: "/" + d.slug + "/", Text: d.name}, {Text: c.name, Current: true}}, Main: main,
	}, d, remade)
}

// linkedData is a product as schema.org describes one, in JSON-LD.
type linkedData struct {
	Context     string   `json:"@context"`
	Type        string   `json:"@type"`
	Name        string   `json:"name"`
	SKU         string   `json:"sku"`
	URL         string   `json:"url"`
	Category    string   `json:"category"`
	Description string   `json:"description"`
	Image       []string `json:"image"`
	Offers      struct {
		Type         string `json:"@type"`
		Price        string `json:"price"`
		Currency     string `json:"priceCurrency"`
		Availability string `json:"availability"`
	} `json:"offers"`
}

func (it *item) linkedData(p *Product) linkedData {
	d := linkedData{Context: "https://schema.org", Type: "Product", Name: p.Title, SKU: it.sku(), URL: p.URL,
		Category: it.category.name, Description: p.Description}
	for _, image := range p.Images {
		d.Image = append(d.Image, image.URL)
	}
	d.Offers.Type, d.Offers.Currency = "Offer", "EUR"
	d.Offers.Price = fmt.Sprintf("%d.%02d", p.Cents/100, p.Cents%100)
	d.Offers.Availability = "https://schema.org/InStock"
	if p.Stock == 0 {
		d.Offers.Availability = "https://schema.org/OutOfStock"
	}
	return d
}

func (s *Site) product(w http.ResponseWriter, r *http.Request) {
	slug := r.PathValue("slug")
	n, err := strconv.Atoi(slug[strings.LastIndexByte(slug, '-')+1:])
	if err != nil || n < 1 || n > s.shelf.products {
		s.notFound(w, r)
		return
	}
	it := s.shelf.item(n)
	if slug != it.slug {
		s.notFound(w, r)
		return
	}
	p := it.product()
	type image struct{ Path, Alt string }
	main := struct {
		Product
		SKU        string
		CartPath   string
		Gallery    []image
		Related    []card
		LinkedData linkedData
	}{Product: p, SKU: it.sku(), CartPath: "/cart/add?product=" + strconv.Itoa(n), LinkedData: it.linkedData(&p)}
	for _, pic := range it.gallery {
		main.Gallery = append(main.Gallery, image{pic.path, pic.alt})
	}
	main.Related = s.cards(s.related(it)...)
	s.show(w, r, "product", page{
		Title: it.title, Summary: p.Description, Canonical: p.URL,
		Crumbs: []link{{Path: "/", Text: "Home"}, {Path: "/" + it.department.slug + "/", Text: it.department.name},
			{Path: it.category.path(it.department), Text: it.category.name}, {Text: it.title, Current: true}},
		Main: main,
	}, it.department, it.changed())
}

// related are a product's neighbours on its own page of the listing, and the first product of another category. So a product on the
// second page of a listing can be found from that page only, or from its neighbours there.
func (s *Site) related(it *item) []int {
	c, place := s.shelf.place(it.n)
	first := place / perPage * perPage
	size := min(perPage, s.shelf.count(c)-first)
	var numbers []int
	for i := 1; i < min(size, 4); i++ {
		numbers = append(numbers, s.shelf.number(c, first+(place-first+i)%size))
	}
	others := it.department.categories
	for i := range others {
		if o := others[(i+place)%len(others)]; o != c && s.shelf.count(o) > 0 {
			return append(numbers, s.shelf.number(o, 0))
		}
	}
	return numbers
}

// note is a page with words, and perhaps products below them.
type note struct {
	Heading    string
	Paragraphs []string
	Under      string
	Cards      []card
}

func (s *Site) fixedPage(w http.ResponseWriter, r *http.Request) {
	n, ok := fixedPages[r.PathValue("name")]
	if !ok {
		s.notFound(w, r)
		return
	}
	s.show(w, r, "note", page{
		Title: n.Heading, Summary: n.Paragraphs[0], Canonical: absolute(r.URL.Path),
		Crumbs: []link{{Path: "/", Text: "Home"}, {Text: n.Heading, Current: true}}, Main: n,
	}, nil, remade)
}

var fixedPages = map[string]note{
	"about": {Heading: "About Bobbinet", Paragraphs: []string{
		"Bobbinet is the machine-made net from which tulle is cut: thousands of threads, each holding the next. This shop is named after it, and it holds together in much the same way.",
		"It is a demonstration. It comes with tulle, a crawler framework for Go, so that a first crawl needs neither a network nor anybody’s permission. The names, prices and descriptions are put together from each product’s number, and the pictures are drawn by a program at the moment when you ask for them.",
		"Nothing here is for sale. Some things are wrong on purpose, as they are in every real shop: a link leads nowhere, a few addresses have moved, one picture cannot be opened and another is far too small.",
	}},
	"delivery": {Heading: "Delivery & returns", Paragraphs: []string{
		"We would send your order by post within two working days, wrapped in paper, in a box that has been used before.",
		"Delivery would cost €4.90, and nothing from €60.00. Chairs, benches and rugs would come with two people and a van.",
		"You would have thirty days to change your mind. Since nothing here is for sale, most people change it at once.",
	}},
}

func (s *Site) cart(w http.ResponseWriter, r *http.Request) {
	main := note{Heading: "Your basket", Paragraphs: []string{
		"Your basket is empty, and it will stay so: Bobbinet is a demonstration shop, and nothing in it can be bought.",
		"A well-behaved crawler never sees this page, because robots.txt asks it not to.",
	}}
	if n, err := strconv.Atoi(r.URL.Query().Get("product")); err == nil && n >= 1 && n <= s.shelf.products {
		main.Under, main.Cards = "You have good taste, though", s.cards(n)
	}
	s.show(w, r, "note", page{Title: main.Heading, Crumbs: []link{{Path: "/", Text: "Home"}, {Text: main.Heading, Current: true}}, Main: main}, nil, remade)
}

// searched is how many products a search looks at, and longestQuery what it reads of a query, so that no search takes long.
const (
	searched     = 2000
	longestQuery = 100
)

func (s *Site) search(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query().Get("q")
	if len(query) > longestQuery || !utf8.ValidString(query) {
		query = ""
	}
	words := strings.Fields(strings.ToLower(query))
	main := note{Heading: "Search"}
	for n := 1; n <= min(searched, s.shelf.products) && len(words) > 0 && len(main.Cards) < perPage; n++ {
		it := s.shelf.item(n)
		text := strings.ToLower(it.title + " " + it.category.name + " " + it.material.name + " " + it.shade.name)
		found := true
		for _, word := range words {
			found = found && strings.Contains(text, word)
		}
		if found {
			main.Cards = append(main.Cards, s.card(n))
		}
	}
	switch {
	case len(words) == 0:
		main.Paragraphs = []string{"Tell us what you are looking for: a colour, a material, the name of a thing."}
	case len(main.Cards) == 0:
		main.Paragraphs = []string{"We have nothing by that name. A shorter word may find more."}
	default:
		main.Under = "What we found for “" + query + "”"
	}
	s.show(w, r, "note", page{Title: main.Heading, Query: query, Crumbs: []link{{Path: "/", Text: "Home"}, {Text: main.Heading, Current: true}}, Main: main}, nil, remade)
}

func (s *Site) notFound(w http.ResponseWriter, r *http.Request) {
	body, err := s.render("note", page{Title: "Page not found", Main: note{
		Heading:    "This thread is loose",
		Paragraphs: []string{"There is no page at this address. It may have been sold out, renamed, or mistyped."},
		Under:      "Found more easily", Cards: s.cards(1, 2, 3, 4),
	}}, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // The client has gone if this fails.
	}
}
