package bundled

// The tables that products are put together from. A product's number chooses from them; nothing here is ever written to.

// shade is a colour with its name.
type shade struct {
	name string
	rgb  rgb
}

var shades = []shade{
	{"Chalk", rgb{238, 233, 223}}, {"Oat", rgb{222, 205, 178}}, {"Clay", rgb{203, 154, 126}}, {"Terracotta", rgb{188, 102, 68}},
	{"Rust", rgb{156, 78, 48}}, {"Mustard", rgb{204, 156, 58}}, {"Saffron", rgb{227, 167, 70}}, {"Sage", rgb{158, 172, 142}},
	{"Moss", rgb{112, 122, 84}}, {"Forest", rgb{66, 94, 76}}, {"Teal", rgb{62, 116, 120}}, {"Sea Glass", rgb{168, 196, 186}},
	{"Sky", rgb{158, 186, 204}}, {"Ink", rgb{50, 64, 88}}, {"Indigo", rgb{66, 80, 130}}, {"Plum", rgb{112, 70, 92}},
	{"Rose", rgb{200, 142, 142}}, {"Blush", rgb{226, 190, 176}}, {"Charcoal", rgb{74, 74, 78}},
}

// texture is how a material looks from near by.
type texture int

const (
	glazed texture = iota
	grained
	woven
	brushed
	veined
)

// material is what a product is made of.
type material struct {
	name    string
	slug    string
	rgb     rgb
	texture texture
	gloss   float64
	care    string
	making  []string
}

