package bundled

import "math"

// saucer lies under a cup.
func (c *canvas) saucer(r float64, k look) {
	c.shadow(0, 4, r*0.94)
	under := turned(0, 0.3, pt{r, -12}, pt{r * 0.72, 0}, pt{r * 0.5, 6})
	c.fill(under.body(), under.shaded(k.colour.darker(0.06), k.gloss*0.5), 1)
	c.fill(under.opening(-12, 0), across(-r, r, k.colour.lighter(0.4), k.colour.darker(0.04)), 1)
	c.fill(under.opening(-10, r*0.36), across(-r, r, k.colour.darker(0.12), k.colour.lighter(0.3)), 0.8)
	if k.pattern == rimmed || k.pattern == banded {
		c.fill(ellipse(0, -12, r, r*0.3).add(hole(0, -12, r-5, (r-5)*0.3)), solid(k.trim), 1)
	}
}

func drawMug(c *canvas, k look) {
	handle := func(x, y, rx, ry, w float64, tone rgb) {
		p := round(x, y, rx, ry, -math.Pi*0.5, math.Pi*0.5)
		c.fill(stroke(w, p...), across(x, x+rx+w/2, tone, tone.darker(0.34)), 1)
		c.fill(stroke(w*0.22, p[5:20]...), solid(tone.lighter(0.5)), 0.45)
	}
	drink := func(l *lathe, depth float64, tone rgb) func() {
		return func() {
			r := l.radius(l.top) - 6
			c.fill(ellipse(l.x, l.top+depth, r*0.97, r*l.tilt*0.86), across(l.x-r, l.x+r, tone.lighter(0.16), tone.darker(0.2)), 1)
			c.glow(l.x-r*0.35, l.top+depth, r*0.4, r*l.tilt*0.4, white, 0.25)
		}
	}
	switch k.shape {
	case 0: // mug
		c.shadow(0, 0, 92)
		l := turned(0, 0.24, pt{86, -182}, pt{85, -110}, pt{84, -34}, pt{78, -8}, pt{70, 2})
		if k.seed%3 == 0 {
			l = turned(0, 0.24, pt{80, -182}, pt{88, -130}, pt{92, -60}, pt{84, -14}, pt{72, 2})
		}
		handle(80, -102, 58, 50, 19, k.colour)
		c.vessel(l, k, k.gloss, 6, k.colour.lighter(0.5), drink(l, 6, coffee))
	case 1: // espresso cup
		c.saucer(136, k)
		l := turned(0, 0.26, pt{72, -124}, pt{70, -80}, pt{62, -34}, pt{46, -8}, pt{38, -4})
		handle(66, -78, 36, 28, 13, k.colour)
		c.vessel(l, k, k.gloss, 6, k.colour.lighter(0.5), drink(l, 5, coffee))
		c.fill(stroke(7, pt{-60, 2}, pt{-118, -10}), solid(steel), 1)
		c.fill(ellipse(-52, 5, 19, 7).turn(-52, 5, 0.18), across(-70, -34, steel.lighter(0.5), steel.darker(0.2)), 1)
	case 2: // tumbler
		c.shadow(0, 0, 76)
		l := turned(0, 0.24, pt{82, -190}, pt{78, -120}, pt{71, -30}, pt{66, 0})
		c.vessel(l, k, k.gloss, 5, k.colour.lighter(0.4), nil)
		flutes := new(outline)
		for i := -6; i <= 6; i++ {
			sin, _ := math.Sincos(float64(i) * 0.21)
			flutes.add(bar(pt{l.radius(-150) * sin, -158}, pt{l.radius(-14) * sin, -4}, 2.4, 2))
		}
		c.fill(flutes, solid(k.colour.darker(0.5)), 0.28)
	case 3: // enamel mug
		c.shadow(0, 0, 92)
		l := straight(0, 0.24, -172, 92, 0, 86)
		handle(88, -96, 50, 46, 14, k.trim.darker(0.1))
		plainLook := k
		plainLook.colour, plainLook.pattern = mix(k.colour, cream, 0.12), plain
		c.vessel(l, plainLook, 0.7, 5, cream, nil)
		c.fill(ellipse(0, -172, 92, 22).add(hole(0, -172, 86, 19)), across(-92, 92, k.trim.lighter(0.2), k.trim.darker(0.25)), 1)
		c.fill(l.band(-6, 0), l.shaded(k.trim.darker(0.2), 0.3), 1)
		spots := new(outline)
		d := newDice(k.seed, 'e')
		for range 26 {
			a, y := (d.unit()-0.5)*2.4, -160+150*d.unit()
			spots.add(ellipse(l.radius(y)*math.Sin(a), y+18*math.Cos(a), 3.4*math.Cos(a)+0.6, 3.2))
		}
		c.fill(spots, solid(cream), 0.85)
	default: // breakfast cup
		c.saucer(164, k)
		l := turned(0, 0.27, pt{118, -142}, pt{114, -104}, pt{94, -46}, pt{60, -10}, pt{50, -4})
		handle(108, -96, 44, 34, 15, k.colour)
		c.vessel(l, k, k.gloss, 7, k.colour.lighter(0.5), drink(l, 7, rgb{176, 130, 92}))
	}
}

