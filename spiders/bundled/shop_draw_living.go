package bundled

import "math"

func drawVase(c *canvas, k look) {
	var l *lathe
	switch k.shape {
	case 0: // bud vase
		l = turned(0, 0.2, pt{17, -215}, pt{13, -192}, pt{15, -165}, pt{54, -112}, pt{66, -62}, pt{52, -14}, pt{44, 0})
	case 1: // bottle
		l = turned(0, 0.2, pt{23, -285}, pt{16, -268}, pt{18, -190}, pt{64, -132}, pt{74, -84}, pt{66, -18}, pt{60, 0})
	case 2: // round
		l = turned(0, 0.2, pt{44, -200}, pt{37, -184}, pt{92, -128}, pt{106, -84}, pt{74, -14}, pt{60, 0})
	case 3: // tall
		l = turned(0, 0.2, pt{52, -310}, pt{43, -286}, pt{62, -206}, pt{66, -130}, pt{50, -34}, pt{48, 0})
	default: // jug
		l = turned(0, 0.2, pt{50, -245}, pt{41, -218}, pt{60, -150}, pt{80, -86}, pt{70, -16}, pt{60, 0})
	}
	c.shadow(0, 0, l.radius(-40)*0.95)
	if k.shape == 4 {
		handle := curve(pt{40, -216}, pt{128, -236}, pt{122, -126}, pt{72, -104})
		c.fill(stroke(17, handle...), across(60, 118, k.colour, k.colour.darker(0.35)), 1)
		c.fill(stroke(4, handle[4:20]...), solid(k.colour.lighter(0.45)), 0.45)
	}
	stems := k.shape != 4 && k.seed%5 < 3
	c.vessel(l, k, k.gloss, 5, k.colour, func() {
		if !stems {
			return
		}
		y := l.top + 4
		switch k.seed % 3 {
		case 0:
			c.twig(pt{0, y + 20}, pt{-34, y - 130}, -26, leafy, 30)
			c.twig(pt{0, y + 20}, pt{42, y - 96}, 20, leafy.darker(0.12), 26)
		case 1:
			c.twig(pt{0, y + 20}, pt{16, y - 140}, -18, rgb{150, 140, 108}, 26)
		default:
			for i, x := range []float64{-40, -8, 30} {
				tip := pt{x, y - 92 - 22*float64(i%2)}
				c.fill(stroke(2.2, curve(pt{x * 0.1, y + 18}, pt{x * 0.2, y - 40}, pt{x, y - 50}, tip)...), solid(rgb{138, 128, 92}), 1)
				c.fill(ellipse(tip.x, tip.y-4, 15, 13), across(tip.x-15, tip.x+15, k.trim.lighter(0.3), k.trim.darker(0.2)), 1)
				c.fill(ellipse(tip.x-3, tip.y-7, 6, 5), solid(k.trim.lighter(0.55)), 0.7)
			}
		}
	})
}

