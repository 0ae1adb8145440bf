package bundled

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShelfHasEveryProductOnce(t *testing.T) {
	t.Parallel()
	for _, products := range []int{1, 5, 13, 20, 49, 50, 51, 321} {
		s := newShelf(products)
		seen := map[int]*category{}
		for i := range departments {
			for _, c := range departments[i].categories {
				for place := range s.count(c) {
					n := s.number(c, place)
					require.NotContains(t, seen, n, "%d products", products)
					seen[n] = c
					gotCategory, gotPlace := s.place(n)
					require.Same(t, c, gotCategory, "product %d", n)
					require.Equal(t, place, gotPlace, "product %d", n)
				}
				require.Greater(t, s.number(c, s.count(c)), products, "the first that %s does not have", c.slug)
			}
		}
		require.Len(t, seen, products)
	}
}

func TestEveryCategoryOfASmallShopHasSomething(t *testing.T) {
	t.Parallel()
	s := newShelf(13)
	for i := range departments {
		for _, c := range departments[i].categories {
			require.Equal(t, 1, s.count(c), c.slug)
		}
	}
}

func TestPriceText(t *testing.T) {
	t.Parallel()
	for cents, want := range map[int]string{400: "€4.00", 1295: "€12.95", 99990: "€999.90", 100000: "€1,000.00", 124905: "€1,249.05"} {
		require.Equal(t, want, price(cents))
	}
}

// What a category says about its drawings has one entry for each of its kinds, and every kind has its words.
func TestCategoriesAreComplete(t *testing.T) {
	t.Parallel()
	for i := range departments {
		for _, c := range departments[i].categories {
			require.Len(t, c.settings, len(c.kinds), c.slug)
			require.NotEmpty(t, c.openings, c.slug)
			require.NotEmpty(t, c.closings, c.slug)
			for _, k := range c.kinds {
				require.NotEmpty(t, k.noun, k.name)
				require.LessOrEqual(t, k.lo, k.hi, k.name)
				require.NotEmpty(t, k.measures, k.name)
				for _, m := range slices.Concat(c.materials, k.from) {
					require.Contains(t, materials, m, "%s has a swatch", m.name)
				}
			}
		}
	}
}

func TestProductsVary(t *testing.T) {
	t.Parallel()
	s := NewSite(SiteOptions{})
	titles, descriptions := map[string]int{}, map[string]int{}
	pictures, soldOut, few := map[int]int{}, 0, 0
	for n := 1; n <= s.Products(); n++ {
		p := s.Product(n)
		titles[p.Title]++
		descriptions[p.Description]++
		pictures[len(p.Images)]++
		require.NotContains(t, p.Description, "{", "product %d", n)
		switch {
		case p.Stock == 0:
			soldOut++
		case p.Stock < 4:
			few++
		}
	}
	require.Len(t, titles, s.Products(), "no two products have the same title")
	require.Greater(t, len(descriptions), s.Products()*9/10)
	for count := 1; count <= 4; count++ {
		require.NotZero(t, pictures[count], "products with %d pictures", count)
	}
	require.Len(t, pictures, 4)
	require.NotZero(t, soldOut)
	require.NotZero(t, few)
}