// bowl draws an open bowl, whose inside shows.
func (c *canvas) bowl(l *lathe, k look, inside rgb) {
	r := l.radius(l.top)
	c.fill(l.body(), l.shaded(k.colour, k.gloss), 1)
	c.glaze(l, k, k.gloss)
	lip := k.colour
	if k.pattern == rimmed {
		lip = k.trim
	}
	c.fill(l.opening(l.top, 0), across(l.x-r, l.x+r, lip.lighter(0.4), lip.darker(0.05)), 1)
	c.fill(l.opening(l.top+1, 6), across(l.x-r, l.x+r, inside.darker(0.34), inside.lighter(0.16)), 1)
	c.fill(ellipse(l.x+r*0.06, l.top+r*l.tilt*0.22, r*0.72, r*l.tilt*0.62), across(l.x-r, l.x+r, inside.darker(0.16), inside.lighter(0.3)), 0.7)
	if k.pattern == speckled {
		return
	}
	c.glow(l.x+r*0.38, l.top+r*l.tilt*0.05, r*0.3, r*l.tilt*0.34, white, 0.35*k.gloss+0.1)
}

func drawBowl(c *canvas, k look) {
	inside := mix(k.colour, cream, 0.55)
	if k.pattern == dipped || k.pattern == banded {
		inside = mix(k.trim, cream, 0.25)
	}
	switch k.shape {
	case 0: // soup bowl
		c.shadow(0, 0, 100)
		c.bowl(turned(0, 0.3, pt{136, -118}, pt{130, -86}, pt{98, -28}, pt{64, -6}, pt{60, 2}), k, inside)
	case 1: // serving bowl
		c.shadow(0, 0, 130)
		c.bowl(turned(0, 0.28, pt{186, -132}, pt{178, -104}, pt{130, -36}, pt{82, -8}, pt{76, 2}), k, inside)
	case 2: // footed bowl
		c.shadow(0, 0, 76)
		foot := turned(0, 0.26, pt{26, -66}, pt{28, -48}, pt{56, -10}, pt{62, 0})
		c.fill(foot.body(), foot.shaded(k.colour.darker(0.05), k.gloss), 1)
		c.bowl(turned(0, 0.28, pt{148, -172}, pt{140, -138}, pt{96, -84}, pt{28, -58}), k, inside)
	case 3: // three that nest
		c.shadow(0, 0, 120)
		tones := []rgb{k.colour, mix(k.colour, cream, 0.4), k.trim}
		l := turned(0, 0.28, pt{170, -128}, pt{162, -98}, pt{118, -34}, pt{78, -6}, pt{72, 2})
		nested := func(i int, drawing func()) { c.at(0, -42*float64(i), 1-0.18*float64(i), drawing) }
		for i, tone := range tones {
			one := k
			one.colour, one.pattern = tone, plain
			nested(i, func() { c.bowl(l, one, mix(tone, cream, 0.5)) })
		}
		for i := 1; i >= 0; i-- { // the near side of each hides what stands in it
			nested(i, func() {
				c.fill(l.band(l.top, l.bottom), l.shaded(tones[i], k.gloss), 1)
				c.fill(l.lip(6), across(-170, 170, tones[i].lighter(0.4), tones[i].darker(0.05)), 1)
			})
		}
	default: // deep bowl
		c.shadow(0, 0, 84)
		foot := straight(0, 0.26, -12, 50, 2, 54)
		c.fill(foot.body(), foot.shaded(k.colour.darker(0.1), 0), 1)
		c.bowl(turned(0, 0.27, pt{118, -162}, pt{116, -128}, pt{104, -62}, pt{70, -16}, pt{50, -8}), k, inside)
	}
}