func drawLamp(c *canvas, k look) {
	shade := func(l *lathe) {
		c.fill(l.opening(l.top, 0), solid(k.colour.darker(0.25)), 1)
		c.fill(l.opening(l.top, 5), solid(warm.lighter(0.3)), 1)
		c.fill(l.band(l.top, l.bottom), l.shaded(k.colour, 0), 1)
		c.fill(l.band(l.top+8, l.bottom-6), down(l.top, l.bottom, warm, k.colour), 0.36)
		mid := (l.top + l.bottom) / 2
		c.glow(l.x, mid+14, l.radius(mid)*0.82, (l.bottom-l.top)*0.55, warm.lighter(0.4), 0.5)
		c.fill(l.band(l.top, l.top+5), solid(k.colour.darker(0.2)), 0.7)
		c.fill(l.band(l.bottom-5, l.bottom), solid(k.colour.darker(0.25)), 0.7)
	}
	switch k.shape {
	case 0: // table lamp
		c.glow(0, -220, 300, 230, warm.lighter(0.2), 0.5)
		var foot *lathe
		switch k.seed % 3 {
		case 0:
			foot = turned(0, 0.18, pt{10, -172}, pt{12, -160}, pt{56, -104}, pt{62, -64}, pt{40, -12}, pt{36, 0})
		case 1:
			foot = turned(0, 0.18, pt{8, -172}, pt{24, -142}, pt{12, -112}, pt{36, -76}, pt{16, -42}, pt{50, -12}, pt{56, 0})
		default:
			foot = turned(0, 0.18, pt{14, -172}, pt{40, -150}, pt{48, -90}, pt{50, -16}, pt{48, 0})
		}
		c.shadow(0, 0, foot.radius(-4)*1.2)
		c.fill(stroke(9, pt{0, -205}, pt{0, -165}), across(-5, 5, k.base.lighter(0.3), k.base.darker(0.4)), 1)
		c.fill(foot.body(), foot.shaded(k.base, k.gloss), 1)
		shade(straight(0, 0.10, -330, 70, -192, 112))
	case 1: // desk lamp
		c.glow(130, -60, 190, 120, warm.lighter(0.2), 0.55)
		c.shadow(-60, 0, 66)
		disc := straight(-60, 0.2, -15, 62, 0, 64)
		c.fill(disc.band(-15, 0), disc.shaded(k.base, k.gloss), 1)
		c.fill(disc.opening(-15, 0), across(-122, 2, k.base.lighter(0.35), k.base.darker(0.1)), 1)
		arm := func(a, b pt) {
			c.fill(stroke(9, a, b), across(a.x-8, a.x+40, k.base.lighter(0.25), k.base.darker(0.3)), 1)
		}
		arm(pt{-60, -14}, pt{-96, -176})
		arm(pt{-96, -176}, pt{44, -284})
		for _, p := range []pt{{-96, -176}, {44, -284}} {
			c.fill(ellipse(p.x, p.y, 12, 12), across(p.x-12, p.x+12, k.base.lighter(0.4), k.base.darker(0.4)), 1)
		}
		head := polygon(pt{28, -300}, pt{62, -300}, pt{112, -208}, pt{-22, -208}).turn(44, -284, -0.52)
		c.fill(head, across(40, 150, k.colour.lighter(0.32), k.colour.darker(0.4)), 1)
		c.fill(ellipse(45, -208, 67, 17).turn(44, -284, -0.52), solid(k.colour.darker(0.35)), 1)
		c.fill(ellipse(45, -206, 58, 13).turn(44, -284, -0.52), solid(warm.lighter(0.35)), 1)
		c.fill(ellipse(45, -304, 19, 12).turn(44, -284, -0.52), across(40, 66, k.colour.lighter(0.1), k.colour.darker(0.35)), 1)
	case 2: // floor lamp
		c.glow(0, -300, 260, 170, warm.lighter(0.2), 0.5)
		c.shadow(0, 0, 70)
		if k.seed%2 == 0 {
			for _, x := range []float64{-74, 78, 16} {
				c.fill(bar(pt{x * 0.06, -262}, pt{x, 2 - math.Abs(x)*0.12}, 9, 6), across(x-10, x+10, k.base.lighter(0.2), k.base.darker(0.3)), 1)
			}
			c.fill(ellipse(0, -258, 13, 9), solid(k.base.darker(0.2)), 1)
		} else {
			disc := straight(0, 0.2, -9, 58, 0, 60)
			c.fill(disc.band(-9, 0), disc.shaded(k.base, k.gloss), 1)
			c.fill(disc.opening(-9, 0), across(-60, 60, k.base.lighter(0.3), k.base.darker(0.1)), 1)
			c.fill(stroke(8, pt{0, -12}, pt{0, -270}), across(-4, 5, k.base.lighter(0.35), k.base.darker(0.4)), 1)
		}
		shade(straight(0, 0.06, -362, 58, -250, 92))
	default: // pendant light
		c.glow(0, -120, 240, 190, warm.lighter(0.25), 0.6)
		c.fill(stroke(4, pt{0, -520}, pt{0, -268}), solid(k.base.darker(0.3)), 1)
		socket := straight(0, 0.12, -292, 13, -258, 17)
		c.fill(socket.body(), socket.shaded(k.base, k.gloss), 1)
		var dome *lathe
		switch k.seed % 3 {
		case 0:
			dome = turned(0, 0.12, pt{20, -262}, pt{84, -232}, pt{128, -176}, pt{140, -128})
		case 1:
			dome = turned(0, 0.12, pt{20, -262}, pt{34, -226}, pt{88, -172}, pt{150, -140})
		default:
			dome = turned(0, 0.12, pt{24, -262}, pt{92, -228}, pt{110, -176}, pt{78, -124})
		}
		r := dome.radius(dome.bottom)
		c.fill(dome.body(), dome.shaded(k.colour, k.gloss), 1)
		c.fill(ellipse(0, dome.bottom, r, r*0.12), solid(k.colour.darker(0.3)), 1)
		c.fill(ellipse(0, dome.bottom+1, r-7, (r-7)*0.12), solid(warm.lighter(0.45)), 1)
		c.glow(0, dome.bottom+16, r*0.5, 34, white, 0.75)
	}
}

