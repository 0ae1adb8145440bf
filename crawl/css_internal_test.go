package crawl

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/cascadia"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

func cssTree(t *testing.T, body string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	require.NoError(t, err)
	return doc
}

// cssSelected is what a selector selects, and how many elements were looked at for it.
func cssSelected(t *testing.T, scope *html.Node, selector string) (nodes []*html.Node, looked int) {
	t.Helper()
	c, err := parseCSS(selector)
	require.NoError(t, err, selector)
	m := newCSSMatcher(scope)
	c.each(&m, yieldElements, func(n *html.Node, _ *cssGroup) bool {
		nodes = append(nodes, n)
		return true
	})
	return nodes, m.looked
}

// A page of four times the size takes four times the work, whatever a selector tries in vain.
func TestCSSWorkGrowsWithThePage(t *testing.T) {
	t.Parallel()
	flat := func(n int) string { return "<body>" + strings.Repeat("<p>x</p><i>y</i>", n) }
	deep := func(n int) string {
		return "<body>" + strings.Repeat("<div>", n/10) + strings.Repeat("<span>x</span>", 100) + strings.Repeat("</div>", n/10)
	}
	bushes := func(n int) string {
		return "<body>" + strings.Repeat("<div>", 100) + strings.Repeat("<p>x</p><div><span>x</span></div>", n)
	}
	for selector, body := range map[string]func(int) string{
		".q div div span": deep, ".q div div div div div div span": deep, ".q > div div > div div span": deep, ".q ~ div div div span": deep, ".q + div div div div span": deep,
		":not(.q div div div span) div div div span": deep, ":is(.q div div div) :is(.q div div div) span": deep, "div:has(.q)": deep, "div:has(div:has(.q))": deep, "div:not(:has(span:last-child))": deep,
		".q div div div span::text": bushes, ".q div ~ div > span": bushes, "u ~ i": flat, "u ~ p ~ i": flat, "u ~ i ~ p + i": flat, ".q > p ~ i": flat, "p ~ .q ~ i": flat, "p ~ i": flat,
		"p:has(~ u)": flat, "p:has(~ i)": flat, "p:has(+ u)": flat, ":scope ~ i, i": flat, "i:nth-child(odd)": flat, "i:nth-last-child(3n+1)": flat, "i:nth-of-type(2n)": flat, "u:first-of-type": flat,
		"i:nth-last-of-type(2n)": flat, ":is(u ~ i) ~ p": flat,
	} {
		_, small := cssSelected(t, cssTree(t, body(1000)), selector)
		_, large := cssSelected(t, cssTree(t, body(4000)), selector)
		require.LessOrEqual(t, large, 5*small+5000, selector)
	}
	// Beside an element, in whose place all that follow are tried.
	body := func(n int) *html.Node { return cssTree(t, flat(n)).LastChild.LastChild.FirstChild }
	for _, selector := range []string{"~ i", "~ p ~ i", "~ u ~ i", "+ i ~ p"} {
		nodes, small := cssSelected(t, body(1000), selector)
		_, large := cssSelected(t, body(4000), selector)
		require.Equal(t, selector == "~ u ~ i", len(nodes) == 0)
		require.LessOrEqual(t, large, 5*small+5000, selector)
	}
}

// What is remembered and what is given up selects what trying everything selects, in trees that are deep and wide enough for both.
func TestCSSAsCascadia(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 4))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	tree := func(deep int) *html.Node {
		var b strings.Builder
		open := 0
		for range 600 {
			if b.WriteString(pick("<u", "<s", "<q") + pick("", "", ` class=x`, ` class="y x"`, ` id=k`, ` lang=a-b`, ` lang=""`) + ">"); open < deep && r.IntN(3) > 0 {
				open++
				continue
			}
			b.WriteString(pick("t", "") + "</u></s></q>")
			if open > 0 && r.IntN(200) == 0 {
				open--
			}
		}
		return cssTree(t, "<div>"+b.String())
	}
	compound := func() string {
		return pick("u", "s", "q", "*", "u", "s", "q", ".x", "#k", "u.y", "s:first-child", "u:nth-child(3n+1)", ":not(.x)", ":not(u s)", "q:nth-of-type(even)", "[lang|=a]", "s:nth-last-child(-n+70)",
			"u:last-of-type", "[class~=x]", ":nth-last-of-type(2n+1)", ":empty", "[lang!='a-b']", "div", "u:not(s ~ u, q > u)")
	}
	found := 0
	for _, deep := range []int{3, 90} {
		for range 3 {
			doc := tree(deep)
			for range 60 {
				var b strings.Builder
				b.WriteString(compound())
				for range r.IntN(3) {
					b.WriteString(pick(" ", " ", ">", "+", "~", " ~ ") + compound())
				}
				for range r.IntN(2) {
					b.WriteString(", " + compound())
				}
				got, _ := cssSelected(t, doc, b.String())
				want := cascadia.QueryAll(doc, cascadia.MustCompile(b.String()))
				require.True(t, slices.Equal(want, got), "%s: %d instead of %d", b.String(), len(got), len(want))
				found += min(len(got), 1)
			}
		}
	}
	require.Greater(t, found, 120, "of 360")
}