var (
	stoneware = material{"Stoneware", "stoneware", rgb{206, 190, 168}, glazed, 0.35, "Dishwasher safe", []string{
		"The stoneware is thrown by hand and fired twice, so no two glazes settle in quite the same way.",
		"Fired at 1,240 °C, the stoneware is dense, heavy in the hand and hard to chip.",
		"A reactive glaze pools at the foot, which leaves a fine unglazed ring where it stood in the kiln.",
	}}
	porcelain = material{"Porcelain", "porcelain", rgb{240, 238, 232}, glazed, 0.8, "Dishwasher and microwave safe", []string{
		"The porcelain is cast thin enough to let a little light through at the rim.",
		"A clear glaze over coloured porcelain gives a depth that paint cannot.",
		"Pressed, trimmed and glazed by hand in a workshop of eleven people.",
	}}
	earthenware = material{"Earthenware", "earthenware", rgb{192, 120, 84}, glazed, 0.2, "Wash by hand", []string{
		"Red earthenware under a soft matt glaze keeps its warmth, to the eye and to the touch.",
		"The earthenware comes from clay that is dug within sight of the pottery.",
	}}
	glass = material{"Glass", "glass", rgb{190, 210, 206}, veined, 1, "Wash by hand", []string{
		"Mouth-blown from recycled glass; look closely and you will find a bubble or two.",
		"The coloured glass is blown in a beechwood mould that lasts for about four hundred pieces.",
	}}
	oak = material{"Oak", "oak", rgb{204, 166, 116}, grained, 0.15, "Wipe dry, oil once a year", []string{
		"The oak is air-dried for two years before it is cut, then finished with hard wax oil.",
		"Solid oak, joined without screws, will darken to honey over its first summers.",
	}}
	walnut = material{"Walnut", "walnut", rgb{118, 82, 58}, grained, 0.2, "Wipe dry, oil once a year", []string{
		"Walnut from orchards that are past bearing, with a grain that is different on every piece.",
		"The walnut is turned, sanded to 400 grit and oiled three times.",
	}}
	ash = material{"Ash", "ash", rgb{224, 203, 168}, grained, 0.15, "Wipe with a dry cloth", []string{
		"Ash bends well under steam, so each curve is a single piece of wood.",
		"Pale ash with a soap finish, which keeps it from yellowing.",
	}}
	beech = material{"Beech", "beech", rgb{218, 184, 140}, grained, 0.15, "Wipe with a dry cloth", []string{
		"The beech is certified, turned close to where it grew and finished with plain wax.",
		"Close-grained beech takes an edge that splinters would spoil.",
	}}
	brass = material{"Brass", "brass", rgb{200, 162, 84}, brushed, 0.9, "Polish with a soft cloth", []string{
		"The brass is left without lacquer: it will grow darker with you, or shine again in a minute with polish.",
		"Spun from a single sheet of brass and brushed by hand.",
	}}
	blackSteel = material{"Blackened Steel", "blackened-steel", rgb{78, 78, 80}, brushed, 0.5, "Wipe with a dry cloth", []string{
		"The steel is blackened in an oil bath, not painted, so there is nothing to flake.",
		"Folded, welded and finished in one small metal shop.",
	}}
	steelMaterial = material{"Stainless Steel", "stainless-steel", steel, brushed, 0.8, "Wipe dry after use", []string{
		"Drop-forged, hardened to 56 HRC and ground on a wet stone.",
		"Each pair is set and tested by one person, who signs the box.",
	}}
	enamel = material{"Enamel on Steel", "enamel", rgb{232, 230, 222}, glazed, 0.9, "Dishwasher safe", []string{
		"Two coats of enamel are fired onto steel; should one chip, it has merely been somewhere.",
		"Light enough to pack, hard enough to be dropped by a campfire.",
	}}
	wool = material{"Wool", "wool", rgb{214, 200, 178}, woven, 0, "Wash cool, dry flat", []string{
		"The wool is spun and dyed in one mill, in lots small enough to be numbered.",
		"Undyed fleece is blended before it is spun, which gives the colour its depth.",
	}}
	alpaca = material{"Alpaca", "alpaca", rgb{196, 172, 146}, woven, 0, "Wash by hand, dry flat", []string{
		"Baby alpaca is lighter than wool and warmer, and it does not itch.",
		"Spun loosely, so that it blooms when it is washed for the first time.",
	}}
	cotton = material{"Cotton", "cotton", rgb{232, 226, 214}, woven, 0, "Wash at 40 °C", []string{
		"Organic cotton, combed for evenness and dyed without heavy metals.",
		"The long staple of the cotton is what makes it strong for its weight.",
	}}
	linen = material{"Linen", "linen", rgb{214, 200, 172}, woven, 0, "Wash at 40 °C, iron damp", []string{
		"European flax, retted in the field and wet-spun to a smooth, round thread.",
		"Linen is stiff for a week and soft for thirty years.",
	}}
	silk = material{"Silk", "silk", rgb{232, 216, 196}, woven, 0.2, "Wash by hand", []string{
		"Filament silk that sinks into cloth and leaves a stitch without a shadow.",
		"Reeled, twisted and dyed in a town that has done little else since 1780.",
	}}
	jute = material{"Jute", "jute", rgb{196, 166, 120}, woven, 0, "Vacuum, keep dry", []string{
		"Plaited jute is sewn by hand into one flat, quiet surface.",
		"Jute asks for little: no dye, no backing, now and then a shake.",
	}}
	horn = material{"Horn", "horn", rgb{128, 92, 66}, veined, 0.7, "Wash by hand", []string{
		"Horn is a by-product; every piece has its own streaks.",
		"Sawn, turned and polished, the horn is warm to the touch at once.",
	}}
	corozo = material{"Corozo", "corozo", rgb{206, 178, 140}, veined, 0.4, "Wash at 40 °C", []string{
		"Corozo is a palm nut as hard as ivory, which takes dye in a fine, uneven grain.",
		"Cut from corozo nuts that are gathered from the forest floor.",
	}}
	pearl = material{"Mother of Pearl", "mother-of-pearl", rgb{228, 222, 216}, veined, 1, "Wash at 30 °C, in a bag", []string{
		"Cut from river shell: cool, heavy, and never the same colour from two sides.",
		"The back of each is left as it grew, the face is polished.",
	}}
)

// materials is every material that has a swatch.
var materials = []*material{
	&stoneware, &porcelain, &earthenware, &glass, &oak, &walnut, &ash, &beech, &brass, &blackSteel, &steelMaterial,
	&enamel, &wool, &alpaca, &cotton, &linen, &silk, &jute, &horn, &corozo, &pearl,
}

// measure is a row of the specification table whose value lies in a range.
type measure struct {
	name   string
	lo, hi int
	unit   string
}

// fact is a row of the specification table whose value is one of a few.
type fact struct {
	name   string
	values []string
}

// kind is one of the things that a category sells.
type kind struct {
	name     string // in titles
	suffix   string // at a title's end
	noun     string // in sentences, singular
	lo, hi   int    // price in euros
	measures []measure
	from     []*material // instead of the category's
}

// category is one listing of the shop.
type category struct {
	key        byte // in rota
	slug, name string
	intro      string
	settings   []setting // one for each kind
	zoom       float64   // how large its drawings are in a picture of its own
	byMaterial bool      // titles name the material, not the colour
	materials  []*material
	kinds      []kind // the index is the drawing's shape
	facts      []fact
	openings   []string
	closings   []string
	draw       func(*canvas, look)
}

// department is one of the shop's three floors.
type department struct {
	slug, name string
	line       string
	categories []*category
}