func drawChair(c *canvas, k look) {
	wood := k.base
	leg := func(a, b pt, w float64) {
		c.fill(bar(a, b, w, w*0.66), across(min(a.x, b.x)-w/2, max(a.x, b.x)+w/2, wood.lighter(0.16), wood.darker(0.28)), 1)
	}
	cushion := func(p *outline, y0, y1 float64) {
		c.fill(p, down(y0, y1, k.colour.lighter(0.22), k.colour.darker(0.18)), 1)
	}
	switch k.shape {
	case 0: // dining chair
		c.legShadow(104)
		leg(pt{-66, -150}, pt{-74, -22}, 13)
		leg(pt{80, -150}, pt{90, -22}, 13)
		back := wood.darker(0.06)
		if k.seed%2 == 0 {
			for i := range 5 {
				x := -44 + 24*float64(i)
				c.fill(bar(pt{x * 1.08, -316}, pt{x, -160}, 6, 7), across(x-4, x+5, back.lighter(0.15), back.darker(0.25)), 1)
			}
		} else {
			for _, y := range []float64{-276, -222} {
				c.fill(roundRect(-68, y-15, 78, y+13, 9), down(y-15, y+13, back.lighter(0.16), back.darker(0.18)), 1)
			}
		}
		leg(pt{-74, -338}, pt{-62, -140}, 14)
		leg(pt{82, -338}, pt{74, -140}, 14)
		rail := new(outline).moveTo(-84, -330).curveTo(-40, -356, 50, -356, 92, -330).lineTo(90, -298).curveTo(50, -318, -40, -318, -80, -298)
		c.fill(rail, down(-352, -298, wood.lighter(0.22), wood.darker(0.16)), 1)
		leg(pt{-90, -120}, pt{-104, 4}, 17)
		leg(pt{106, -120}, pt{120, 4}, 17)
		seat := new(outline).moveTo(-76, -168).lineTo(88, -168).curveTo(104, -166, 124, -128, 122, -118).
			lineTo(122, -106).curveTo(110, -100, -100, -100, -108, -106).lineTo(-108, -118).curveTo(-110, -128, -94, -166, -76, -168)
		c.fill(seat, down(-168, -100, wood.lighter(0.2), wood.darker(0.2)), 1)
		pad := new(outline).moveTo(-70, -172).lineTo(82, -172).curveTo(98, -170, 112, -134, 110, -126).
			curveTo(90, -116, -78, -116, -98, -126).curveTo(-98, -134, -86, -170, -70, -172)
		cushion(pad, -174, -116)
	case 1: // armchair
		c.legShadow(140)
		leg(pt{-92, -60}, pt{-112, 4}, 15)
		leg(pt{92, -60}, pt{112, 4}, 15)
		cushion(roundRect(-104, -312, 104, -80, 46), -312, -60)
		for _, x := range []float64{-35, 35} {
			c.fill(stroke(2, curve(pt{x, -300}, pt{x * 0.94, -250}, pt{x * 0.94, -210}, pt{x, -170})...), solid(k.colour.darker(0.3)), 0.35)
		}
		cushion(roundRect(-96, -170, 96, -104, 26), -172, -100)
		cushion(roundRect(-110, -122, 110, -48, 20), -140, -44)
		for _, side := range []float64{-1, 1} {
			arm := roundRect(92, -200, 146, -46, 26)
			p := across(92, 146, k.colour.lighter(0.06), k.colour.darker(0.3))
			if side < 0 {
				arm.flip(0)
				p = across(-146, -92, k.colour.lighter(0.3), k.colour.darker(0.02))
			}
			c.fill(arm, p, 1)
		}
		c.fill(stroke(2, pt{-88, -112}, pt{88, -112}), solid(k.colour.darker(0.4)), 0.4)
		throw := roundRect(34, -232, 92, -150, 12).turn(60, -190, 0.24)
		c.fill(throw, down(-232, -150, k.trim.lighter(0.15), k.trim.darker(0.14)), 1)
	case 2: // stool
		c.legShadow(92)
		leg(pt{-30, -212}, pt{-52, -20}, 12)
		leg(pt{34, -212}, pt{58, -20}, 12)
		ring := round(0, -84, 72, 15, math.Pi, 2*math.Pi)
		c.fill(stroke(7, ring...), solid(wood.darker(0.25)), 1)
		leg(pt{-62, -204}, pt{-92, 4}, 15)
		leg(pt{64, -204}, pt{96, 4}, 15)
		c.fill(stroke(8, round(0, -84, 80, 17, 0, math.Pi)...), across(-80, 80, wood.lighter(0.2), wood.darker(0.2)), 1)
		seat := turned(0, 0.24, pt{90, -236}, pt{97, -226}, pt{94, -208}, pt{82, -200})
		c.fill(seat.body(), seat.shaded(wood, 0.1), 1)
		if k.seed%2 == 0 {
			pad := turned(0, 0.24, pt{80, -252}, pt{91, -244}, pt{88, -232})
			c.fill(pad.body(), pad.shaded(k.colour, 0), 1)
			c.fill(pad.opening(-252, 0), across(-90, 90, k.colour.lighter(0.3), k.colour), 1)
		} else {
			c.fill(seat.opening(-236, 0), across(-90, 90, wood.lighter(0.34), wood.lighter(0.04)), 1)
			c.fill(seat.opening(-235, 16), across(-90, 90, wood.darker(0.04), wood.lighter(0.24)), 0.5)
		}
	default: // bench
		c.legShadow(170)
		for _, x := range []float64{-150, 156} {
			leg(pt{x, -116}, pt{x * 1.05, -16}, 14)
		}
		top := polygon(pt{-182, -160}, pt{188, -160}, pt{212, -118}, pt{-206, -118})
		c.fill(top, down(-160, -118, wood.lighter(0.26), wood.lighter(0.06)), 1)
		c.fill(rect(-206, -118, 212, -100), down(-118, -100, wood.darker(0.08), wood.darker(0.26)), 1)
		for _, x := range []float64{-180, 186} {
			leg(pt{x, -102}, pt{x * 1.05, 4}, 18)
		}
		pad := new(outline).moveTo(-160, -178).curveTo(-60, -184, 70, -184, 168, -178).curveTo(184, -174, 196, -140, 184, -134).
			curveTo(80, -124, -80, -124, -178, -134).curveTo(-190, -140, -178, -174, -160, -178)
		cushion(pad, -184, -124)
		for _, x := range []float64{-60, 64} {
			c.fill(stroke(2, curve(pt{x * 0.9, -180}, pt{x, -165}, pt{x, -145}, pt{x * 1.06, -129})...), solid(k.colour.darker(0.35)), 0.4)
		}
	}
}

