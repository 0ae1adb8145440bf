package crawl_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// atMost tries several times whether something takes less than so many times what another takes, and a few milliseconds: a loaded machine may stop either.
func atMost(t *testing.T, times int, small, large func(), name string) {
	t.Helper()
	took := func(f func()) time.Duration {
		begun := time.Now()
		f()
		return time.Since(begun)
	}
	few, many := time.Hour, time.Hour
	for tries, begun := 0, time.Now(); tries < 3 || time.Since(begun) < 5*time.Second; tries++ {
		few, many = min(few, took(small)), min(many, took(large))
		if many < time.Duration(times)*few+2*time.Millisecond {
			return
		}
	}
	require.Fail(t, "superlinear", "%s: %s and %s", name, few, many)
}

// Sixteen times the page takes about sixteen times as long. What is quadratic would take 256 times.
func TestXPathIsLinear(t *testing.T) {
	t.Parallel()
	pages := [2]*crawl.Response{}
	for i, rows := range [...]int{250, 4000} {
		pages[i] = page(t, "http://h/", htmlUTF8, "<table>"+strings.Repeat("<tr class=r><td>a</td><td><a href=x>b</a></td><td>c</td></tr>", rows)+"</table>")
		pages[i].CSS("a")
	}
	for _, expr := range []string{
		"//tr[2]", "//tr[position()>1]", "//tr[last()]", "//tr[@class='r'][last()]", "//tr[td][position()>1]", "//td | //a", "//a/ancestor::tr", "//td/..", "//table//tr//a",
		"//tr/following-sibling::tr", "//tr/preceding-sibling::tr", "//tr/following-sibling::tr[1]", "//tr/following-sibling::tr[last()]", "//tr/preceding-sibling::tr[last()]",
		"//tr/following::a", "//tr/preceding::a", "//a[. = //td]", "//a[. < //td]", "//a[//h1]", "//a[string(//h1)]", "(//a)[position()>1]", "//tr/td[2]/a/@href", "//a/@href/..",
	} {
		atMost(t, 100, func() { pages[0].XPath(expr) }, func() { pages[1].XPath(expr) }, expr)
	}
	require.NoError(t, pages[1].Err())
}

// A row's own nodes cost what the row does, however large the page is.
func TestXPathOfARowDoesNotCostThePage(t *testing.T) {
	t.Parallel()
	rows := func(n int) func() {
		r := page(t, "http://h/", htmlUTF8, "<table>"+strings.Repeat("<tr><td>a</td><td>b</td></tr>", n)+"</table>")
		middle := r.XPath("//tr")[n/2:]
		return func() {
			for _, row := range middle[:100] {
				require.Len(t, row.XPath("./td[2] | ./td[1] | ./following-sibling::tr[1] | ./preceding-sibling::tr[1] | ancestor::table"), 5)
			}
		}
	}
	atMost(t, 10, rows(500), rows(50_000), "rows")
}

func TestXPathBounds(t *testing.T) {
	t.Parallel()
	r := page(t, "http://h/", htmlUTF8, "<p>x</p>")
	require.Equal(t, 1.0, r.Eval(strings.Repeat("(", 99)+"1"+strings.Repeat(")", 99)))
	require.Equal(t, 20_000.0, r.Eval("1"+strings.Repeat("+1", 19_999)))
	require.Equal(t, -1.0, r.Eval(strings.Repeat("-", 20_001)+"1"))
	require.NoError(t, r.Err())
	require.Nil(t, r.Eval(strings.Repeat("(", 200)+"1"+strings.Repeat(")", 200)))
	require.ErrorContains(t, r.Err(), "at character 101: more than 100 brackets stand in each other")
	r = page(t, "http://h/", htmlUTF8, "<p>x</p>")
	require.Nil(t, r.Eval("1"+strings.Repeat("+1", 100_000)))
	require.ErrorContains(t, r.Err(), "the expression has more than 100000 names, operators and values")
}

func BenchmarkXPath(b *testing.B) {
	body := "<div class=x><p>" + strings.Repeat("<div class=x><span>a<i>b</i></span></div><table><tr><td>a<td><a href=x>b</a><td>c</table>", 200)
	for _, expr := range []string{"//a/@href", "//div[@class='x']//span/text()", ".//td[2]", "//a[contains(@href,'x')]/text()", "//td | //a", "string(//h1)"} {
		b.Run(strings.ReplaceAll(expr, "/", "_"), func(b *testing.B) {
			r := page(b, "http://h/", htmlUTF8, body)
			r.CSS("a")
			b.ReportAllocs()
			for b.Loop() {
				_ = r.Eval(expr)
			}
		})
	}
}
