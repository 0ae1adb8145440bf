package bundled

import "math"

var (
	paper   = rgb{250, 246, 238}
	inkTone = rgb{70, 58, 54}
	// grounds are what products are photographed on: pale ones, and deeper ones for pale products.
	grounds     = []rgb{{240, 234, 224}, {233, 226, 215}, {230, 233, 226}, {240, 228, 221}, {228, 233, 236}, {236, 230, 219}}
	deepGrounds = []rgb{{208, 196, 180}, {192, 200, 186}, {210, 188, 176}, {184, 194, 202}, {202, 186, 190}, {196, 180, 158}}
	walls       = []rgb{{222, 226, 214}, {236, 222, 208}, {214, 222, 228}, {232, 214, 208}, {226, 220, 230}, {238, 230, 212}}
)

func (k look) ground() rgb {
	if pale(k.colour) {
		return deepGrounds[k.seed>>8%len(deepGrounds)]
	}
	return grounds[k.seed>>8%len(grounds)]
}

// drawAlone draws the product on nothing, where it stands in a picture of its own.
func (it *item) drawAlone(c *canvas) {
	var y float64
	x, z := 320.0, it.category.zoom
	switch it.setting {
	case onTable:
		y = 412
	case onFloor:
		y, z = 432, z*0.98
	case fromCeiling:
		y = 240 + 176*z
	default:
		y = 240 + 178*z
	}
	c.at(x, y, z, func() { it.category.draw(c, it.look) })
}

// sweep is a studio's paper: a wall that becomes the ground without an edge.
func (c *canvas) sweep(tone rgb, flat bool) {
	if flat {
		c.backdrop(0, drawnHigh, tone.lighter(0.3), tone.darker(0.03))
		return
	}
	c.backdrop(0, 340, tone.lighter(0.42), tone)
	c.backdrop(340, drawnHigh, tone, tone.darker(0.09))
}

func (it *item) flat() bool { return it.setting == lying || it.setting == onWall }

func (it *item) drawStudio(c *canvas) {
	c.sweep(it.look.ground(), it.flat())
	it.drawAlone(c)
}

func (it *item) drawDetail(c *canvas) {
	tone := mix(it.look.colour, paper, 0.74)
	if pale(it.look.colour) {
		tone = it.look.ground()
	}
	c.sweep(tone, it.flat())
	z := it.category.zoom * 1.75
	mid := 150.0
	switch {
	case it.flat(), it.setting == fromCeiling:
		mid = 180
	case it.category.key == 'm', it.category.key == 'b', it.category.key == 'y':
		mid = 96
	case it.setting == onFloor:
		mid = 220
	}
	c.at(320-26*z, 240+mid*z, z, func() { it.category.draw(c, it.look) })
}

// A room's furniture.

func (c *canvas) books(x, y float64, d *dice) {
	tones := []rgb{{176, 98, 76}, {92, 110, 118}, {214, 190, 150}, {120, 130, 104}, {92, 72, 84}}
	c.glow(x+10, y, 110, 16, black, 0.5)
	for i := range 3 + d.roll(2) {
		w := 128 - 12*float64(i) - 14*d.unit()
		h := 17 + 9*d.unit()
		off := 10 * (d.unit() - 0.5)
		t := pick(d, tones)
		c.fill(roundRect(x-w/2+off, y-h, x+w/2+off, y, 3), across(x-w/2, x+w/2, t.lighter(0.18), t.darker(0.22)), 1)
		c.fill(rect(x+w/2+off-9, y-h+3, x+w/2+off-1, y-3), solid(paper), 0.8)
		c.fill(rect(x-w/2+off+12, y-h, x-w/2+off+16, y), solid(paper), 0.5)
		y -= h
	}
}

func (c *canvas) plant(x, y, s float64, pot rgb) {
	c.at(x, y, s, func() {
		c.shadow(0, 0, 50)
		for i, t := range []pt{{-74, -178}, {-34, -232}, {20, -246}, {70, -196}, {92, -140}, {-96, -124}} {
			green := rgb{92, 116, 84}.lighter(0.06 * float64(i%3))
			mid := pt{t.x * 0.5, (t.y - 70) * 0.62}
			blade := new(outline).moveTo(-4, -78).curveTo(mid.x-26, mid.y+16, mid.x-22, mid.y-26, t.x, t.y).
				curveTo(mid.x+30, mid.y+4, mid.x+18, mid.y+34, 4, -78)
			c.fill(blade, across(mid.x-40, mid.x+40, green.lighter(0.22), green.darker(0.2)), 1)
			c.fill(stroke(1.6, curve(pt{0, -80}, mid, mid, t)...), solid(green.lighter(0.4)), 0.6)
		}
		l := turned(0, 0.2, pt{52, -88}, pt{50, -40}, pt{40, -4}, pt{38, 0})
		c.fill(l.band(-88, 0), l.shaded(pot, 0.1), 1)
		c.fill(l.band(-88, -72), l.shaded(pot.lighter(0.14), 0.1), 1)
	})
}

