package bundled

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Product is what the shop's page about it says, and so what a correct crawl finds there.
type Product struct {
	Number      int       // 1 to Site.Products()
	URL         string    // absolute and canonical: there is no other page about it
	Title       string    // the page's h1
	Price       string    // as the page shows it: €1,249.00
	Cents       int       // the same in cents
	Stock       int       // 0 is "Out of stock"
	Breadcrumb  []string  // the texts of its links: Home, department, category
	Description string    // one paragraph
	Specs       []Spec    // the specification table, in order
	Images      []Picture // the gallery, in order: one to four
}

// A Spec is one row of a specification table.
type Spec struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Picture is one picture in a product's gallery.
type Picture struct {
	URL  string // absolute; some pictures belong to several products
	Fate PictureFate
}

// PictureFate says what becomes of a picture that is downloaded.
type PictureFate int

// What becomes of pictures.
const (
	PictureIntact   PictureFate = iota // decodes, at least 448 × 336 pixels
	PictureBroken                      // is sent as image/jpeg, cannot be decoded
	PictureTooSmall                    // decodes, has 16 × 16 pixels
)

func (f PictureFate) String() string {
	switch f {
	case PictureBroken:
		return "broken"
	case PictureTooSmall:
		return "too small"
	default:
		return "intact"
	}
}

// dice rolls the same numbers for the same product every time (SplitMix64).
type dice struct{ state uint64 }

func newDice(n int, salt byte) *dice {
	d := &dice{uint64(n)<<8 | uint64(salt)}
	d.next()
	return d
}

func (d *dice) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// roll is a number from 0 to n-1.
func (d *dice) roll(n int) int { return int(d.next() % uint64(n)) }

// unit is a number from 0 up to 1.
func (d *dice) unit() float64 { return float64(d.next()>>11) / (1 << 53) }

func pick[T any](d *dice, from []T) T { return from[d.roll(len(from))] }

// view is what a gallery's picture shows.
type view int

const (
	studio     view = iota
	cutout          // studio without its ground: a PNG with transparency
	detail          // from near by
	atHome          // in a room
	swatchView      // its material; shared
	guideView       // the category's shapes and sizes; shared
	brokenView      // cannot be decoded
	thumbView       // too small
)

// picture is one picture of a gallery with what the page says about it.
type picture struct {
	path string
	alt  string
	view view
}

// item is a product before anybody has asked for its page: what a card in a listing shows and what its drawings are made from.
type item struct {
	n          int
	department *department
	category   *category
	kind       *kind
	material   *material
	shade      shade
	model      string
	title      string
	slug       string
	cents      int
	stock      int
	look       look
	setting    setting
	gallery    []picture
}

// shelf finds products by category. Which product belongs where follows from rota, so nothing is kept per product.
type shelf struct {
	products int
	slots    map[*category][]int // the places in rota that are the category's
	owner    [len(rota)]*category
	home     map[*category]*department
}

func newShelf(products int) *shelf {
	s := &shelf{products: products, slots: map[*category][]int{}, home: map[*category]*department{}}
	for i := range departments {
		for _, c := range departments[i].categories {
			s.home[c] = &departments[i]
			for at := range len(rota) {
				if rota[at] == c.key {
					s.slots[c] = append(s.slots[c], at)
					s.owner[at] = c
				}
			}
		}
	}
	return s
}

// count is how many products a category has.
func (s *shelf) count(c *category) int {
	n := s.products / len(rota) * len(s.slots[c])
	for _, at := range s.slots[c] {
		if at < s.products%len(rota) {
			n++
		}
	}
	return n
}

// number is the product at a place of its category, from 0.
func (s *shelf) number(c *category, place int) int {
	slots := s.slots[c]
	return place/len(slots)*len(rota) + slots[place%len(slots)] + 1
}

// place is where in its category a product stands, from 0.
func (s *shelf) place(n int) (*category, int) {
	at := (n - 1) % len(rota)
	c := s.owner[at]
	slots := s.slots[c]
	place := (n - 1) / len(rota) * len(slots)
	for place%len(slots) < len(slots)-1 && slots[place%len(slots)] < at {
		place++
	}
	return c, place
}