func drawPlate(c *canvas, k look) {
	disc := func(rx, ry float64) {
		ring := func(outer, inner float64, tone rgb, alpha float64) {
			c.fill(ellipse(0, 0, rx*outer, ry*outer).add(hole(0, 0, rx*inner, ry*inner)), solid(tone), alpha)
		}
		c.glow(14, 18, rx*1.2, ry*1.2, black, 0.5)
		c.fill(ellipse(0, 0, rx, ry), across(-rx, rx, k.colour.lighter(0.35), k.colour.darker(0.12)), 1)
		c.fill(ellipse(0, 0, rx*0.7, ry*0.7), across(-rx*0.7, rx*0.7, k.colour.darker(0.14), k.colour.lighter(0.3)), 1)
		c.fill(ellipse(0, 0, rx*0.665, ry*0.665), across(-rx*0.66, rx*0.66, k.colour.lighter(0.12), k.colour.lighter(0.02)), 1)
		switch k.pattern {
		case rimmed:
			ring(1, 0.955, k.trim, 1)
		case banded:
			ring(0.93, 0.9, k.trim, 1)
			ring(0.86, 0.845, k.trim, 1)
			ring(0.78, 0.765, k.trim, 0.7)
		case dipped:
			ring(1, 0.72, k.trim, 0.92)
			ring(1, 0.985, k.trim.lighter(0.4), 0.8)
		case speckled:
			d := newDice(k.seed, 'p')
			dots := new(outline)
			for range 110 {
				sin, cos := math.Sincos(d.unit() * 2 * math.Pi)
				f := math.Sqrt(d.unit()) * 0.97
				r := 0.9 + 1.6*d.unit()
				dots.add(ellipse(rx*f*cos, ry*f*sin, r, r))
			}
			c.fill(dots, solid(k.colour.darker(0.5)), 0.6)
		default:
			petals := new(outline)
			for i := range 24 {
				sin, cos := math.Sincos(float64(i) * math.Pi / 12)
				petals.add(ellipse(rx*0.84*cos, ry*0.84*sin, 13, 4.5).turn(rx*0.84*cos, ry*0.84*sin, math.Atan2(ry*sin, rx*cos)))
			}
			c.fill(petals, solid(k.trim), 0.9)
		}
		c.glow(-rx*0.24, -ry*0.3, rx*0.6, ry*0.44, white, 0.10+0.14*k.gloss)
	}
	switch k.shape {
	case 0: // dinner plate
		c.at(0, -180, 1, func() { disc(172, 172) })
	case 1: // side plate
		c.at(0, -176, 1, func() { disc(136, 136) })
	case 2: // oval platter
		c.at(0, -176, 1, func() { disc(222, 140) })
	default: // a stack
		c.shadow(0, 0, 150)
		for i := range 6 {
			one := k
			if i%2 == 1 {
				one.colour = mix(k.colour, k.trim, 0.5)
			}
			y := -20 * float64(i)
			l := turned(0, 0.22, pt{182, y - 22}, pt{150, y - 8}, pt{104, y + 2}, pt{100, y + 4})
			c.fill(l.body(), l.shaded(one.colour.darker(0.06), k.gloss*0.6), 1)
			c.fill(l.opening(y-22, 0), across(-182, 182, one.colour.lighter(0.42), one.colour), 1)
			if i == 5 {
				c.fill(l.opening(y-20, 52), across(-130, 130, one.colour.darker(0.14), one.colour.lighter(0.3)), 1)
				c.fill(l.opening(y-17, 58), across(-130, 130, one.colour.lighter(0.2), one.colour.lighter(0.04)), 1)
			}
		}
	}
}