// sun is the light of a window on a wall.
func (c *canvas) sun(x, y float64) {
	panes := new(outline)
	for i := range 2 {
		for j := range 2 {
			ox, oy := x+62*float64(i)-26*float64(j), y+96*float64(j)
			panes.add(polygon(pt{ox, oy}, pt{ox + 54, oy - 8}, pt{ox + 30, oy + 80}, pt{ox - 24, oy + 88}))
		}
	}
	c.fill(panes, solid(rgb{255, 246, 222}), 0.42)
}

func (c *canvas) print(x, y, w, h float64, tone rgb) {
	c.fill(rect(x+5, y+7, x+w+9, y+h+10), solid(black), 0.12)
	c.fill(rect(x, y, x+w, y+h), across(x, x+w, oakWood.lighter(0.1), oakWood.darker(0.2)), 1)
	c.fill(rect(x+6, y+6, x+w-6, y+h-6), solid(paper), 1)
	c.fill(ellipse(x+w*0.5, y+h*0.42, w*0.2, w*0.2), solid(tone), 0.9)
	c.fill(new(outline).moveTo(x+w*0.2, y+h*0.78).curveTo(x+w*0.36, y+h*0.5, x+w*0.5, y+h*0.62, x+w*0.8, y+h*0.56).lineTo(x+w*0.8, y+h*0.78), solid(tone.darker(0.3)), 0.85)
}

func (c *canvas) tableTop(top float64, wood rgb) {
	w, h := c.w, c.h
	c.backdrop(top, h, wood.lighter(0.18), wood.darker(0.1))
	c.fill(rect(0, top, w, top+3), solid(wood.lighter(0.5)), 0.7)
	grain := new(outline)
	for i := range 7 {
		gy := top + 14 + (h-top)*float64(i)/7
		grain.add(stroke(1.4, curve(pt{-10, gy}, pt{w * 0.3, gy - 6 + 3*float64(i%3)}, pt{w * 0.6, gy + 8}, pt{w + 10, gy - 2})...))
	}
	c.fill(grain, solid(wood.darker(0.35)), 0.25)
}

func (c *canvas) floor(top float64, wood rgb) {
	w, h := c.w, c.h
	c.backdrop(top, h, wood, wood.lighter(0.14))
	boards := new(outline)
	for i := -9; i <= 9; i++ {
		boards.add(bar(pt{w/2 + float64(i)*56, top}, pt{w/2 + float64(i)*104, h}, 1, 2))
	}
	c.fill(boards, solid(wood.darker(0.5)), 0.3)
	c.fill(rect(0, top-16, w, top), solid(paper), 0.9)
	c.fill(rect(0, top-2, w, top), solid(black), 0.2)
}

// planks is a floor seen from above.
func (c *canvas) planks(wood rgb) {
	c.backdrop(0, drawnHigh, wood.lighter(0.1), wood.darker(0.05))
	for i := range 8 {
		y := 60 * float64(i)
		c.fill(rect(0, y, 640, y+60), solid([]rgb{wood, wood.lighter(0.12), wood.darker(0.07)}[i%3]), 0.6)
		c.fill(rect(0, y, 640, y+1.6), solid(wood.darker(0.5)), 0.5)
		x := float64((i*233 + 120) % 640)
		c.fill(rect(x, y, x+1.6, y+60), solid(wood.darker(0.5)), 0.5)
	}
}

// mat is a cutting mat, which is what haberdashery lies on.
func (c *canvas) mat(tone rgb) {
	c.backdrop(0, drawnHigh, tone.lighter(0.06), tone.darker(0.06))
	fine, bold := new(outline), new(outline)
	for i := range 33 {
		p := fine
		if i%5 == 0 {
			p = bold
		}
		v := 20 * float64(i)
		p.add(rect(v, 0, v+1.2, 480))
		if v < 480 {
			p.add(rect(0, v, 640, v+1.2))
		}
	}
	c.fill(fine, solid(paper), 0.14)
	c.fill(bold, solid(paper), 0.34)
}