// item puts product n together; n is in range.
func (s *shelf) item(n int) *item {
	c, place := s.place(n)
	d := newDice(n, 'i')
	it := &item{n: n, category: c, department: s.home[c]}
	// Neighbours in a listing differ: its kinds come in turn, each round begun elsewhere, and so do models and shades, because 27 has no
	// divisor in common with 64 models, nor 7 with 19 shades.
	round := place / len(c.kinds)
	shape := (place + newDice(round, c.key).roll(len(c.kinds))) % len(c.kinds)
	it.kind = &c.kinds[shape]
	it.setting = c.settings[shape]
	from := c.materials
	if it.kind.from != nil {
		from = it.kind.from
	}
	it.material = pick(d, from)
	it.shade = shades[(place*7+int(c.key))%len(shades)]
	it.model = models[(place*27+int(c.key)*5)%len(models)]
	it.cents = 100*(it.kind.lo+d.roll(it.kind.hi-it.kind.lo+1)) + pick(d, []int{0, 0, 0, 50, 90, 95})
	switch r := d.roll(100); {
	case r < 9:
		it.stock = 0
	case r < 25:
		it.stock = 1 + d.roll(3)
	default:
		it.stock = 4 + d.roll(57)
	}
	trim := shades[(d.roll(len(shades)-1)+1)%len(shades)].rgb
	if pale(trim) == pale(it.shade.rgb) {
		trim = mix(trim, cream, 0.6)
		if pale(it.shade.rgb) {
			trim = pick(d, []shade{shades[13], shades[9], shades[4], shades[15]}).rgb
		}
	}
	it.look = look{shape: shape, colour: it.shade.rgb, trim: trim, base: it.material.rgb, gloss: it.material.gloss,
		pattern: pattern(d.roll(int(patterns))), seed: d.roll(1 << 16)}
	it.title, it.slug = it.name(d)
	it.gallery = it.pictures(newDice(n, 'g'))
	return it
}

func pale(c rgb) bool { return int(c.r)*3+int(c.g)*6+int(c.b) > 1900 }

func (it *item) name(d *dice) (title, slug string) {
	title = it.model + " " + it.kind.name
	switch long := it.kind.suffix == "" && d.roll(4) == 0; {
	case it.category.byMaterial:
		title += " in " + it.material.name
	case long:
		title += ", " + it.shade.name + " " + it.material.name
	default:
		title += " in " + it.shade.name
	}
	title += it.kind.suffix
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case 'a' <= r && r <= 'z':
			b.WriteRune(r)
		case r == 'é' || r == 'ë':
			b.WriteByte('e')
		case r == ' ':
			b.WriteByte('-')
		}
	}
	return title, b.String() + "-" + strconv.Itoa(it.n)
}

// path is the address of the product's page.
func (it *item) path() string { return "/products/" + it.slug }

// moved says whether the shop itself still links to the product by the address that it had before, which redirects.
func (it *item) moved() bool { return it.n%37 == 5 }

// link is the address by which the shop's pages link to the product.
func (it *item) link() string {
	if it.moved() {
		return oldPath(it.n)
	}
	return it.path()
}

// oldPath is the address that a product had before it had a name in it.
func oldPath(n int) string { return "/p/" + strconv.Itoa(n) }

// Which products have a picture that cannot be used: one each in a shop of 20 to 250, and one more of each for every 250 further.
const (
	faultEvery = 250
	brokenAt   = 7
	tinyAt     = 13
)