// models are the names that makers give to their things.
var models = []string{
	"Alder", "Anneke", "Arbor", "Aske", "Bea", "Birk", "Blythe", "Briar", "Calla", "Corrie", "Dale", "Della", "Edda", "Elmer", "Esker", "Fenn",
	"Fern", "Finch", "Fjord", "Flora", "Garnet", "Gilda", "Greta", "Hale", "Harlow", "Hazel", "Hollin", "Idris", "Ines", "Isla", "Juno", "Kestrel",
	"Kit", "Lark", "Linnet", "Lowe", "Mabel", "Marlow", "Merle", "Minna", "Nell", "Nora", "Oda", "Orla", "Otto", "Pell", "Perrin", "Posy",
	"Quill", "Rhea", "Robin", "Rowan", "Runa", "Sable", "Selma", "Sorrel", "Tamsin", "Teasel", "Thea", "Vale", "Wilder", "Willa", "Wren", "Zoë",
}

var countries = []string{"Portugal", "Denmark", "Poland", "Lithuania", "Italy", "Scotland", "Wales", "Japan", "Sweden", "France"}

// rota says which category each product belongs to: product n has the n-th letter, over and over. The first thirteen are all different, so that
// a small shop has something everywhere; some letters come more often, so that some listings are longer than others.
const rota = "lmvhcbkurptys" + "mlvmhmblmcvumkmlvrmhmblvcmptmukmlvrhy"

// The closings that suit anything.
var closings = []string{
	"It arrives wrapped in paper, without a scrap of plastic.",
	"Made in small batches; when these are gone, the next firing is about six weeks away.",
	"It makes a present that nobody has to pretend to like.",
	"Should it ever break, write to us: we repair what we sell.",
	"One of the few things in our own homes that came from our own shelves.",
}

