package bundled

import "math"

// A lathe is a round body, turned about a vertical axis: its radius at each height. It is seen a little from above, so a ring of it
// is an ellipse, and what is seen of it is what all its rings cover.
type lathe struct {
	x, top, bottom float64
	tilt           float64   // height of a ring's ellipse by its width
	radii          []float64 // from top to bottom, at even steps
	seen           *profile  // of the whole body
}

// profile is half the width of what is seen of a body, from a height downward, at even steps.
type profile struct {
	top, bottom float64
	halves      []float64
}

func (p *profile) half(y float64) float64 { return sample(p.halves, (y-p.top)/(p.bottom-p.top)) }

// sample reads a table of even steps at t from 0 to 1.
func sample(table []float64, t float64) float64 {
	f := min(max(t, 0), 1) * float64(len(table)-1)
	i := min(int(f), len(table)-2)
	return table[i] + (table[i+1]-table[i])*(f-float64(i))
}

// turned makes a body through knots of radius (x) and height (y), from top to bottom, joined smoothly.
func turned(x, tilt float64, knots ...pt) *lathe {
	const n = 64
	l := &lathe{x: x, tilt: tilt, top: knots[0].y, bottom: knots[len(knots)-1].y, radii: make([]float64, n+1)}
	slope := func(i int) float64 {
		lo, hi := knots[max(i-1, 0)], knots[min(i+1, len(knots)-1)]
		return (hi.x - lo.x) / (hi.y - lo.y)
	}
	at := 0
	for i := range l.radii {
		y := l.top + (l.bottom-l.top)*float64(i)/n
		for at < len(knots)-2 && y > knots[at+1].y {
			at++
		}
		// A cubic Hermite curve between two knots, with the slopes that their neighbours give them.
		a, b := knots[at], knots[at+1]
		d := b.y - a.y
		t := (y - a.y) / d
		t2, t3 := t*t, t*t*t
		r := (2*t3-3*t2+1)*a.x + (t3-2*t2+t)*d*slope(at) + (-2*t3+3*t2)*b.x + (t3-t2)*d*slope(at+1)
		l.radii[i] = max(r, 0.5)
	}
	l.seen = l.rings(l.top, l.bottom)
	return l
}

// straight makes a cylinder or cone.
func straight(x, tilt, top, rTop, bottom, rBottom float64) *lathe {
	l := &lathe{x: x, tilt: tilt, top: top, bottom: bottom, radii: []float64{rTop, rBottom}}
	l.seen = l.rings(top, bottom)
	return l
}

func (l *lathe) radius(y float64) float64 { return sample(l.radii, (y-l.top)/(l.bottom-l.top)) }

// rings is what the front of the rings between two heights covers.
func (l *lathe) rings(y0, y1 float64) *profile {
	const rings, steps = 28, 40
	p := &profile{top: y0, halves: make([]float64, steps+1)}
	var ys, rs [rings + 1]float64
	p.bottom = y1
	for i := range ys {
		ys[i] = y0 + (y1-y0)*float64(i)/rings
		rs[i] = l.radius(ys[i])
		p.bottom = max(p.bottom, ys[i]+rs[i]*l.tilt)
	}
	for i := range p.halves {
		y := y0 + (p.bottom-y0)*float64(i)/steps
		if y <= y1 {
			p.halves[i] = l.radius(y)
		}
		for j := range ys {
			d := (y - ys[j]) / (rs[j] * l.tilt)
			if d < 0 {
				break
			}
			if d < 1 {
				p.halves[i] = max(p.halves[i], rs[j]*math.Sqrt(1-d*d))
			}
		}
	}
	return p
}

// band is the front of the body between two heights, with the curved edges that rings on a round body have.
func (l *lathe) band(y0, y1 float64) *outline {
	y0, y1 = max(y0, l.top), min(y1, l.bottom)
	p := l.seen
	if y0 > l.top || y1 < l.bottom {
		p = l.rings(y0, y1)
	}
	n := len(p.halves)
	at := func(i int) float64 { return p.top + (p.bottom-p.top)*float64(i)/float64(n-1) }
	o := newOutline(2*n+3).moveTo(l.x-p.halves[0], y0)
	for i := 1; i < n; i++ {
		o.lineTo(l.x-p.halves[i], at(i))
	}
	for i := n - 1; i >= 0; i-- {
		o.lineTo(l.x+p.halves[i], at(i))
	}
	return o.arc(l.x-p.halves[0], p.halves[0]*l.tilt)
}

// body is the whole front, with the opening.
func (l *lathe) body() *outline {
	r := l.radius(l.top)
	return l.band(l.top, l.bottom).add(hole(l.x, l.top, r, r*l.tilt)) // turns as band does, so that the two unite
}

// opening is the ellipse at a height of the body.
func (l *lathe) opening(y, inset float64) *outline {
	r := max(l.radius(y)-inset, 0.5)
	return ellipse(l.x, y, r, r*l.tilt)
}

// lip is the near half of the opening's rim.
func (l *lathe) lip(width float64) *outline {
	r := l.radius(l.top)
	o := new(outline).moveTo(l.x-r, l.top).arc(l.x+r, r*l.tilt).lineTo(l.x+r-width, l.top)
	return o.arc(l.x-r+width, (r-width)*l.tilt)
}

// shaded is the paint of a round body: the light comes from the upper left; gloss from 0, chalk, to 1, glass, adds a shine.
func (l *lathe) shaded(c rgb, gloss float64) paint {
	r := roundLight(c, gloss)
	return func(t transform, x, y int, row []rgb) {
		half := max(l.seen.half((float64(y)+0.5-t.y)/t.scale), l.radius(l.bottom)*0.7) * t.scale
		step := 1 / (2 * half)
		u := (float64(x)+0.5-l.x*t.scale-t.x)*step + 0.5
		for i := range row {
			row[i] = r.at(u)
			u += step
		}
	}
}

// roundLight is how a round body takes the light, from its left edge to its right edge.
func roundLight(c rgb, gloss float64) *ramp {
	return newRamp(func(t float64) rgb {
		u := 2*t - 1
		n := math.Sqrt(max(1-u*u, 0))
		light := max(-0.55*u+0.83*n, 0)
		lit := mix(c.darker(0.62), c, 0.25+0.9*light)
		if light > 0.86 {
			lit = lit.lighter((light - 0.86) * 0.9)
		}
		shine := math.Exp(-math.Pow((u+0.48)/0.09, 2)) * gloss * 0.75
		// A little light comes back from the right, so that the dark edge does not melt into the ground.
		back := math.Exp(-math.Pow((u-0.93)/0.07, 2)) * 0.14
		return lit.lighter(shine).lighter(back)
	})
}