// cloth is a laid table seen from above.
func (c *canvas) cloth(tone rgb) {
	c.backdrop(0, drawnHigh, tone.lighter(0.12), tone.darker(0.05))
	threads := new(outline)
	for i := range 120 {
		threads.add(rect(0, 4*float64(i), 640, 4*float64(i)+1.2))
	}
	c.fill(threads, solid(tone.darker(0.3)), 0.13)
	c.fill(rect(44, 0, 52, 480).add(rect(60, 0, 63, 480)), solid(tone.darker(0.4)), 0.35)
}

func (it *item) drawAtHome(c *canvas) {
	k := it.look
	d := newDice(it.n, 'r')
	wall := pick(d, walls)
	wood := pick(d, []rgb{oakWood, {176, 132, 92}, {214, 184, 144}, darkWood.lighter(0.18)})
	draw := func(x, y, z float64) {
		c.at(x, y, it.category.zoom*z, func() { it.category.draw(c, k) })
	}
	side := 1.0
	if d.roll(2) == 0 {
		side = -1
	}
	switch it.setting {
	case onTable:
		c.backdrop(0, 340, wall.lighter(0.2), wall)
		c.sun(320-side*190, 50)
		c.tableTop(340, wood)
		switch d.roll(3) {
		case 0:
			c.plant(320+side*190, 372, 0.92, k.trim)
		case 1:
			c.books(320+side*190, 376, d)
		default:
			c.print(320+side*190-70, 60, 136, 176, k.trim)
			c.books(320+side*196, 374, d)
		}
		draw(320-side*70, 424, 0.84)
	case onFloor:
		c.backdrop(0, 330, wall.lighter(0.16), wall)
		c.floor(330, wood)
		c.print(320-side*200-60, 54, 120, 156, k.trim)
		c.fill(ellipse(320, 424, 270, 42), solid(mix(k.trim, paper, 0.45)), 1)
		c.fill(ellipse(320, 424, 250, 37).add(hole(320, 424, 240, 35)), solid(k.trim), 0.7)
		c.plant(320+side*226, 400, 1.08, mix(k.colour, paper, 0.3))
		draw(320-side*30, 428, 0.86)
	case onWall:
		c.backdrop(0, drawnHigh, wall.lighter(0.16), wall.darker(0.04))
		c.sun(320-side*240, 90)
		draw(320, 318, 0.72)
		c.tableTop(410, wood)
		c.books(320-side*180, 420, d)
		c.plant(320+side*200, 424, 0.74, k.trim)
	case fromCeiling:
		c.backdrop(0, 400, wall.lighter(0.1), wall.darker(0.06))
		c.tableTop(392, wood)
		c.glow(320, 414, 280, 40, warm.lighter(0.4), 0.6)
		draw(320, 318, 0.78)
		bowl := look{colour: k.trim, trim: paper, gloss: 0.3}
		c.at(320+side*30, 430, 0.8, func() { drawBowl(c, bowl) })
	default:
		switch it.category.key {
		case 'r':
			c.planks(wood)
			draw(320, 240+178*it.category.zoom*0.92, 0.92)
			return
		case 'p':
			c.cloth(mix(wall, paper, 0.4))
			fork := func(x float64, knife bool) {
				c.fill(stroke(9, pt{x + 4, 130}, pt{x + 4, 360}), solid(black), 0.14)
				c.fill(stroke(9, pt{x, 220}, pt{x, 356}), across(x-5, x+5, steel.lighter(0.5), steel.darker(0.2)), 1)
				if knife {
					blade := new(outline).moveTo(x-6, 226).lineTo(x-6, 128).curveTo(x-2, 112, x+14, 150, x+8, 226)
					c.fill(blade, across(x-6, x+10, steel.lighter(0.6), steel.darker(0.1)), 1)
					return
				}
				for _, o := range []float64{-9, -3, 3, 9} {
					c.fill(stroke(3, pt{x + o, 126}, pt{x + o, 180}), solid(steel.lighter(0.25)), 1)
				}
				c.fill(roundRect(x-11, 172, x+11, 224, 9), across(x-11, x+11, steel.lighter(0.5), steel.darker(0.1)), 1)
			}
			z := 0.82
			if it.kind.name == "Oval Platter" {
				z = 0.74
			}
			fork(92, false)
			fork(548, true)
			draw(320, 240+178*it.category.zoom*z, z)
			return
		default:
			c.mat(mix(rgb{70, 104, 96}, k.trim, 0.22))
			draw(320, 240+178*it.category.zoom*0.86, 0.86)
		}
	}
}

