package bundled

import "math"

// spool draws thread wound on a wooden spool whose foot is at (x, y).
func (c *canvas) spool(x, y, s float64, thread, wood rgb) {
	c.at(x, y, s, func() {
		c.shadow(0, 0, 74)
		foot := straight(0, 0.24, -22, 78, 0, 78)
		c.fill(foot.band(-22, 0), foot.shaded(wood, 0.1), 1)
		c.fill(foot.opening(-22, 0), across(-78, 78, wood.lighter(0.3), wood.darker(0.06)), 1)
		wound := turned(0, 0.24, pt{52, -176}, pt{62, -158}, pt{65, -98}, pt{62, -40}, pt{52, -24})
		c.fill(wound.body(), wound.shaded(thread, 0.25), 1)
		turns := new(outline)
		for i := 1; i < 20; i++ {
			yy := -176 + 7.6*float64(i)
			turns.add(wound.band(yy, yy+2.1))
		}
		c.fill(turns, wound.shaded(thread.darker(0.32), 0), 0.5)
		head := straight(0, 0.24, -200, 78, -178, 78)
		c.fill(head.band(-200, -178), head.shaded(wood, 0.1), 1)
		c.fill(head.opening(-200, 0), across(-78, 78, wood.lighter(0.42), wood.lighter(0.06)), 1)
		c.fill(head.opening(-199, 16), across(-70, 70, wood.lighter(0.1), wood.lighter(0.3)), 0.6)
		c.fill(ellipse(0, -200, 14, 4.4), solid(wood.darker(0.6)), 1)
	})
}

func drawThread(c *canvas, k look) {
	wood := []rgb{beech.rgb, oak.rgb, walnut.rgb.lighter(0.1)}[k.seed%3]
	switch k.shape {
	case 0: // one spool, its end loose
		tail := curve(pt{40, -18}, pt{150, 30}, pt{120, -26}, pt{212, 8})
		c.fill(stroke(2.6, tail...), solid(k.colour.darker(0.1)), 1)
		c.spool(0, 0, 1.36, k.colour, wood)
	case 1: // three
		c.spool(-104, -26, 0.92, k.trim, wood)
		c.spool(112, -22, 0.92, mix(k.colour, cream, 0.5), wood)
		c.spool(0, 14, 1.02, k.colour, wood)
	default: // cone
		c.shadow(0, 0, 96)
		core := straight(0, 0.22, -316, 20, -282, 24)
		c.fill(core.body(), core.shaded(cream.darker(0.1), 0), 1)
		c.fill(core.opening(-316, 4), solid(cream.darker(0.5)), 1)
		cone := turned(0, 0.22, pt{26, -290}, pt{38, -270}, pt{92, -30}, pt{88, -12})
		c.fill(cone.body(), cone.shaded(k.colour, 0.15), 1)
		turns := new(outline)
		for i := 1; i < 32; i++ {
			y := -288 + 8.6*float64(i)
			turns.add(cone.band(y, y+2))
		}
		c.fill(turns, cone.shaded(k.colour.darker(0.34), 0), 0.45)
		foot := straight(0, 0.22, -14, 96, 0, 98)
		c.fill(foot.band(-14, 0), foot.shaded(cream.darker(0.12), 0), 1)
	}
}

// button draws one round button with its holes, at an angle.
func (c *canvas) button(x, y, r float64, tone rgb, holes int, angle, gloss float64) {
	c.at(x, y, 1, func() {
		c.glow(r*0.12, r*0.16, r*1.25, r*1.25, black, 0.6)
		c.fill(ellipse(0, 0, r, r), across(-r, r, tone.lighter(0.34), tone.darker(0.3)), 1)
		c.fill(ellipse(0, 0, r*0.8, r*0.8), across(-r*0.8, r*0.8, tone.darker(0.28), tone.lighter(0.22)), 1)
		c.fill(ellipse(0, 0, r*0.74, r*0.74), across(-r*0.74, r*0.74, tone.lighter(0.06), tone.darker(0.06)), 1)
		eyes := new(outline)
		for i := range holes {
			a := angle + 2*math.Pi*float64(i)/float64(holes)
			sin, cos := math.Sincos(a)
			eyes.add(ellipse(r*0.26*cos, r*0.26*sin, r*0.1, r*0.1))
		}
		c.fill(eyes, solid(tone.darker(0.75)), 1)
		c.glow(-r*0.36, -r*0.42, r*0.42, r*0.3, white, 0.25+0.55*gloss)
	})
}

