package bundled

import "math"

// A look is all that a drawing knows of a product: which of its category's shapes, in which colours.
type look struct {
	shape   int
	colour  rgb // what the product is said to be
	trim    rgb // a second colour that goes with it
	base    rgb // of its material, where that shows: wood, brass, steel
	gloss   float64
	pattern pattern
	seed    int // for all smaller choices; not negative
}

// pattern is how a product is decorated.
type pattern int

const (
	plain pattern = iota
	dipped
	banded
	speckled
	rimmed
	patterns // how many there are
)

// Where a category's products stand, which decides their shadows and their surroundings.
type setting int

const (
	onTable setting = iota
	onFloor
	onWall
	fromCeiling
	lying // seen from above
)

var (
	cream    = rgb{250, 246, 238}
	darkWood = rgb{122, 85, 56}
	oakWood  = rgb{200, 162, 114}
	leafy    = rgb{116, 132, 98}
	warm     = rgb{255, 226, 170}
	coffee   = rgb{74, 48, 34}
	steel    = rgb{186, 191, 195}
)

// glaze decorates a round body that is already drawn.
func (c *canvas) glaze(l *lathe, k look, gloss float64) {
	h := l.bottom - l.top
	switch k.pattern {
	case dipped:
		c.fill(l.band(l.top+h*0.55, l.bottom), l.shaded(k.trim, gloss), 1)
	case banded:
		first := 0.34
		if l.radii[0] > 1.5*l.radius(l.bottom) { // a bowl, whose lower half is hardly seen
			first = 0.1
		}
		for _, f := range []float64{first, first + 0.1, first + 0.2} {
			c.fill(l.band(l.top+h*f, l.top+h*(f+0.035)), l.shaded(k.trim, gloss), 1)
		}
	case speckled:
		d := newDice(k.seed, 'k')
		dots := new(outline)
		for range 70 {
			y := l.top + h*(0.05+0.93*d.unit())
			sin, cos := math.Sincos((d.unit() - 0.5) * 2.6)
			r := 1 + 1.4*d.unit()
			dx, at := l.radius(y)*sin, y+l.radius(y)*l.tilt*cos
			if math.Abs(dx)+r < l.seen.half(at) {
				dots.add(ellipse(l.x+dx, at, r*max(cos, 0.3), r))
			}
		}
		c.fill(dots, solid(k.colour.darker(0.55)), 0.7)
	case rimmed:
		c.fill(l.band(l.top, l.top+h*0.16), l.shaded(k.trim, gloss), 1)
	}
}

// vessel draws an open round body: the inside of its mouth, what stands in it, its outside.
func (c *canvas) vessel(l *lathe, k look, gloss, rim float64, inside rgb, contents func()) {
	lip := k.colour
	if k.pattern == rimmed {
		lip = k.trim
	}
	r := l.radius(l.top)
	c.fill(l.opening(l.top, 0), across(l.x-r, l.x+r, lip.lighter(0.35), lip.darker(0.12)), 1)
	c.fill(l.opening(l.top, rim), across(l.x-r, l.x+r, inside.darker(0.5), inside.darker(0.12)), 1)
	if contents != nil {
		contents()
	}
	c.fill(l.band(l.top, l.bottom), l.shaded(k.colour, gloss), 1)
	c.glaze(l, k, gloss)
}

// shadow is where an object of the given half width meets the ground.
func (c *canvas) shadow(x, y, half float64) {
	c.glow(x+half*0.35, y+half*0.06, half*1.75, half*0.34, black, 0.30)
	c.glow(x, y+2, half*1.12, max(half*0.13, 6), black, 0.55)
}

// legShadow is where legs meet the ground: soft, because most of the light gets through.
func (c *canvas) legShadow(half float64) {
	c.glow(half*0.25, 0, half*1.6, half*0.3, black, 0.34)
}

// twig draws a stem with leaves, from its foot to its tip.
func (c *canvas) twig(foot, tip pt, bend float64, leaf rgb, size float64) {
	mid := pt{(foot.x+tip.x)/2 + bend, (foot.y + tip.y) / 2}
	line := curve(foot, pt{foot.x + bend*0.2, foot.y - 60}, mid, tip)
	c.fill(stroke(2.4, line...), solid(leaf.darker(0.35)), 1)
	for i := 6; i < len(line); i += 3 {
		p, q := line[i-1], line[i]
		dir := math.Atan2(q.y-p.y, q.x-p.x)
		for _, side := range []float64{-1, 1} {
			f := 1 - 0.45*float64(i)/float64(len(line))
			l := size * f
			blade := new(outline).moveTo(q.x, q.y).
				curveTo(q.x+l*0.3, q.y-l*0.34, q.x+l*0.75, q.y-l*0.3, q.x+l, q.y).
				curveTo(q.x+l*0.75, q.y+l*0.2, q.x+l*0.3, q.y+l*0.24, q.x, q.y)
			tone := leaf
			if side < 0 {
				tone = leaf.lighter(0.14)
			}
			c.fill(blade.turn(q.x, q.y, dir+side*0.75), solid(tone), 1)
		}
	}
}