// clockFace draws a dial with hands at about ten past ten, as clocks are always shown.
func (c *canvas) clockFace(cx, cy, r float64, dial, ink, hand rgb, seed int) {
	c.fill(ellipse(cx, cy, r, r), across(cx-r, cx+r, dial.lighter(0.3), dial.darker(0.05)), 1)
	marks := new(outline)
	for i := range 12 {
		a := float64(i) * math.Pi / 6
		w, l := 3.2, 0.13
		if i%3 == 0 {
			w, l = 5.5, 0.18
		} else if seed%3 == 1 {
			continue
		}
		if seed%3 == 2 {
			marks.add(ellipse(cx, cy-r*0.85, w*0.9, w*0.9).turn(cx, cy, a))
			continue
		}
		marks.add(rect(cx-w/2, cy-r*0.93, cx+w/2, cy-r*(0.93-l)).turn(cx, cy, a))
	}
	c.fill(marks, solid(ink), 1)
	minutes := 8 + float64(seed%5)
	hour := (10 + minutes/60) * math.Pi / 6
	c.fill(bar(pt{cx + 2, cy + r*0.16 + 3}, pt{cx + 2, cy - r*0.5 + 3}, 9, 6).turn(cx, cy, hour), solid(black), 0.14)
	c.fill(bar(pt{cx, cy + r*0.16}, pt{cx, cy - r*0.5}, 9, 6).turn(cx, cy, hour), solid(ink), 1)
	c.fill(bar(pt{cx, cy + r*0.18}, pt{cx, cy - r*0.76}, 7, 4).turn(cx, cy, minutes*math.Pi/30), solid(ink), 1)
	c.fill(bar(pt{cx, cy + r*0.24}, pt{cx, cy - r*0.82}, 2.6, 2.2).turn(cx, cy, 2.1), solid(hand), 1)
	c.fill(ellipse(cx, cy, 7, 7), solid(hand), 1)
}