func drawButtons(c *canvas, k look) {
	tone := mix(k.base, k.colour, 0.55)
	switch k.shape {
	case 0: // five coat buttons
		for i, p := range []pt{{-120, -236}, {24, -262}, {-46, -122}, {112, -150}, {-158, -72}} {
			c.button(p.x, p.y, 66, mix(tone, k.trim, 0.07*float64(i%3)), 4, 0.3+0.5*float64(i), k.gloss)
		}
	case 1: // eight shirt buttons
		for i, p := range []pt{{-150, -250}, {-48, -268}, {62, -240}, {160, -262}, {-110, -140}, {-4, -156}, {104, -126}, {-20, -52}} {
			c.button(p.x, p.y, 42, mix(tone, cream, 0.1*float64(i%3)), 2+2*k.seed%2, 0.4*float64(i), k.gloss)
		}
	default: // toggles on cord
		for i := range 3 {
			y := -282 + 104*float64(i)
			cord := curve(pt{-150, y}, pt{-80, y + 34}, pt{60, y - 34}, pt{150, y})
			c.glow(0, y+14, 110, 26, black, 0.45)
			c.fill(stroke(9, cord...), solid(k.trim.darker(0.1)), 1)
			c.fill(stroke(3, cord...), solid(k.trim.lighter(0.3)), 0.4)
			horn := new(outline).moveTo(-92, y).curveTo(-70, y-42, 70, y-42, 92, y).curveTo(70, y+42, -70, y+42, -92, y)
			c.fill(horn.turn(0, y, 0.07*float64(i-1)), down(y-32, y+32, tone.lighter(0.3), tone.darker(0.4)), 1)
			c.glow(-14, y-15, 58, 9, white, 0.5)
			c.fill(ellipse(-20, y, 5.5, 5.5).add(ellipse(20, y, 5.5, 5.5)), solid(tone.darker(0.75)), 1)
		}
	}
}

// ball draws a ball of yarn.
func (c *canvas) ball(x, y, r float64, tone rgb) {
	c.at(x, y, 1, func() {
		c.shadow(0, r*0.96, r*0.8)
		c.fill(ellipse(0, 0, r, r), roundLight(tone, 0).across(-r, r), 1)
		c.glow(r*0.2, r*0.62, r*0.95, r*0.5, black, 0.4)
		lines := func(angle, from, to float64, n int, tone rgb, alpha float64) {
			p := new(outline)
			for i := range n {
				f := from + (to-from)*float64(i)/float64(n-1)
				half := math.Sqrt(max(1-f*f, 0)) * r
				arc := round(0, f*r*0.9, half*0.985, r*0.16, 0.02*math.Pi, 0.98*math.Pi)
				p.add(stroke(2.6, arc[:len(arc)-1]...))
			}
			c.fill(p.turn(0, 0, angle), solid(tone), alpha)
		}
		lines(0.5, -0.92, 0.9, 15, tone.darker(0.4), 0.5)
		lines(-0.72, -0.5, 0.42, 9, tone.darker(0.32), 0.75)
		lines(-0.72, -0.46, 0.46, 9, tone.lighter(0.34), 0.6)
		lines(1.35, -0.1, 0.36, 5, tone.lighter(0.3), 0.75)
		c.glow(-r*0.4, -r*0.46, r*0.5, r*0.42, white, 0.25)
	})
}

