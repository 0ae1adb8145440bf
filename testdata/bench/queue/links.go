package main

import (
	"context"
	"strconv"

	"github.com/tulle-go/tulle/crawl"
)

const (
	pageLinks = 20  // on a page
	bigShare  = 100 // one host in so many is big
	bigFactor = 100 // and has so many times as many requests
)

// mix is SplitMix64's output function: the same numbers on every machine, by place instead of in order.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// hostOf is the host of the n-th link.
func hostOf(n, hosts int) int {
	big := max(hosts/bigShare, 1)
	r := mix(uint64(n))
	place := int(r % uint64(big*bigFactor+hosts-big))
	if place < big*bigFactor {
		return place / bigFactor
	}
	return place - big*bigFactor + big
}

// appendURL is the address of the n-th link: no two are the same, and each has about 90 bytes.
func appendURL(b []byte, n, hosts int) []byte {
	b = append(b, "https://www.shop-"...)
	b = appendPadded(b, hostOf(n, hosts), 6)
	b = append(b, ".example/catalogue/"...)
	b = append(b, departments[mix(uint64(n)^1)%uint64(len(departments))]...)
	b = append(b, "/long-name-of-thing-"...)
	b = appendPadded(b, n, 10)
	return append(b, "/index.html"...)
}

func appendPadded(b []byte, n, width int) []byte {
	digits := strconv.Itoa(n)
	for range width - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}

var departments = [...]string{"books", "kitchen", "garden-tools", "toys", "lamps-and-lights", "shoes", "paper", "instruments"}

// pushOf is the n-th link as the engine would push it.
func pushOf(n, hosts int) (crawl.Push, error) {
	return crawl.NewPush(0, crawl.Get(string(appendURL(nil, n, hosts))))
}

// A page is the links of one page, ready to be pushed.
type page struct {
	push []crawl.Push
	err  error
}

// pages makes pages ahead of who pushes them, in order, until ctx ends: page i has the links with the numbers that link gives.
func pages(ctx context.Context, hosts, priority int, link func(page, place int) int) <-chan page {
	const makers = 2
	var parts [makers]chan page
	for m := range makers {
		parts[m] = make(chan page, 64)
		go func() {
			for i := m; ; i += makers {
				p := page{push: make([]crawl.Push, pageLinks)}
				for place := range p.push {
					var err error
					if p.push[place], err = pushOf(link(i, place), hosts); err != nil {
						p.err = err
					}
					p.push[place].Priority = priority
				}
				select {
				case parts[m] <- p:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	out := make(chan page)
	go func() {
		for i := 0; ; i++ {
			var p page
			select {
			case p = <-parts[i%makers]:
			case <-ctx.Done():
				return
			}
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