func drawClock(c *canvas, k look) {
	ink := k.colour.darker(0.55)
	dial := mix(cream, k.colour, 0.06)
	if k.pattern == dipped {
		dial, ink = k.colour, cream
	}
	frame := func(r0, r1, cy float64) {
		c.fill(ellipse(0, cy, r0, r0), across(-r0, r0, k.base.lighter(0.34), k.base.darker(0.38)), 1)
		c.fill(ellipse(0, cy, r1+3, r1+3), across(-r1, r1, k.base.darker(0.4), k.base.lighter(0.25)), 1)
	}
	switch k.shape {
	case 0: // round wall clock
		c.glow(16, -176, 190, 190, black, 0.42)
		frame(156, 136, -196)
		c.clockFace(0, -196, 136, dial, ink, k.trim, k.seed)
	case 1: // mantel clock
		c.shadow(0, 0, 150)
		arch := new(outline).moveTo(-142, -20).lineTo(-142, -150).curveTo(-142, -330, 142, -330, 142, -150).lineTo(142, -20)
		c.fill(arch, across(-142, 142, k.base.lighter(0.3), k.base.darker(0.32)), 1)
		inner := new(outline).moveTo(-126, -34).lineTo(-126, -150).curveTo(-126, -308, 126, -308, 126, -150).lineTo(126, -34)
		c.fill(inner, across(-126, 126, k.base.lighter(0.06), k.base.darker(0.12)), 1)
		c.fill(roundRect(-160, -26, 160, 4, 6), down(-26, 4, k.base.lighter(0.16), k.base.darker(0.34)), 1)
		c.at(0, -156, 1, func() { frame(104, 92, 0); c.clockFace(0, 0, 92, dial, ink, k.trim, k.seed) })
	case 2: // square wall clock
		c.fill(roundRect(-132, -318, 164, -22, 30), solid(black), 0.10)
		c.glow(14, -166, 220, 220, black, 0.34)
		c.fill(roundRect(-148, -340, 148, -44, 30), across(-148, 148, k.base.lighter(0.3), k.base.darker(0.3)), 1)
		c.fill(roundRect(-134, -326, 134, -58, 22), across(-134, 134, k.base.darker(0.3), k.base.lighter(0.12)), 1)
		c.fill(roundRect(-130, -322, 130, -62, 20), across(-130, 130, dial.lighter(0.3), dial.darker(0.05)), 1)
		c.clockFace(0, -192, 122, dial, ink, k.trim, k.seed)
	default: // alarm clock
		c.shadow(0, 0, 96)
		for _, s := range []float64{-1, 1} {
			c.fill(bar(pt{s * 70, -60}, pt{s * 104, 2}, 18, 12), across(s*88-20, s*88+20, k.base.lighter(0.3), k.base.darker(0.3)), 1)
			bell := new(outline).moveTo(-46, 0).curveTo(-44, -58, 44, -58, 46, 0).turn(0, 0, s*0.62)
			c.at(s*78, -258, 1, func() {
				c.fill(bar(pt{0, 10}, pt{-s * 14, 40}, 9, 9), solid(k.base.darker(0.3)), 1)
				c.fill(bell, across(-46, 46, k.base.lighter(0.45), k.base.darker(0.3)), 1)
			})
		}
		c.fill(stroke(8, round(0, -262, 34, 40, math.Pi, 2*math.Pi)...), solid(k.base.darker(0.15)), 1)
		c.fill(ellipse(0, -140, 132, 132), across(-132, 132, k.colour.lighter(0.28), k.colour.darker(0.36)), 1)
		c.fill(ellipse(0, -140, 111, 111), across(-110, 110, k.base.darker(0.3), k.base.lighter(0.3)), 1)
		c.clockFace(0, -140, 104, mix(cream, k.colour, 0.05), k.colour.darker(0.6), k.trim, k.seed)
	}
}

