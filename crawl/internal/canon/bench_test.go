package canon_test

import (
	"net/url"
	"testing"

	"github.com/tulle-go/tulle/crawl/internal/canon"
)

const clean = "https://books.toscrape.com/catalogue/a-light-in-the-attic_10"

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := canon.Parse(clean); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	base, err := canon.Parse("https://books.toscrape.com/catalogue/category/books_1/index.html")
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct{ name, ref string }{
		{"path", "/catalogue/x_1/index.html"},
		{"dots", "../../page-2.html"},
		{"absolute", clean},
		{"query", "?page=2"},
		{"messy", " /caf\u00e9/a b.html "},
		{"IDN", "https://b\u00fccher.example/catalogue"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := canon.Resolve(base, bench.ref); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFingerprint(b *testing.B) {
	for _, bench := range []struct{ name, url string }{
		{"plain", clean},
		{"query", "https://books.toscrape.com/catalogue/list?sort=price&page=12&id=7"},
		{"messy", "https://books.toscrape.com/caf%c3%a9/list?sort=a+b&page=%31&a=%e9"},
	} {
		u, err := url.Parse(bench.url)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				canon.Fingerprint("GET", u, nil)
			}
		})
	}
}

func BenchmarkCanonical(b *testing.B) {
	u, err := url.Parse("https://books.toscrape.com/catalogue/list?sort=price&page=12&id=7")
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = canon.AppendCanonical(buf[:0], u)
	}
}

// BenchmarkNetURL is what the same costs with net/url, which is less lenient.
func BenchmarkNetURL(b *testing.B) {
	base, err := url.Parse("https://books.toscrape.com/catalogue/category/books_1/index.html")
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct{ name, ref string }{
		{"path", "/catalogue/x_1/index.html"},
		{"dots", "../../page-2.html"},
		{"absolute", clean},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := base.Parse(bench.ref); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