// drawSwatch draws a piece of the material on nothing: its ground is transparent.
func (m *material) drawSwatch(c *canvas) {
	shape := ellipse(320, 240, 216, 216)
	if m.texture == woven { // cut with pinking shears
		shape = new(outline).moveTo(100, 40)
		edge := func(x, y, dx, dy float64, teeth int) {
			const step = 20.0
			for i := range teeth {
				f := step * float64(i)
				shape.lineTo(x+dx*(f+step/2)-dy*9, y+dy*(f+step/2)+dx*9)
				shape.lineTo(x+dx*(f+step), y+dy*(f+step))
			}
		}
		edge(100, 40, 1, 0, 22)
		edge(540, 40, 0, 1, 20)
		edge(540, 440, -1, 0, 22)
		edge(100, 440, 0, -1, 20)
	}
	c.fill(shape, m.surface(), 1)
	if m.gloss > 0.3 {
		c.glow(250, 150, 130, 100, white, 0.4*m.gloss)
	}
}

// surface is the paint that shows a material's texture.
func (m *material) surface() paint {
	dark, light := m.rgb.darker(0.3), m.rgb.lighter(0.28)
	r := newRamp(func(t float64) rgb {
		if t < 0.5 {
			return mix(dark, m.rgb, 2*t)
		}
		return mix(m.rgb, light, 2*t-1)
	})
	noise := func(x, y int) float64 { return newDice(x&1023<<10|y&1023, 'w').unit() }
	var at func(x, y int) float64
	switch m.texture {
	case grained:
		at = func(x, y int) float64 {
			fx, fy := float64(x), float64(y)
			arch := fy + (fx-250)*(fx-250)/900 + 9*math.Sin(fx/83) // rings that were cut across
			ring := math.Sin(arch/11 + 1.5*math.Sin(arch/41))
			return 0.54 + 0.2*ring + 0.1*math.Sin(arch/2.3) + 0.16*(noise(x/22, y)-0.5)
		}
	case woven:
		at = func(x, y int) float64 {
			i, j := x/10, y/10
			u, v := float64(x%10)/10-0.5, float64(y%10)/10-0.5
			if (i+j)%2 == 0 {
				u, v = v, u
			}
			return 0.78 - 1.5*u*u - 0.5*v*v + 0.16*(noise(i, j)-0.5) + 0.1*(noise(x, y)-0.5)
		}
	case brushed:
		at = func(x, y int) float64 {
			return 0.5 + 0.26*math.Sin(float64(x+y)/120) + 0.22*(noise(0, y)-0.5) + 0.14*(noise(x/40, y)-0.5)
		}
	case veined:
		at = func(x, y int) float64 {
			fx, fy := float64(x), float64(y)
			w := math.Sin(fx/60+1.6*math.Sin(fy/75)) + math.Sin(fy/48+1.3*math.Sin(fx/92))
			return 0.5 + 0.2*w
		}
	default:
		at = func(x, y int) float64 {
			v := 0.62 + 0.16*math.Sin(float64(x)/150)*math.Sin(float64(y)/110)
			if noise(x/3, y/3) > 0.975 {
				v -= 0.5
			}
			return v
		}
	}
	return func(_ transform, x, y int, row []rgb) {
		for i := range row {
			row[i] = r.at(at(x+i, y))
		}
	}
}

// drawGuide draws a category's shapes in one tone, with the lines along which they are measured.
func (c *category) drawGuide(on *canvas) {
	on.backdrop(0, on.h, paper, paper)
	n := min(len(c.kinds), 3)
	step := drawnWide / float64(n)
	line := solid(inkTone)
	tone := mix(paper, inkTone, 0.42)
	half := step/2 - 26
	z := c.zoom * half / 250
	for i := range n {
		x := step * (float64(i) + 0.5)
		on.at(x, 320, z, func() { on.silhouette(tone, 1, func() { c.draw(on, look{shape: i, seed: 6}) }) })
		arrow := func(a, b pt) {
			on.fill(stroke(1.6, a, b), line, 1)
			angle := math.Atan2(b.y-a.y, b.x-a.x)
			for _, end := range []struct {
				p pt
				a float64
			}{{a, angle}, {b, angle + math.Pi}} {
				on.fill(polygon(end.p, pt{end.p.x + 11, end.p.y + 4}, pt{end.p.x + 11, end.p.y - 4}).turn(end.p.x, end.p.y, end.a), line, 1)
			}
		}
		arrow(pt{x - half, 372}, pt{x + half, 372})
		arrow(pt{x + half + 12, 320}, pt{x + half + 12, 160})
		ticks := new(outline)
		for t := -half; t <= half+0.1; t += half / 4 {
			ticks.add(rect(x+t-0.6, 384, x+t+0.6, 392))
		}
		on.fill(ticks, line, 0.8)
	}
}

