package bundled

import "math"

// pt is a point of a drawing. y grows downward; an object stands on y = 0 and rises into negative y.
type pt struct{ x, y float64 }

// An outline is a closed shape in an object's coordinates. Overlapping parts that turn the same way unite; parts that turn the other way
// are holes.
type outline struct {
	steps []step
	pen   pt
}

// step is a cubic curve to c, or, when it starts a new outline, a move to c.
type step struct {
	move    bool
	a, b, c pt
}

func newOutline(steps int) *outline { return &outline{steps: make([]step, 0, steps)} }

func (p *outline) moveTo(x, y float64) *outline {
	p.pen = pt{x, y}
	p.steps = append(p.steps, step{move: true, c: p.pen})
	return p
}

func (p *outline) lineTo(x, y float64) *outline {
	to := pt{x, y}
	p.steps = append(p.steps, step{a: p.pen, b: to, c: to})
	p.pen = to
	return p
}

func (p *outline) curveTo(ax, ay, bx, by, cx, cy float64) *outline {
	p.pen = pt{cx, cy}
	p.steps = append(p.steps, step{a: pt{ax, ay}, b: pt{bx, by}, c: p.pen})
	return p
}

// arc adds half an ellipse from the pen to (x, y) on the same height, bulging by h: downward when h is positive.
func (p *outline) arc(x, h float64) *outline {
	const k = 0.5523
	from, cx := p.pen, (p.pen.x+x)/2
	y, half := from.y, (x-from.x)/2
	p.curveTo(from.x, y+h*k, cx-half*k, y+h, cx, y+h)
	return p.curveTo(cx+half*k, y+h, x, y+h*k, x, y)
}

func (p *outline) add(q *outline) *outline {
	p.steps = append(p.steps, q.steps...)
	p.pen = q.pen
	return p
}

// turn rotates the whole path about (cx, cy) by an angle in radians, clockwise on the screen.
func (p *outline) turn(cx, cy, angle float64) *outline {
	sin, cos := math.Sincos(angle)
	f := func(q pt) pt {
		x, y := q.x-cx, q.y-cy
		return pt{cx + x*cos - y*sin, cy + x*sin + y*cos}
	}
	for i, s := range p.steps {
		p.steps[i] = step{s.move, f(s.a), f(s.b), f(s.c)}
	}
	p.pen = f(p.pen)
	return p
}

// flip mirrors the path about the vertical line at x.
func (p *outline) flip(x float64) *outline {
	f := func(q pt) pt { return pt{2*x - q.x, q.y} }
	for i, s := range p.steps {
		p.steps[i] = step{s.move, f(s.a), f(s.b), f(s.c)}
	}
	p.pen = f(p.pen)
	return p
}

func (p *outline) oval(cx, cy, rx, ry float64) *outline {
	return p.moveTo(cx-rx, cy).arc(cx+rx, -ry).arc(cx-rx, ry)
}

func ellipse(cx, cy, rx, ry float64) *outline { return newOutline(5).oval(cx, cy, rx, ry) }

// hole is an ellipse that turns the other way: added to a path, it is cut out.
func hole(cx, cy, rx, ry float64) *outline {
	return newOutline(5).moveTo(cx-rx, cy).arc(cx+rx, ry).arc(cx-rx, -ry)
}

func rect(x0, y0, x1, y1 float64) *outline {
	return newOutline(5).moveTo(x0, y0).lineTo(x1, y0).lineTo(x1, y1).lineTo(x0, y1).lineTo(x0, y0)
}

func roundRect(x0, y0, x1, y1, r float64) *outline {
	k := r * 0.4477
	p := newOutline(9).moveTo(x0+r, y0).lineTo(x1-r, y0).curveTo(x1-k, y0, x1, y0+k, x1, y0+r)
	p.lineTo(x1, y1-r).curveTo(x1, y1-k, x1-k, y1, x1-r, y1)
	p.lineTo(x0+r, y1).curveTo(x0+k, y1, x0, y1-k, x0, y1-r)
	return p.lineTo(x0, y0+r).curveTo(x0, y0+k, x0+k, y0, x0+r, y0)
}

func polygon(ps ...pt) *outline {
	p := newOutline(len(ps)+1).moveTo(ps[0].x, ps[0].y)
	for _, q := range ps[1:] {
		p.lineTo(q.x, q.y)
	}
	return p.lineTo(ps[0].x, ps[0].y)
}

// stroke is the outline of a line of the given width through points, with round ends. The points are those of a smooth curve, or two.
func stroke(width float64, ps ...pt) *outline {
	w, n := width/2, len(ps)
	o := newOutline(2*n + 12)
	side := func(i int, w float64) pt { // beside point i, across the direction from the point before it to the one after it
		from, to := ps[max(i-1, 0)], ps[min(i+1, n-1)]
		dx, dy := to.x-from.x, to.y-from.y
		d := max(math.Hypot(dx, dy), 1e-9)
		return pt{ps[i].x - dy/d*w, ps[i].y + dx/d*w}
	}
	first := side(0, -w)
	o.moveTo(first.x, first.y)
	for i := 1; i < n; i++ {
		q := side(i, -w)
		o.lineTo(q.x, q.y)
	}
	for i := n - 1; i >= 0; i-- {
		q := side(i, w)
		o.lineTo(q.x, q.y)
	}
	o.lineTo(first.x, first.y)
	return o.oval(ps[0].x, ps[0].y, w, w).oval(ps[n-1].x, ps[n-1].y, w, w)
}

// bar is a straight tapering line with flat ends, such as a chair's leg.
func bar(a, b pt, wa, wb float64) *outline {
	dx, dy := b.x-a.x, b.y-a.y
	d := max(math.Hypot(dx, dy), 1e-9)
	nx, ny := -dy/d/2, dx/d/2
	return polygon(pt{a.x - nx*wa, a.y - ny*wa}, pt{b.x - nx*wb, b.y - ny*wb}, pt{b.x + nx*wb, b.y + ny*wb}, pt{a.x + nx*wa, a.y + ny*wa})
}

// curve samples a cubic curve, for stroke.
func curve(a, b, c, d pt) []pt {
	const n = 24
	ps := make([]pt, 0, n+1)
	for i := range n + 1 {
		t := float64(i) / n
		u := 1 - t
		k0, k1, k2, k3 := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
		ps = append(ps, pt{k0*a.x + k1*b.x + k2*c.x + k3*d.x, k0*a.y + k1*b.y + k2*c.y + k3*d.y})
	}
	return ps
}

// round samples part of an ellipse, for stroke. Angles are in radians, clockwise from three o'clock.
func round(cx, cy, rx, ry, from, to float64) []pt {
	const n = 32
	ps := make([]pt, 0, n+1)
	for i := range n + 1 {
		sin, cos := math.Sincos(from + (to-from)*float64(i)/n)
		ps = append(ps, pt{cx + rx*cos, cy + ry*sin})
	}
	return ps
}