var departments = []department{
	{"living", "Living", "Light to read by, somewhere to sit, and a clock that knows when to be quiet.", []*category{
		{
			key: 'l', slug: "lamps", name: "Lamps", settings: []setting{onTable, onTable, onFloor, fromCeiling}, zoom: 1.06, draw: drawLamp,
			intro:     "Table, desk and floor lamps, and pendants for over the table. Warm light, good switches, cables long enough to reach.",
			materials: []*material{&brass, &oak, &blackSteel, &stoneware},
			kinds: []kind{
				{"Table Lamp", "", "table lamp", 79, 189, []measure{{"Height", 42, 58, "cm"}, {"Shade diameter", 26, 36, "cm"}, {"Weight", 14, 32, "hg"}}, nil},
				{"Desk Lamp", "", "desk lamp", 95, 210, []measure{{"Height", 38, 55, "cm"}, {"Reach", 40, 62, "cm"}, {"Weight", 16, 28, "hg"}}, []*material{&brass, &blackSteel}},
				{"Floor Lamp", "", "floor lamp", 189, 420, []measure{{"Height", 138, 165, "cm"}, {"Shade diameter", 36, 48, "cm"}, {"Weight", 42, 78, "hg"}}, []*material{&brass, &oak, &blackSteel, &walnut}},
				{"Pendant Light", "", "pendant", 89, 260, []measure{{"Diameter", 28, 52, "cm"}, {"Height", 20, 34, "cm"}, {"Cable length", 180, 300, "cm"}, {"Weight", 11, 26, "hg"}}, []*material{&brass, &blackSteel}},
			},
			facts: []fact{{"Bulb", []string{"E27, max. 40 W (not included)", "E14, max. 25 W (not included)", "LED, 2700 K, dimmable (included)"}}, {"Cable", []string{"Cotton-covered, charcoal", "Cotton-covered, oat", "Linen-covered, natural"}}},
			openings: []string{
				"This {noun} throws its light where you need it and keeps the rest of the room in a soft half-dark.",
				"A {noun} for the corner where the evening happens.",
				"By day the {noun} is a quiet shape in {colour}; by night it is why everyone sits on that side of the room.",
				"Drawn with one line and made with four parts, the {model} {noun} does nothing but give good light.",
			},
			closings: []string{"The switch has a click that you will come to like.", "The shade lifts off for cleaning, no tools needed."},
		},
		{
			key: 'v', slug: "vases", name: "Vases", settings: []setting{onTable, onTable, onTable, onTable, onTable}, zoom: 0.92, draw: drawVase,
			intro:     "For one stem from the roadside or an armful from the market. Thrown, cast and blown by potteries and glassworks that we know by name.",
			materials: []*material{&stoneware, &porcelain, &earthenware, &glass},
			kinds: []kind{
				{"Bud Vase", "", "bud vase", 18, 46, []measure{{"Height", 11, 18, "cm"}, {"Diameter", 7, 10, "cm"}, {"Opening", 2, 3, "cm"}}, nil},
				{"Bottle Vase", "", "bottle vase", 32, 84, []measure{{"Height", 22, 32, "cm"}, {"Diameter", 10, 14, "cm"}, {"Opening", 2, 4, "cm"}}, nil},
				{"Round Vase", "", "round vase", 38, 96, []measure{{"Height", 16, 24, "cm"}, {"Diameter", 18, 26, "cm"}, {"Opening", 6, 9, "cm"}}, nil},
				{"Tall Vase", "", "tall vase", 58, 140, []measure{{"Height", 34, 46, "cm"}, {"Diameter", 12, 17, "cm"}, {"Opening", 8, 11, "cm"}}, nil},
				{"Jug", "", "jug", 36, 88, []measure{{"Height", 19, 27, "cm"}, {"Diameter", 12, 16, "cm"}, {"Capacity", 9, 18, "dl"}}, []*material{&stoneware, &earthenware}},
			},
			facts: []fact{{"Watertight", []string{"Yes"}}, {"Surface", []string{"Matt", "Satin", "Gloss"}}},
			openings: []string{
				"The {model} {noun} looks finished when it is empty, which is the test of a vase.",
				"This {noun} has a narrow enough neck to make three stems look intended.",
				"{Colour}, with a shoulder that catches the light: a {noun} for windowsills.",
				"The shape of this {noun} began as a sketch of a pear.",
			},
			closings: []string{"Rinse it with warm water and rice to clean the neck.", "Stems in our pictures are not included; hedges are free."},
		},
		{
			key: 'c', slug: "chairs", name: "Chairs & Stools", settings: []setting{onFloor, onFloor, onFloor, onFloor}, zoom: 1.06, byMaterial: true, draw: drawChair,
			intro:     "Seats for meals that go on, and for books that you meant to put down. Solid wood, wool covers that come off, frames guaranteed for ten years.",
			materials: []*material{&oak, &ash, &walnut, &beech},
			kinds: []kind{
				{"Dining Chair", "", "dining chair", 180, 390, []measure{{"Height", 78, 86, "cm"}, {"Width", 44, 52, "cm"}, {"Seat height", 44, 47, "cm"}, {"Weight", 42, 61, "hg"}}, nil},
				{"Armchair", "", "armchair", 590, 1290, []measure{{"Height", 74, 88, "cm"}, {"Width", 70, 82, "cm"}, {"Seat height", 39, 43, "cm"}, {"Weight", 150, 220, "hg"}}, nil},
				{"Stool", "", "stool", 95, 220, []measure{{"Height", 45, 66, "cm"}, {"Seat diameter", 32, 38, "cm"}, {"Weight", 28, 46, "hg"}}, nil},
				{"Bench", "", "bench", 290, 640, []measure{{"Height", 44, 47, "cm"}, {"Width", 110, 160, "cm"}, {"Depth", 32, 38, "cm"}, {"Weight", 98, 164, "hg"}}, nil},
			},
			facts: []fact{{"Finish", []string{"Hard wax oil", "Soap", "Matt lacquer"}}, {"Cover", []string{"Wool, removable", "Linen, removable", "Cotton, removable"}}, {"Assembly", []string{"None", "Four bolts, key included"}}},
			openings: []string{
				"The {model} {noun} was drawn around a person, not around a room.",
				"A {noun} that is light enough to move with one hand and stays where you put it.",
				"This {noun} has the proportions of an old schoolroom piece and the comfort of a new one.",
				"Sit on the {model} for ten minutes before you decide. Most of our customers take an hour.",
			},
			closings: []string{"The frame is guaranteed for ten years, and the cover can be bought again.", "Felt pads for wooden floors are in the box."},
		},
		{
			key: 'k', slug: "clocks", name: "Clocks", settings: []setting{onWall, onTable, onWall, onTable}, zoom: 1.08, byMaterial: true, draw: drawClock,
			intro:     "Quiet movements and legible dials. Wall clocks for kitchens, mantel clocks for shelves, and alarm clocks that let the telephone sleep elsewhere.",
			materials: []*material{&oak, &walnut, &brass, &blackSteel},
			kinds: []kind{
				{"Wall Clock", "", "wall clock", 64, 149, []measure{{"Diameter", 26, 38, "cm"}, {"Depth", 4, 6, "cm"}, {"Weight", 6, 14, "hg"}}, nil},
				{"Mantel Clock", "", "mantel clock", 89, 195, []measure{{"Height", 18, 26, "cm"}, {"Width", 20, 29, "cm"}, {"Weight", 9, 19, "hg"}}, []*material{&oak, &walnut}},
				{"Square Clock", "", "wall clock", 72, 160, []measure{{"Width", 24, 34, "cm"}, {"Depth", 4, 6, "cm"}, {"Weight", 7, 15, "hg"}}, nil},
				{"Alarm Clock", "", "alarm clock", 39, 92, []measure{{"Height", 12, 16, "cm"}, {"Width", 9, 12, "cm"}, {"Weight", 3, 5, "hg"}}, []*material{&brass, &blackSteel}},
			},
			facts: []fact{{"Movement", []string{"Quartz, silent sweep", "Quartz, soft tick", "Radio-controlled"}}, {"Battery", []string{"1 × AA (included)", "1 × AA (not included)"}}},
			openings: []string{
				"The {model} {noun} can be read across a kitchen without glasses.",
				"A {noun} with nothing on its dial that does not tell the time.",
				"We asked for a {noun} that a child can learn on and a grandparent can see; the {model} is the answer.",
				"The hands of this {noun} are cut from brass and set by hand.",
			},
			closings: []string{"It comes with a hook, a screw and a paper template.", "Two years' guarantee on the movement."},
		},
		{
			key: 'r', slug: "rugs", name: "Rugs", settings: []setting{lying, lying, lying, lying}, zoom: 1.2, draw: drawRug,
			intro:     "Flat-woven and hand-knotted, in wool, cotton and jute. Made to lie still under a table and to be turned over every spring.",
			materials: []*material{&wool, &cotton, &jute},
			kinds: []kind{
				{"Striped Rug", "", "rug", 149, 620, []measure{{"Width", 120, 170, "cm"}, {"Length", 180, 240, "cm"}, {"Weight", 38, 92, "hg"}}, nil},
				{"Diamond Rug", "", "rug", 220, 890, []measure{{"Width", 120, 170, "cm"}, {"Length", 180, 240, "cm"}, {"Weight", 44, 98, "hg"}}, []*material{&wool, &cotton}},
				{"Round Rug", "", "round rug", 129, 540, []measure{{"Diameter", 100, 200, "cm"}, {"Weight", 22, 80, "hg"}}, nil},
				{"Checked Rug", "", "rug", 240, 1090, []measure{{"Width", 140, 200, "cm"}, {"Length", 200, 300, "cm"}, {"Weight", 52, 140, "hg"}}, []*material{&wool}},
			},
			facts: []fact{{"Construction", []string{"Flat weave", "Hand-knotted, 8 mm pile", "Kilim", "Hand-tufted, 12 mm pile"}}, {"Underlay", []string{"Recommended", "Not needed"}}},
			openings: []string{
				"This {noun} took one weaver nine days, and it should take you about thirty years to wear out.",
				"{Colour} as the ground, a second colour for the pattern, and a border to hold it together.",
				"The {model} {noun} is woven tightly enough for chairs to be pushed back on it.",
				"A {noun} with the pattern of an old flour sack, in colours that the sack never had.",
			},
			closings: []string{"Turn it by half every season, and the sun will fade it evenly.", "The fringe is part of the warp, so it cannot come off."},
		},
	}},
	{"table", "Table", "Cups that fit the hand, bowls that fit the soup, and a teapot that does not drip.", []*category{
		{
			key: 'm', slug: "cups-and-mugs", name: "Cups & Mugs", settings: []setting{onTable, onTable, onTable, onTable, onTable}, zoom: 1.45, draw: drawMug,
			intro:     "Everybody has one that is theirs. From espresso cups to mugs that hold half a pot, in stoneware, porcelain and enamel.",
			materials: []*material{&stoneware, &porcelain, &earthenware},
			kinds: []kind{
				{"Mug", "", "mug", 14, 34, []measure{{"Height", 8, 11, "cm"}, {"Diameter", 8, 10, "cm"}, {"Capacity", 28, 42, "cl"}}, nil},
				{"Espresso Cup", " with Saucer", "espresso cup", 16, 36, []measure{{"Height", 5, 7, "cm"}, {"Diameter", 5, 7, "cm"}, {"Capacity", 6, 10, "cl"}}, nil},
				{"Tumbler", "", "tumbler", 12, 28, []measure{{"Height", 9, 12, "cm"}, {"Diameter", 7, 8, "cm"}, {"Capacity", 22, 32, "cl"}}, nil},
				{"Camp Mug", "", "camp mug", 13, 24, []measure{{"Height", 8, 9, "cm"}, {"Diameter", 8, 9, "cm"}, {"Capacity", 30, 40, "cl"}}, []*material{&enamel}},
				{"Breakfast Cup", " with Saucer", "breakfast cup", 22, 48, []measure{{"Height", 7, 9, "cm"}, {"Diameter", 11, 13, "cm"}, {"Capacity", 36, 50, "cl"}}, nil},
			},
			facts: []fact{{"Microwave", []string{"Yes", "No"}}, {"Sold", []string{"Singly", "Singly", "In pairs on request"}}},
			openings: []string{
				"The handle of this {noun} takes two fingers and a thumb, and stays cool.",
				"A {noun} in {colour} with a rim that was thinned by hand, because coffee notices.",
				"The {model} {noun} sits low and wide, so it is hard to knock over and easy to warm your hands on.",
				"Somewhere between a workshop mug and a wedding present, this {noun} survives both.",
			},
			closings: []string{"It stacks with the others of its family, up to four high.", "Glazes vary a little from batch to batch; we think that is the point."},
		},
		{
			key: 'b', slug: "bowls", name: "Bowls", settings: []setting{onTable, onTable, onTable, onTable, onTable}, zoom: 1.3, draw: drawBowl,
			intro:     "For soup, for salad, for keys. Bowls are the most useful thing on any table, so we keep more of them than is sensible.",
			materials: []*material{&stoneware, &porcelain, &earthenware},
			kinds: []kind{
				{"Soup Bowl", "", "soup bowl", 16, 38, []measure{{"Height", 6, 8, "cm"}, {"Diameter", 15, 18, "cm"}, {"Capacity", 50, 75, "cl"}}, nil},
				{"Serving Bowl", "", "serving bowl", 42, 98, []measure{{"Height", 8, 12, "cm"}, {"Diameter", 26, 34, "cm"}, {"Capacity", 22, 41, "dl"}}, nil},
				{"Footed Bowl", "", "footed bowl", 38, 86, []measure{{"Height", 12, 17, "cm"}, {"Diameter", 20, 27, "cm"}, {"Capacity", 12, 22, "dl"}}, nil},
				{"Nesting Bowls", ", Set of Three", "set of bowls", 64, 130, []measure{{"Height", 8, 12, "cm"}, {"Largest diameter", 18, 24, "cm"}, {"Capacity", 19, 28, "dl"}}, nil},
				{"Café au Lait Bowl", "", "café au lait bowl", 15, 32, []measure{{"Height", 8, 10, "cm"}, {"Diameter", 12, 14, "cm"}, {"Capacity", 40, 55, "cl"}}, nil},
			},
			facts: []fact{{"Oven", []string{"Up to 180 °C", "Up to 220 °C", "No"}}, {"Inside", []string{"Clear glaze", "Glazed in a second colour", "Satin glaze"}}},
			openings: []string{
				"The {model} {noun} has a wide rim to carry it by and a foot that never scratches the table.",
				"In {colour} outside and paler within, this {noun} makes whatever is in it look as if you had planned it.",
				"A {noun} of generous depth: seconds included.",
				"This {noun} was made for a restaurant, which asked for it to be unbreakable and settled for beautiful.",
			},
			closings: []string{"They stack without rattling.", "It goes from the oven to the table, and the left-overs go into the fridge in it."},
		},
		{
			key: 'p', slug: "plates", name: "Plates", settings: []setting{lying, lying, lying, onTable}, zoom: 1.12, draw: drawPlate,
			intro:     "Plates to eat from every day, and a platter for when there is a reason. They mix: buy six of one, or one of six.",
			materials: []*material{&stoneware, &porcelain},
			kinds: []kind{
				{"Dinner Plate", "", "dinner plate", 18, 42, []measure{{"Diameter", 26, 29, "cm"}, {"Height", 2, 3, "cm"}, {"Weight", 6, 9, "hg"}}, nil},
				{"Side Plate", "", "side plate", 12, 28, []measure{{"Diameter", 17, 21, "cm"}, {"Height", 2, 3, "cm"}, {"Weight", 3, 5, "hg"}}, nil},
				{"Oval Platter", "", "platter", 38, 89, []measure{{"Length", 34, 44, "cm"}, {"Width", 22, 28, "cm"}, {"Weight", 11, 18, "hg"}}, nil},
				{"Plates", ", Set of Six", "set of plates", 96, 210, []measure{{"Diameter", 24, 28, "cm"}, {"Height", 2, 3, "cm"}, {"Weight", 34, 52, "hg"}}, nil},
			},
			facts: []fact{{"Microwave", []string{"Yes", "No"}}, {"Oven", []string{"Up to 180 °C", "Up to 220 °C"}}},
			openings: []string{
				"The {model} {noun} has just enough rim to stop a pea.",
				"{Colour} is a colour that food looks well on; we tried all of them.",
				"This {noun} is flat where you cut and curved where you scoop.",
				"A {noun} with a painted edge, each one a little unlike the next.",
			},
			closings: []string{"Sold so that you can replace the one that breaks.", "Hard enough for knives, quiet enough for breakfast."},
		},
		{
			key: 't', slug: "teapots", name: "Teapots", settings: []setting{onTable, onTable, onTable}, zoom: 1.26, draw: drawTeapot,
			intro:     "A good teapot pours to the last drop and lets none run down its spout. Every one here has been tried with a full pot and a white cloth.",
			materials: []*material{&stoneware, &porcelain, &earthenware},
			kinds: []kind{
				{"Round Teapot", "", "teapot", 48, 98, []measure{{"Height", 13, 17, "cm"}, {"Width", 20, 25, "cm"}, {"Capacity", 80, 120, "cl"}}, nil},
				{"Tall Coffee Pot", "", "coffee pot", 54, 110, []measure{{"Height", 19, 25, "cm"}, {"Width", 18, 23, "cm"}, {"Capacity", 90, 140, "cl"}}, nil},
				{"Low Teapot", "", "teapot", 58, 124, []measure{{"Height", 10, 13, "cm"}, {"Width", 20, 26, "cm"}, {"Capacity", 60, 90, "cl"}}, nil},
			},
			facts: []fact{{"Strainer", []string{"Steel, removable", "Pierced in the body"}}, {"Lid", []string{"Locks when pouring", "Rests in a deep gallery"}}},
			openings: []string{
				"The spout of the {model} is cut at an angle that took eleven tries, and this {noun} does not drip.",
				"A {noun} for three people, or for one with a long letter to write.",
				"This {noun} is balanced so that it pours from the wrist, even when it is full.",
				"In {colour}, with a knob that stays cool: the {noun} that stays on the table.",
			},
			closings: []string{"Rinse it with hot water only; tea likes a pot that remembers.", "The strainer fits the sink's overflow too, which we mention because somebody always asks."},
		},
	}},
	{"haberdashery", "Haberdashery", "Thread, buttons, yarn and blades, for what you make and for what you would rather mend.", []*category{
		{
			key: 'h', slug: "thread", name: "Thread", settings: []setting{onTable, onTable, onTable}, zoom: 1.05, draw: drawThread,
			intro:     "Cotton, linen and silk on wooden spools, in colours that are dyed to go with the cloth in your cupboard.",
			materials: []*material{&cotton, &linen, &silk},
			kinds: []kind{
				{"Sewing Thread", "", "spool", 4, 14, []measure{{"Length", 100, 500, "m"}, {"Spool height", 5, 7, "cm"}, {"Weight", 20, 60, "g"}}, nil},
				{"Thread Trio", ", Set of Three", "set of spools", 11, 32, []measure{{"Length of each", 100, 300, "m"}, {"Spool height", 5, 7, "cm"}, {"Weight", 70, 160, "g"}}, nil},
				{"Overlock Cone", "", "cone", 7, 18, []measure{{"Length", 1500, 4000, "m"}, {"Cone height", 11, 15, "cm"}, {"Weight", 110, 210, "g"}}, []*material{&cotton}},
			},
			facts: []fact{{"Thickness", []string{"Nm 50", "Nm 80", "Nm 120"}}, {"Needle", []string{"70/10", "80/12", "90/14"}}, {"Colour fastness", []string{"60 °C", "40 °C"}}},
			openings: []string{
				"{Colour} thread that disappears in a seam and shows in a buttonhole.",
				"The {model} {noun} runs off without a snarl, on machines from this century and the last two.",
				"A {noun} for mending by the window.",
				"Smooth, round and even: this {noun} is wound at low tension, so the last metre is as good as the first.",
			},
			closings: []string{"The wooden spool can come back to us to be filled again.", "Dye lots are printed beneath the foot."},
		},
		{
			key: 'u', slug: "buttons", name: "Buttons", settings: []setting{lying, lying, lying}, zoom: 1.2, draw: drawButtons,
			intro:     "Horn, corozo, shell and brass. The coat is old, the buttons need not be; or the other way about.",
			materials: []*material{&horn, &corozo, &pearl, &brass},
			kinds: []kind{
				{"Coat Buttons", ", Set of Five", "set of buttons", 9, 28, []measure{{"Diameter", 22, 30, "mm"}, {"Thickness", 3, 5, "mm"}, {"Weight", 10, 30, "g"}}, nil},
				{"Shirt Buttons", ", Set of Eight", "set of buttons", 6, 19, []measure{{"Diameter", 9, 12, "mm"}, {"Thickness", 2, 3, "mm"}, {"Weight", 4, 9, "g"}}, nil},
				{"Toggles", ", Set of Three", "set of toggles", 12, 34, []measure{{"Length", 38, 55, "mm"}, {"Thickness", 11, 15, "mm"}, {"Weight", 18, 42, "g"}}, []*material{&horn, &corozo}},
			},
			facts: []fact{{"Edge", []string{"Rolled", "Flat", "Dished"}}, {"Shank", []string{"None, sew through", "Thread shank"}}},
			openings: []string{
				"A {noun} that will be the best thing about a plain coat.",
				"Turned one at a time and sorted by eye, this {noun} goes together without matching.",
				"The {model} {noun} comes in {colour}, with a little of the ground showing through.",
				"Keep the {noun} in a jar for ten years, or sew it on tonight.",
			},
			closings: []string{"A spare is always included.", "Measured across; we print them in life size on the card."},
		},
		{
			key: 'y', slug: "yarn", name: "Yarn", settings: []setting{onTable, onTable, onTable}, zoom: 1.2, draw: drawYarn,
			intro:     "Wool, alpaca and linen from small mills, wound in balls and skeins. Every shade has a number, and we keep a card of each lot.",
			materials: []*material{&wool, &alpaca, &cotton, &linen},
			kinds: []kind{
				{"Yarn", ", Ball", "ball", 7, 19, []measure{{"Weight", 50, 100, "g"}, {"Length", 110, 260, "m"}}, nil},
				{"Yarn", ", Skein", "skein", 12, 29, []measure{{"Weight", 100, 150, "g"}, {"Length", 220, 480, "m"}}, nil},
				{"Knitting Set", "", "knitting set", 24, 58, []measure{{"Weight", 200, 300, "g"}, {"Length", 400, 900, "m"}, {"Needle length", 33, 40, "cm"}}, nil},
			},
			facts: []fact{{"Needles", []string{"3–3.5 mm", "4 mm", "5–6 mm"}}, {"Tension", []string{"22 stitches to 10 cm", "18 stitches to 10 cm", "26 stitches to 10 cm"}}},
			openings: []string{
				"The {model} is {material} in {colour}: one {noun} makes a hat, three a jersey for somebody small.",
				"A {noun} with enough twist to show cables and enough softness for a collar.",
				"This {noun} knits evenly for beginners and quickly for everybody else.",
				"Dyed as fleece and not as thread, the {noun} has six greys in its {colour}.",
			},
			closings: []string{"Ask for one dye lot, and we will send one dye lot.", "Unwound by accident? We wind it again for nothing."},
		},
		{
			key: 's', slug: "scissors", name: "Scissors", settings: []setting{lying, lying, lying}, zoom: 1.12, byMaterial: true, draw: drawScissors,
			intro:     "Forged shears, fine embroidery scissors and snips for the end of a thread. All can be taken apart, and all can be sharpened.",
			materials: []*material{&steelMaterial, &brass, &blackSteel},
			kinds: []kind{
				{"Embroidery Scissors", "", "pair of scissors", 19, 46, []measure{{"Length", 9, 13, "cm"}, {"Blade", 3, 5, "cm"}, {"Weight", 20, 45, "g"}}, nil},
				{"Tailor’s Shears", "", "pair of shears", 48, 130, []measure{{"Length", 22, 28, "cm"}, {"Blade", 10, 14, "cm"}, {"Weight", 240, 390, "g"}}, nil},
				{"Thread Snips", "", "pair of snips", 12, 27, []measure{{"Length", 10, 12, "cm"}, {"Blade", 3, 4, "cm"}, {"Weight", 25, 40, "g"}}, nil},
			},
			facts: []fact{{"Hand", []string{"Right", "Right", "Left"}}, {"Hardness", []string{"56 HRC", "58 HRC"}}},
			openings: []string{
				"The {model} cuts to the very point, which is the only place that matters.",
				"This {noun} is forged, not stamped: it can be sharpened for as long as there is steel.",
				"A {noun} to be hidden from whoever cuts paper in your house.",
				"With a screw that you can set yourself, this {noun} closes with a whisper.",
			},
			closings: []string{"It comes in a leather sheath.", "Send it back to be sharpened, once, for nothing."},
		},
	}},
}
