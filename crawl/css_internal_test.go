package crawl

import (
	"fmt"
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
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<x-%d></x-%d>", i, i)
		}
		return "<body>" + b.String()
	}
	bushes := func(n int) string {
		return "<body>" + strings.Repeat("<div>", 100) + strings.Repeat("<p>x</p><div><span>x</span></div>", n)
	}
	for selector, body := range map[string]func(int) string{
		".q div div span": deep, ".q div div div div div div span": deep, ".q > div div > div div span": deep, ".q ~ div div div span": deep, ".q + div div div div span": deep,
		":not(.q div div div span) div div div span": deep, ":is(.q div div div) :is(.q div div div) span": deep, "div:has(.q)": deep, "div:has(div:has(.q))": deep, "div:not(:has(span:last-child))": deep,
		".q div div div span::text": bushes, ".q div ~ div > span": bushes, "u ~ i": flat, "u ~ p ~ i": flat, "u ~ i ~ p + i": flat, ".q > p ~ i": flat, "p ~ .q ~ i": flat, "p ~ i": flat,
		"p:has(~ u)": flat, "p:has(~ i)": flat, "p:has(+ u)": flat, ":scope ~ i, i": flat, "i:nth-child(odd)": flat, "i:nth-last-child(3n+1)": flat, "i:nth-of-type(2n)": flat, "u:first-of-type": flat,
		"i:nth-last-of-type(2n)": flat, ":is(u ~ i) ~ p": flat, ":only-of-type": names, "i:only-of-type": flat, "i:only-child": flat, "p:nth-child(2n of p)": flat, "p:nth-last-child(3 of :not(.q))": flat,
		"i:nth-child(2 of p ~ i)": flat, "i:nth-child(even of :nth-child(even of *))": flat, "div:contains('y')": deep, "div:contains(xxx)": deep, "div:matches(y|z)": deep, "i:contains(z)": flat,
		"span:lang(en)": deep, "div:lang(en) :not(:lang(de))": deep, ":has(:contains(y))": deep, "div:not(:contains(x))": deep, "div:has(span:nth-child(2 of :contains(x)))": deep,
	} {
		_, small := cssSelected(t, cssTree(t, body(1000)), selector)
		_, large := cssSelected(t, cssTree(t, body(4000)), selector)
		require.LessOrEqual(t, large, 5*small+5000, selector)
	}
	// What cascadia does is not counted: these are not its.
	for _, selector := range []string{":only-of-type", ":only-child", ":contains(x)", ":matches(x)", ":lang(en)", ":nth-last-of-type(2n)"} {
		c, err := parseCSS(selector)
		require.NoError(t, err)
		require.NotZero(t, c.groups[0].steps[0].tests[0].kind, selector)
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

// choices are made by the bytes of a text, or at random where that has ended.
type choices struct {
	from []byte
	rest *rand.Rand
}

func (c *choices) of(n int) int {
	if len(c.from) == 0 {
		return c.rest.IntN(n)
	}
	k := int(c.from[0]) % n
	c.from = c.from[1:]
	return k
}

func (c *choices) pick(of ...string) string { return of[c.of(len(of))] }

// compound is a compound that cascadia reads as we do.
func (c *choices) compound(depth int) string {
	var b strings.Builder
	tag := c.pick("u", "s", "q", "*", "u", "U", "div", "p")
	b.WriteString(tag)
	for range c.of(3) {
		if c.of(4) == 0 && tag != "*" { // with which cascadia takes texts for elements
			b.WriteString(c.pick(":contains("+c.pick("t", "'v'", "\"TV\"", "ttt", "''", "'T t'", "é", "vé")+")", ":containsOwn("+c.pick("t", "V", "ttt")+")", ":matches("+c.pick("^t", "t+v", "v$", "[^tv]", "(é|T)")+")",
				":matchesOwn(^t)"))
		}
		b.WriteString(c.pick(".x", ".y", "#k", "[lang]", "[lang=en]", "[lang|=en]", "[class~=x]", "[class^=y]", "[class$=x]", "[class*=' ']", "[lang!=en]", "[CLASS=X i]", ":first-child", ":last-child", ":first-of-type",
			":last-of-type", ":only-child", ":only-of-type", ":empty", ":root", ":nth-child("+c.nth()+")", ":nth-last-child("+c.nth()+")", ":nth-of-type("+c.nth()+")", ":nth-last-of-type("+c.nth()+")"))
		if depth > 0 && c.of(4) == 0 {
			b.WriteString(c.pick(":not(", ":has(", ":haschild(") + c.compound(depth-1) + c.pick("", "", ", "+c.compound(depth-1)) + ")")
		}
	}
	return b.String()
}

func (c *choices) nth() string {
	return c.pick("odd", "even", "2n+1", "-n+3", "3", "n", "0n+2", "-2n+5", " 3n - 1 ", "+2", "0", "-1", "+n", "10n+1")
}

func (c *choices) selector() string {
	var b strings.Builder
	b.WriteString(c.compound(2))
	for range c.of(4) {
		b.WriteString(c.pick(" ", " ", " > ", "+", " ~ ", ">", "~", " , ", ",") + c.compound(2))
	}
	return b.String()
}

func (c *choices) page() string {
	var b strings.Builder
	open := 0
	for range 20 + c.of(200) {
		b.WriteString("<" + c.pick("u", "s", "q", "p") + c.pick("", "", " class=x", ` class="y x"`, " class=X", " id=k", " lang=en", " lang=en-GB", ` lang=""`) + ">" + c.pick("", "", "t", "v", "TV", "É", "<!--t-->"))
		if open < 90 && c.of(3) > 0 {
			open++
			continue
		}
		b.WriteString(c.pick("</u>", "</s>", "</q>", "</p>", "</u></s></q>") + c.pick("", "v", " t "))
	}
	return "<div>" + b.String()
}

// What cascadia selects, our own matcher does.
func FuzzCSSAsCascadia(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, []byte{byte(seed), 2})
	}
	f.Fuzz(func(t *testing.T, seed uint64, chosen []byte) {
		c := &choices{from: chosen, rest: rand.New(rand.NewPCG(seed, 1))}
		selector := c.selector()
		doc := cssTree(t, c.page())
		for range 4 {
			got, _ := cssSelected(t, doc, selector)
			want := cascadia.QueryAll(doc, cascadia.MustCompile(selector))
			require.True(t, slices.Equal(want, got), "%s: %d instead of %d", selector, len(got), len(want))
			selector = c.selector()
		}
	})
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
