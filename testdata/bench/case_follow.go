package main

import "strconv"

const (
	followLinks   = 20     // on a page
	followLeast   = 5_000  // bytes of a page
	followMost    = 13_000 // likewise
	followBlocks  = 64     // different pieces of text
	followFooter  = "</main>\n<footer><p>Prices include tax.</p></footer>\n</body>\n</html>\n"
	followTextual = 3 // one block in so many is a table, the others are text
)

// followCase is a whole crawl: from one page to all others by their links, of which 18 in 20 lead to pages that are
// known from elsewhere, with a title and a price taken from every page.
func followCase() benchCase {
	return benchCase{
		name:        "follow",
		title:       "%s pages of 5 to 13 KB with 20 links each, found by following them; title and price extracted",
		size:        20_000,
		quick:       2_000,
		tiny:        200,
		most:        map[string]int{"scrapy": 2_000},
		concurrency: 32,
		site:        followSite,
		entries:     map[string]entry{"tulle": tulleFollow, "job": inJob(tulleFollow), "bare": bareFollow, "colly": collyFollow, "scrapy": nil},
		faults: func(o outcome) []string {
			faults := fetchedOnce(o)
			if o.Report.Twice == 0 && o.Report.Missed == 0 {
				if items, sum := followItems(o.Job.N); o.Result.Items != items || o.Result.ItemSum != sum {
					faults = append(faults, "items are wrong")
				}
			}
			return faults
		},
		columns: speedColumns(),
	}
}

// followSite is a shop whose pages form a binary tree (page i leads to 2i+1 and 2i+2), so that every page can be
// reached, with 18 more links on each page that lead anywhere.
func followSite(n int) *site {
	blocks := followText()
	return &site{
		pages: n,
		find:  func(_, path []byte) int { return pageOf(path, n) },
		show:  func(page int, r *reply) { r.room = followPage(r.room, blocks, page, n); r.body = r.room },
	}
}

func followPage(dst []byte, blocks [][]byte, page, n int) []byte {
	d := dice(page)
	size := followLeast + d.roll(followMost-followLeast-500)
	dst = append(dst, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>"...)
	dst = appendTitle(dst, page)
	dst = append(dst, " | A shop</title>\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n<header><nav><ol class=\"breadcrumb\"><li>Home</li><li>Things</li></ol></nav></header>\n<main class=\"product\">\n<h1>"...)
	dst = appendTitle(dst, page)
	dst = append(dst, "</h1>\n<p class=\"price\">"...)
	dst = appendPrice(dst, page)
	dst = append(dst, "</p>\n<p class=\"stock\"><i class=\"icon-ok\"></i> In stock</p>\n<ul class=\"related\">\n"...)
	left, right := d.roll(followLinks), d.roll(followLinks-1)
	if right >= left {
		right++
	}
	for i := range followLinks {
		to := d.roll(n)
		switch {
		case i == left && 2*page+1 < n:
			to = 2*page + 1
		case i == right && 2*page+2 < n:
			to = 2*page + 2
		}
		dst = append(dst, "<li><a class=\"thing\" href=\"/p/"...)
		dst = strconv.AppendInt(dst, int64(to), 10)
		dst = append(dst, "\">"...)
		dst = appendTitle(dst, to)
		dst = append(dst, "</a></li>\n"...)
	}
	dst = append(dst, "</ul>\n"...)
	for len(dst)+len(followFooter) < size {
		dst = append(dst, blocks[d.roll(len(blocks))]...)
	}
	return append(dst, followFooter...)
}

func appendTitle(dst []byte, page int) []byte {
	d := dice(page)
	dst = append(dst, "The "...)
	dst = append(dst, followWords[d.roll(len(followWords))]...)
	dst = append(dst, ' ')
	dst = append(dst, followWords[d.roll(len(followWords))]...)
	dst = append(dst, " No. "...)
	return strconv.AppendInt(dst, int64(page), 10)
}

func appendPrice(dst []byte, page int) []byte {
	pence := 100 + page*37%9900
	dst = append(dst, "£"...)
	dst = strconv.AppendInt(dst, int64(pence/100), 10)
	dst = append(dst, '.', byte('0'+pence/10%10))
	return append(dst, byte('0'+pence%10))
}

// followItems is how many items the site has, and the sum of their hashes.
func followItems(n int) (items int64, sum uint64) {
	var title, price []byte
	for page := range n {
		title, price = appendTitle(title[:0], page), appendPrice(price[:0], page)
		sum += itemHash(string(title), string(price))
	}
	return int64(n), sum
}

// followText is what fills the pages: paragraphs with a little markup, and small tables, as shops have them.
func followText() [][]byte {
	d := dice(1)
	word := func() string { return followWords[d.roll(len(followWords))] }
	blocks := make([][]byte, followBlocks)
	for i := range blocks {
		var b []byte
		if i%followTextual == 0 {
			b = append(b, "<table class=\"specs\">\n"...)
			for range 3 + d.roll(3) {
				b = append(b, "<tr><th>"+word()+"</th><td>"+word()+" "+strconv.Itoa(d.roll(1000))+"</td></tr>\n"...)
			}
			b = append(b, "</table>\n"...)
		} else {
			b = append(b, "<p>"...)
			for range 3 + d.roll(4) {
				b = append(b, "A "+word()+" "+word()+" goes with any "+word()+" &amp; <em>"+word()+"</em>, not only with "+word()+". "...)
			}
			b = append(b, "</p>\n"...)
		}
		blocks[i] = b
	}
	return blocks
}

var followWords = [...]string{
	"amber", "anvil", "basket", "birch", "bottle", "brass", "button", "candle", "canvas", "cedar", "chair", "clay", "clock",
	"copper", "cotton", "cup", "drawer", "felt", "flask", "fork", "glass", "hammer", "hinge", "iron", "ivory", "jar",
	"kettle", "lamp", "lantern", "leather", "linen", "maple", "mirror", "needle", "oak", "oval", "paper", "pepper",
	"pewter", "pillow", "plain", "plate", "quilt", "ribbon", "round", "rug", "saddle", "satin", "silver", "slate",
	"spoon", "square", "steel", "stone", "stool", "straw", "tall", "teapot", "thread", "tin", "velvet", "walnut", "wool",
}