func drawTeapot(c *canvas, k look) {
	var l *lathe
	switch k.shape {
	case 0: // round
		l = turned(0, 0.22, pt{52, -176}, pt{96, -152}, pt{122, -98}, pt{106, -34}, pt{66, -4}, pt{60, 2})
	case 1: // tall
		l = turned(0, 0.22, pt{46, -232}, pt{66, -214}, pt{80, -140}, pt{98, -50}, pt{92, -6}, pt{84, 2})
	default: // low, with a handle overhead
		l = turned(0, 0.22, pt{58, -138}, pt{112, -118}, pt{136, -74}, pt{112, -20}, pt{78, 0}, pt{72, 2})
	}
	h := -l.top
	c.shadow(0, 0, l.radius(-10)*1.15)
	spoutY := -h * 0.42
	at := -l.radius(spoutY) + 10
	spout := new(outline).moveTo(at, spoutY+26).curveTo(at-46, spoutY+16, at-42, spoutY-40, at-84, -h*0.92).
		lineTo(at-60, -h*0.96).curveTo(at-30, spoutY-46, at-10, spoutY-34, at+6, spoutY-30)
	c.fill(spout, across(at-84, at+10, k.colour.lighter(0.3), k.colour.darker(0.25)), 1)
	c.fill(ellipse(at-72, -h*0.94, 13, 5).turn(at-72, -h*0.94, -0.24), solid(k.colour.darker(0.45)), 1)
	switch k.shape {
	case 2:
		arch := round(0, l.top+14, 112, 128, math.Pi*1.02, math.Pi*1.98)
		c.fill(stroke(12, arch...), across(-118, 118, k.base.lighter(0.2), k.base.darker(0.3)), 1)
		c.fill(stroke(3, arch[3:16]...), solid(k.base.lighter(0.5)), 0.5)
	default:
		x := l.radius(-h*0.5) - 12
		ear := curve(pt{x - 14, -h * 0.8}, pt{x + 92, -h * 1.02}, pt{x + 92, -h * 0.12}, pt{x - 4, -h * 0.26})
		c.fill(stroke(17, ear...), across(x, x+76, k.colour, k.colour.darker(0.36)), 1)
		c.fill(stroke(4, ear[4:16]...), solid(k.colour.lighter(0.5)), 0.4)
	}
	c.fill(l.body(), l.shaded(k.colour, k.gloss), 1)
	c.glaze(l, k, k.gloss)
	r := l.radius(l.top)
	lid := turned(0, 0.22, pt{9, l.top - 24}, pt{r * 0.66, l.top - 17}, pt{r + 2, l.top + 1})
	tone := k.colour
	if k.pattern == rimmed || k.pattern == dipped {
		tone = k.trim
	}
	c.fill(lid.body(), lid.shaded(tone, k.gloss), 1)
	knob := turned(0, 0.22, pt{6, l.top - 50}, pt{15, l.top - 42}, pt{12, l.top - 30}, pt{7, l.top - 22})
	c.fill(knob.body(), knob.shaded(k.base, k.gloss), 1)
}
