package crawl_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tulle-go/tulle/crawl"
)

// TestXPathLikeLxml holds every expression of xpath.json to what lxml makes of it; xpath.py says how it is written.
func TestXPathLikeLxml(t *testing.T) {
	t.Parallel()
	var golden struct {
		Spaces map[string]string
		Pages  []struct {
			Kind, Body string
			From       map[string]map[string]any
		}
	}
	b, err := os.ReadFile("testdata/xpath.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &golden))
	spaces := crawl.Vars{}
	for prefix, uri := range golden.Spaces {
		spaces["xmlns:"+prefix] = uri
	}
	n := 0
	for i, p := range golden.Pages {
		r := page(t, "http://h/", map[string]string{"html": htmlUTF8, "xml": "text/xml"}[p.Kind], p.Body)
		for from, asked := range p.From {
			at := r.XPath(from)
			require.Len(t, at, 1)
			for expr, want := range asked {
				n++
				got := at[0].Eval(expr, spaces)
				require.NoError(t, r.Err(), expr)
				switch v := got.(type) {
				case float64:
					number := want.(map[string]any)["number"].(string)
					f, err := strconv.ParseFloat(number, 64)
					require.NoError(t, err)
					require.Equal(t, strconv.FormatFloat(f+0, 'g', 15, 64), strconv.FormatFloat(v+0, 'g', 15, 64), "page %d from %s: %s", i, from, expr)
				case crawl.Nodes:
					places := []any{}
					for _, n := range v {
						if n.Type == html.DocumentNode { // which lxml leaves out
							continue
						}
						places = append(places, placeOf(n))
					}
					require.Equal(t, want, places, "page %d from %s: %s", i, from, expr)
				default:
					require.Equal(t, want, got, "page %d from %s: %s", i, from, expr)
				}
			}
		}
	}
	require.Greater(t, n, 3000)
}

// placeOf is the places of all that a node stands in among their siblings.
func placeOf(n crawl.Node) string {
	var places []string
	for m := n.Node; m.Parent != nil; m = m.Parent {
		i := 0
		for s := m.PrevSibling; s != nil; s = s.PrevSibling {
			i++
		}
		places = append(places, strconv.Itoa(i))
	}
	slices.Reverse(places)
	place := "/" + strings.Join(places, "/")
	if n.Attribute == "" {
		return place
	}
	name := n.Attribute
	if prefix, local, ok := strings.Cut(name, ":"); ok {
		space := "http://www.w3.org/XML/1998/namespace"
		for m := n.Node; m != nil && prefix != "xml"; m = m.Parent {
			if i := slices.IndexFunc(m.Attr, func(a html.Attribute) bool { return a.Key == "xmlns:"+prefix }); i >= 0 {
				space = m.Attr[i].Val
				break
			}
		}
		name = fmt.Sprintf("{%s}%s", space, local)
	}
	return place + "@" + name
}
