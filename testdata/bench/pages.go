package main

import (
	"bytes"
	"strconv"
)

// pagePath is the path of a page on every site here.
func pagePath(page int) string { return "/p/" + strconv.Itoa(page) }

// pageOf is pagePath the other way round; -1 when the path is no page's, or of one beyond n.
func pageOf(path []byte, n int) int {
	digits, ok := bytes.CutPrefix(path, []byte("/p/"))
	if !ok || len(digits) == 0 || len(digits) > 9 {
		return -1
	}
	page := 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			return -1
		}
		page = page*10 + int(d-'0')
	}
	if page >= n {
		return -1
	}
	return page
}

// A dice yields the same numbers for the same seed on every machine (SplitMix64).
type dice uint64

func (d *dice) roll(n int) int {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}
