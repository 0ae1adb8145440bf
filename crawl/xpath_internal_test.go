package crawl

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// xpathLooked is how many nodes are looked at for an expression, and how many it gives.
func xpathLooked(t *testing.T, doc *html.Node, expr string) (looked, found int) {
	t.Helper()
	x, err := parseXPath(expr, nil)
	require.NoError(t, err, expr)
	run, context := x.run(Node{Node: doc})
	found = len(x.expr.nodes(context))
	require.NoError(t, run.err, expr)
	return run.looked, found
}

// A page of four times the size takes four times the work, where each node asks for what stands beside it.
func TestXPathWorkGrowsWithThePage(t *testing.T) {
	t.Parallel()
	page := func(n int) *html.Node {
		return cssTree(t, "<body><h2>a</h2>"+strings.Repeat("<p>x</p><i>y</i>", n)+"<div><h3>z</h3></div>"+strings.Repeat("<div><p>x</p></div>", n))
	}
	small, large := page(1000), page(4000)
	for _, beside := range []string{"preceding-sibling", "following-sibling", "preceding", "following"} {
		for _, expr := range []string{
			"//p[count(AXIS::p) mod 3 = 1]", "//p[count(AXIS::*) > 5]", "//p[count(AXIS::p[. = 'x']) = 7]", "//p[count(AXIS::p[position() > 2]) = 7]", "//p[count(AXIS::p[. = 'x'][position() < last()]) = 7]",
			"//p[AXIS::u]", "//p[not(AXIS::h2)]", "//p[AXIS::h2]", "//p[AXIS::h3/@id]", "//p[AXIS::h2 = 'b']", "//p[AXIS::h2[1][. = 'b']]", "//p[AXIS::*[1][self::h2]]", "//p[AXIS::h2[. = 'b'][1]]",
			"//p/AXIS::u", "//p/AXIS::u[1]", "//p/AXIS::h2[1]", "//p/AXIS::h3[last()]", "//p/AXIS::p[2]", "//p/AXIS::p[last() - 1]", "//p/AXIS::p[last() - 1][. = 'x']", "//p/AXIS::p[. = 'x'][last()]",
			"//p/AXIS::p[position() < 4]", "//p/AXIS::p[4 > position()][2]", "//p/AXIS::p[position() >= 2]", "//p/AXIS::p[position() > last() - 3]", "//p/AXIS::p[position() = 2][i]", "//p/AXIS::p[position() < 1]",
			"//p[string(AXIS::h2) = 'a']", "//p[string(AXIS::p) = 'b']", "//p[string(AXIS::p[position() > 1]) = 'b']", "//p[AXIS::p[last()] = 'b']", "//p[AXIS::node()[last()][self::i]]", "//p[name(AXIS::*) = 'h2']",
		} {
			expr = strings.ReplaceAll(expr, "AXIS", beside)
			few, foundFew := xpathLooked(t, small, expr)
			many, found := xpathLooked(t, large, expr)
			require.LessOrEqual(t, many, 5*few+4*xpathFarOnPage, expr)
			require.Less(t, many, 60*8000+4*xpathFarOnPage, expr)
			require.GreaterOrEqual(t, found, foundFew, expr)
		}
	}
}

// What is quadratic all the same ends, and says what to do.
func TestXPathWorkIsBound(t *testing.T) {
	t.Parallel()
	doc := cssTree(t, "<body>"+strings.Repeat("<p>x</p>", 2000))
	for _, expr := range []string{"//p[not(. = preceding-sibling::p)]/i | //p[sum(preceding-sibling::p) = 1]", "sum(//p[sum(preceding::p) > 1])", "//p[//p[count(../p) = 1]]"} {
		x, err := parseXPath(expr, nil)
		require.NoError(t, err)
		run, context := x.run(Node{Node: doc})
		require.EqualValues(t, maxXPathWork, run.limits.most)
		run.limits.most = 1 << 20
		truthOf(x.expr, context)
		require.ErrorIs(t, run.err, errXPathWork, expr)
		require.Less(t, run.looked, run.limits.most+100_000, "it ends")
	}
}