// The shop's own pictures: three of something each, and all of it for the welcome.

var departmentDrawings = []func(*canvas){
	func(c *canvas) {
		wall := rgb{214, 218, 204}
		c.backdrop(0, 344, wall.lighter(0.2), wall)
		c.floor(344, rgb{196, 160, 120})
		c.at(480, 424, 0.98, func() { drawLamp(c, look{shape: 2, colour: shades[1].rgb, base: oak.rgb}) })
		c.at(236, 428, 0.92, func() { drawChair(c, look{shape: 1, colour: shades[7].rgb, trim: shades[5].rgb, base: walnut.rgb}) })
		c.print(96, 40, 104, 132, shades[3].rgb)
		c.plant(566, 418, 0.9, shades[3].rgb)
	},
	func(c *canvas) {
		wall := rgb{232, 214, 202}
		c.backdrop(0, 322, wall.lighter(0.2), wall)
		c.tableTop(322, rgb{188, 146, 104})
		c.at(208, 400, 1.12, func() {
			drawTeapot(c, look{colour: shades[10].rgb, trim: shades[0].rgb, base: oak.rgb, gloss: 0.4})
		})
		c.at(496, 392, 0.72, func() { drawBowl(c, look{shape: 3, colour: shades[3].rgb, trim: shades[0].rgb, gloss: 0.3}) })
		c.at(404, 442, 0.8, func() {
			drawMug(c, look{colour: shades[0].rgb, trim: shades[12].rgb, gloss: 0.4, pattern: dipped, seed: 1})
		})
	},
	func(c *canvas) {
		wall := rgb{226, 218, 226}
		c.backdrop(0, 310, wall.lighter(0.25), wall)
		c.tableTop(310, rgb{216, 188, 150})
		c.at(236, 388, 0.92, func() { drawThread(c, look{shape: 1, colour: shades[15].rgb, trim: shades[5].rgb, base: beech.rgb}) })
		c.at(490, 404, 0.86, func() { drawYarn(c, look{colour: shades[16].rgb, base: oak.rgb}) })
		c.button(110, 436, 22, corozo.rgb, 4, 0.4, 0.4)
		c.button(352, 446, 17, horn.rgb, 4, 0.1, 0.6)
		c.button(400, 430, 14, pearl.rgb, 2, 0.6, 0.9)
	},
}

func drawWelcome(c *canvas) {
	wall := rgb{206, 212, 196}
	c.backdrop(0, 560, wall.lighter(0.26), wall)
	c.fill(polygon(pt{60, 0}, pt{330, 0}, pt{170, 560}, pt{-100, 560}).add(polygon(pt{370, 0}, pt{520, 0}, pt{360, 560}, pt{210, 560})), solid(rgb{255, 248, 226}), 0.26)
	c.tableTop(560, rgb{190, 148, 106})
	c.at(560, 316, 0.66, func() { drawClock(c, look{colour: shades[13].rgb, trim: shades[3].rgb, base: oak.rgb, seed: 3}) })
	c.at(866, 606, 1.24, func() { drawLamp(c, look{colour: shades[1].rgb, base: shades[9].rgb, gloss: 0.4}) })
	c.at(214, 612, 1.16, func() {
		drawVase(c, look{shape: 1, colour: shades[3].rgb, trim: shades[0].rgb, gloss: 0.3, pattern: dipped, seed: 10})
	})
	c.at(430, 616, 0.98, func() {
		drawTeapot(c, look{colour: shades[0].rgb, trim: shades[12].rgb, base: oak.rgb, gloss: 0.6, pattern: plain})
	})
	c.at(1010, 664, 0.66, func() { drawYarn(c, look{shape: 2, colour: shades[16].rgb, trim: shades[5].rgb, base: oak.rgb}) })
	c.at(640, 668, 0.74, func() {
		drawMug(c, look{colour: shades[12].rgb, trim: shades[0].rgb, gloss: 0.4, pattern: speckled, seed: 4})
	})
	c.spool(318, 706, 0.44, shades[15].rgb, beech.rgb)
	c.spool(112, 690, 0.5, shades[5].rgb, beech.rgb)
	c.button(470, 708, 20, corozo.rgb, 4, 0.5, 0.5)
	c.button(520, 722, 15, horn.rgb, 2, 0.1, 0.6)
	c.button(780, 716, 17, pearl.rgb, 4, 0.2, 0.9)
}