// pictures is the gallery: one to four. The faulty ones stand in the middle of theirs, so that it shows when order is lost.
func (it *item) pictures(d *dice) []picture {
	first := studio
	if d.roll(16) == 0 {
		first = cutout
	}
	views := []view{first}
	if d.roll(10) < 4 {
		views = append(views, atHome)
	}
	if d.roll(10) < 2 {
		views = append(views, detail)
	}
	switch it.n % faultEvery {
	case brokenAt:
		views = []view{studio, brokenView, atHome}
	case tinyAt:
		views = []view{studio, thumbView, detail}
	}
	switch r := d.roll(10); {
	case r < 3:
		views = append(views, swatchView)
	case r < 5:
		views = append(views, guideView)
	}
	gallery := make([]picture, len(views))
	for i, v := range views {
		path, what := "/pictures/products/"+strconv.Itoa(it.n)+"/"+strconv.Itoa(i+1), ""
		switch v {
		case studio, brokenView, thumbView:
			path += ".jpg"
		case cutout:
			path += ".png"
		case detail:
			path, what = path+".jpg", ", from near by"
		case atHome:
			path, what = path+".jpg", ", at home"
		case swatchView:
			path, what = swatchPath(it.material), ": a piece of "+strings.ToLower(it.material.name)
		case guideView:
			path, what = guidePath(it.category), ": shapes and sizes"
		}
		gallery[i] = picture{path: path, alt: it.title + what, view: v}
	}
	return gallery
}

func swatchPath(m *material) string { return "/pictures/materials/" + m.slug + ".png" }
func guidePath(c *category) string  { return "/pictures/guides/" + c.slug + ".gif" }

// price writes cents as the shop does.
func price(cents int) string {
	euros := strconv.Itoa(cents / 100)
	if len(euros) > 3 {
		euros = euros[:len(euros)-3] + "," + euros[len(euros)-3:]
	}
	return fmt.Sprintf("€%s.%02d", euros, cents%100)
}

// description is three sentences: what it is like to have, how it is made, what else there is to say.
func (it *item) description() string {
	d := newDice(it.n, 'd')
	last := closings
	if d.roll(3) > 0 {
		last = it.category.closings
	}
	text := pick(d, it.category.openings) + " " + pick(d, it.material.making) + " " + pick(d, last)
	a := "a "
	if strings.IndexByte("aeiou", it.kind.noun[0]) >= 0 {
		a = "an "
	}
	return strings.NewReplacer("A {noun}", "A"+a[1:]+it.kind.noun, " a {noun}", " "+a+it.kind.noun, "{noun}", it.kind.noun, "{model}", it.model, "{Colour}", it.shade.name,
		"{colour}", strings.ToLower(it.shade.name), "{material}", strings.ToLower(it.material.name)).Replace(text)
}

func (m measure) value(n int) string {
	switch m.unit {
	case "hg":
		return fmt.Sprintf("%d.%d kg", n/10, n%10)
	case "dl":
		return fmt.Sprintf("%d.%d l", n/10, n%10)
	default:
		return strconv.Itoa(n) + " " + m.unit
	}
}

func (it *item) specs() []Spec {
	d := newDice(it.n, 's')
	specs := []Spec{{"Material", it.material.name}, {"Colour", it.shade.name}}
	for _, m := range it.kind.measures {
		specs = append(specs, Spec{m.name, m.value(m.lo + d.roll(m.hi-m.lo+1))})
	}
	for _, f := range it.category.facts {
		specs = append(specs, Spec{f.name, pick(d, f.values)})
	}
	return append(specs, Spec{"Care", it.material.care}, Spec{"Made in", pick(d, countries)}, Spec{"Item number", it.sku()})
}

func (it *item) sku() string { return fmt.Sprintf("BN-%06d", it.n) }

// changed is when the product's page was last written.
func (it *item) changed() time.Time {
	d := newDice(it.n, 't')
	return opened.Add(time.Duration(d.roll(400*24*60)) * time.Minute)
}

func (it *item) product() Product {
	p := Product{
		Number: it.n, URL: absolute(it.path()), Title: it.title, Price: price(it.cents), Cents: it.cents, Stock: it.stock,
		Breadcrumb:  []string{"Home", it.department.name, it.category.name},
		Description: it.description(), Specs: it.specs(),
	}
	for _, pic := range it.gallery {
		fate := PictureIntact
		switch pic.view {
		case brokenView:
			fate = PictureBroken
		case thumbView:
			fate = PictureTooSmall
		}
		p.Images = append(p.Images, Picture{absolute(pic.path), fate})
	}
	return p
}