func drawYarn(c *canvas, k look) {
	needle := func(a, b pt) {
		c.fill(stroke(7, a, b), down(min(a.y, b.y), max(a.y, b.y), oakWood.lighter(0.25), oakWood.darker(0.1)), 1)
		c.fill(ellipse(a.x, a.y, 12, 12), solid(oakWood.darker(0.25)), 1)
	}
	switch k.shape {
	case 0: // ball
		tail := curve(pt{60, -8}, pt{170, 30}, pt{150, -24}, pt{226, 10})
		c.fill(stroke(5, tail...), solid(k.colour.darker(0.12)), 1)
		c.ball(0, -124, 128, k.colour)
	case 1: // skein, twisted and banded
		c.shadow(0, -6, 168)
		for i := range 9 {
			f := float64(i-4) / 4
			tone := k.colour.darker(0.05 + 0.2*f*f)
			if i%2 == 0 {
				tone = k.colour.lighter(0.2 - 0.2*math.Abs(f))
			}
			if i%3 == 2 {
				tone = mix(tone, k.trim, 0.18)
			}
			line := curve(pt{-196, -56 + 34*f}, pt{-70, -56 - 116*f}, pt{70, -56 + 190*f}, pt{196, -56 - 34*f})
			c.fill(stroke(22, line...), down(-130, 16, tone.lighter(0.14), tone.darker(0.16)), 1)
			c.fill(stroke(2, line...), solid(tone.darker(0.4)), 0.5)
		}
		c.fill(roundRect(-46, -110, 46, 0, 10), across(-46, 46, cream, cream.darker(0.12)), 1)
		c.fill(rect(-46, -96, 46, -90).add(rect(-46, -18, 46, -12)), solid(k.trim), 0.9)
		c.fill(ellipse(0, -54, 20, 20).add(hole(0, -54, 15, 15)), solid(k.trim.darker(0.2)), 0.8)
	default: // balls and needles
		needle(pt{-176, -300}, pt{70, -60})
		needle(pt{128, -318}, pt{-40, -60})
		c.ball(98, -84, 82, k.trim)
		c.ball(-72, -100, 104, k.colour)
	}
}

func drawScissors(c *canvas, k look) {
	for _, d := range []float64{3, 6, 9} {
		c.at(d, d*1.3, 1, func() { c.silhouette(black, 0.06, func() { c.scissors(k) }) })
	}
	c.scissors(k)
}

func (c *canvas) scissors(k look) {
	grip := k.colour
	if k.shape == 0 { // these are metal throughout
		grip = k.base
	}
	if k.shape == 2 { // snips: two blades on one springy strip
		c.at(0, -176, 1.25, func() {
			for _, s := range []float64{-1, 1} {
				arm := curve(pt{0, 128}, pt{s * 78, 128}, pt{s * 62, 20}, pt{s * 24, -16})
				c.fill(stroke(13, arm...), across(-60, 60, k.base.lighter(0.35), k.base.darker(0.3)), 1)
				c.fill(stroke(17, arm[6:16]...), across(-60, 60, grip.lighter(0.3), grip.darker(0.25)), 1)
				blade := polygon(pt{s * 34, -6}, pt{s * 10, -14}, pt{s * 3, -150})
				c.fill(blade, across(-34, 34, steel.lighter(0.5), steel.darker(0.22)), 1)
			}
			c.fill(ellipse(0, 128, 12, 10), solid(k.base.darker(0.2)), 1)
		})
		return
	}
	blade, width, loop, reach, spread := 190.0, 13.0, 40.0, 124.0, 0.22
	if k.shape == 1 {
		blade, width, loop, reach, spread = 208, 24, 54, 140, 0.17
	}
	c.at(0, -176, 1, func() {
		const tilt = 0.62
		for _, s := range []float64{-1, 1} {
			a := tilt + s*spread
			p := new(outline).moveTo(-s*width*0.5, 26).lineTo(s*width*0.75, 18).
				curveTo(s*width*0.9, -60, s*width*0.5, -blade*0.7, -s*2, -blade).lineTo(-s*width*0.4, -20)
			c.fill(p.turn(0, 0, a), across(-60, 150, steel.lighter(0.55), steel.darker(0.24)), 1)
			edge := stroke(1.6, pt{-s * width * 0.2, -14}, pt{-s * 2, -blade * 0.94})
			c.fill(edge.turn(0, 0, a), solid(steel.darker(0.45)), 0.5)
			shank := stroke(15, curve(pt{0, 8}, pt{-s * 4, 50}, pt{-s * 22, 70}, pt{-s * 26, reach - loop*0.75})...)
			c.fill(shank.turn(0, 0, a), across(-120, 60, grip.lighter(0.25), grip.darker(0.22)), 1)
			x, y := -s*loop*0.62, reach+14
			ring := ellipse(x, y, loop*0.8, loop*1.05).add(hole(x, y, loop*0.5, loop*0.74))
			c.fill(ring.turn(0, 0, a), across(-190, 60, grip.lighter(0.3), grip.darker(0.2)), 1)
		}
		c.fill(ellipse(0, 6, 10, 10), across(-10, 10, k.base.lighter(0.5), k.base.darker(0.4)), 1)
		c.fill(stroke(2.4, pt{-5, 1}, pt{5, 11}), solid(k.base.darker(0.6)), 1)
	})
}