func drawRug(c *canvas, k look) {
	const w, h = 196.0, 132.0
	c.at(0, -180, 1, func() {
		if k.shape == 2 { // round rug
			c.glow(10, 12, 190, 190, black, 0.3)
			tones := []rgb{k.colour, k.trim, mix(k.colour, cream, 0.5), k.colour.darker(0.12), cream}
			fringe := new(outline)
			for i := range 72 {
				fringe.add(rect(-1.5, -168, 1.5, -148).turn(0, 0, float64(i)*math.Pi/36))
			}
			c.fill(fringe, solid(cream.darker(0.24)), 1)
			for i, r := 0, 156.0; r > 8; i, r = i+1, r-19 {
				tone := tones[(i+k.seed)%len(tones)]
				c.fill(ellipse(0, 0, r, r), solid(tone), 1)
				c.fill(ellipse(0, 0, r, r).add(hole(0, 0, r-2, r-2)), solid(tone.darker(0.3)), 0.5)
			}
			return
		}
		c.fill(rect(-w+2, -h+4, w+5, h+7), solid(black), 0.2)
		c.glow(10, 14, w*1.5, h*1.5, black, 0.22)
		fringe := new(outline)
		for y := -h + 3; y < h; y += 7.3 {
			fringe.add(stroke(2.6, pt{-w, y}, pt{-w - 20, y + 1.5})).add(stroke(2.6, pt{w, y}, pt{w + 20, y - 1}))
		}
		c.fill(fringe, solid(cream.darker(0.26)), 1)
		ground := k.colour
		c.fill(rect(-w, -h, w, h), across(-w, w, ground.lighter(0.08), ground.darker(0.08)), 1)
		light := mix(ground, cream, 0.72)
		switch k.shape {
		case 0: // stripes
			p, q := new(outline), new(outline)
			step := []float64{44, 56, 38}[k.seed%3]
			for x := -w + step/2; x < w-4; x += step {
				p.add(rect(x, -h, min(x+step*0.42, w), h))
				q.add(rect(x-6, -h, x-2, h)).add(rect(min(x+step*0.42+2, w-4), -h, min(x+step*0.42+6, w), h))
			}
			c.fill(p, solid(light), 1)
			c.fill(q, solid(k.trim), 1)
		case 1: // diamonds
			p, q := new(outline), new(outline)
			for row := range 3 {
				for col := range 5 {
					x, y := -w+39.2+78.4*float64(col), -h+44+88*float64(row)
					p.add(polygon(pt{x, y - 40}, pt{x + 36, y}, pt{x, y + 40}, pt{x - 36, y}))
					q.add(polygon(pt{x, y - 18}, pt{x + 16, y}, pt{x, y + 18}, pt{x - 16, y}))
				}
			}
			c.fill(p, solid(light), 1)
			c.fill(q, solid(k.trim), 1)
		default: // checks
			p, q := new(outline), new(outline)
			const n, m = 9, 6
			for i := range n {
				for j := range m {
					x, y := -w+2*w/n*float64(i), -h+2*h/m*float64(j)
					if (i+j)%2 == 0 {
						p.add(rect(x, y, x+2*w/n, y+2*h/m))
					} else if (i*7+j*5+k.seed)%4 == 0 {
						q.add(rect(x, y, x+2*w/n, y+2*h/m))
					}
				}
			}
			c.fill(p, solid(light), 1)
			c.fill(q, solid(k.trim), 0.9)
		}
		c.fill(rect(-w, -h, w, h).add(new(outline).moveTo(-w+9, -h+9).lineTo(-w+9, h-9).lineTo(w-9, h-9).lineTo(w-9, -h+9).lineTo(-w+9, -h+9)),
			solid(k.trim.darker(0.1)), 0.85)
		weave := new(outline)
		for y := -h + 2; y < h; y += 5 {
			weave.add(rect(-w, y, w, y+1.4))
		}
		c.fill(weave, solid(black), 0.07)
	})
}