// What is found as a piece of a list is what each node finds by itself.
func TestXPathBesideIsTheSame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 5))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	for range 2 {
		var b strings.Builder
		open := 0
		for range 100 {
			if b.WriteString(pick("<u", "<s", "<q") + pick("", " class=x", " id=k") + ">" + pick("", "t", "v<!--c-->")); open < 12 && r.IntN(4) == 0 {
				open++
				continue
			}
			if b.WriteString("</u></s></q>" + pick("", "w")); open > 0 && r.IntN(30) == 0 {
				b.WriteString("</div>")
				open--
			}
		}
		doc := cssTree(t, "<div>"+b.String())
		all, err := parseXPath("//node() | //@class", nil)
		require.NoError(t, err)
		at, err := all.selectNodes(Node{Node: doc})
		require.NoError(t, err)
		require.Greater(t, len(at), 150)
		eval := func(expr string, n Node) (any, *xpathRun) {
			x, err := parseXPath(expr, nil)
			require.NoError(t, err, expr)
			run, c := x.run(n)
			run.limits.near, run.limits.far, run.limits.farOnPage = 0, 0, 0
			if x.nodes {
				return xpathOrder(append([]xpathNode{}, x.expr.nodes(c)...)), run
			}
			return textOf(x.expr, c), run
		}
		pieces := 0
		for range 150 {
			step := pick("preceding-sibling", "following-sibling", "preceding", "following") + "::" + pick("u", "s", "*", "node()", "text()", "comment()", "x")
			preds := func() string {
				n := fmt.Sprint(r.IntN(5))
				return pick("", "", "[@class]", "[. = 't']", "["+n+"]", "[last()]", "[last() - "+n+"]", "[position() < "+n+"]", "[position() >= "+n+"]", "["+n+" = position()]", "[position() != "+n+"]",
					"[position() mod 2 = 1]", "[position() > last() - "+n+"]", "[position() <= 2.5]", "[position() + 1 = last()]", "[last() > 3]", "[position() > -1 div 0]", "[0 div 0]", "[@id][u]")
			}
			step += preds() + preds() + preds()

			// From all nodes at once, and from each.
			got, run := eval("(//node() | //@class)/"+step, Node{Node: doc})
			for key := range run.sides {
				if run.sides[key].before != nil {
					pieces++
				}
			}
			seen := make(map[xpathNode]bool)
			var want []xpathNode
			for _, n := range at {
				one, run := eval(step, n)
				for _, side := range run.sides {
					require.Nil(t, side.before, "a step that is taken once makes no list")
				}
				for _, f := range one.([]xpathNode) {
					if !seen[f] {
						seen[f] = true
						want = append(want, f)
					}
				}
			}
			require.Equal(t, len(want), len(got.([]xpathNode)), step)
			require.Equal(t, xpathOrder(append([]xpathNode{}, want...)), got, step)

			// In a predicate, for each node.
			ask := pick("count(S) = 2", "S", "not(S)", "string(S) = 't'", "S = 'v'", "name(S) = 'u'", "count(S[@class]) > 3", "S/@class", "S/u", "count(S) = count(S[last()])", "S[2] = S[1]", "count(S[1]/ancestor::*) = 4", "count(S[last()]/descendant::*) = 0", "S[2]/@id")
			ask = strings.ReplaceAll(ask, "S", step)
			got, _ = eval("(//node() | //@class)["+ask+"]", Node{Node: doc})
			want = nil
			for _, n := range at {
				if yes, _ := eval("boolean("+ask+")", n); yes == "true" {
					_, c := all.run(n)
					want = append(want, c.node)
				}
			}
			require.Equal(t, append([]xpathNode{}, xpathOrder(want)...), append([]xpathNode{}, got.([]xpathNode)...), ask)
		}
		require.Greater(t, pieces, 60, "lists were made")
	}
}
