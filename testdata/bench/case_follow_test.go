package main

import (
	"bytes"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/stretchr/testify/require"
)

func TestFollowSite(t *testing.T) {
	t.Parallel()
	const n = 200
	s := followSite(n)
	hash := fnv.New64a()
	found := make([]int, n) // links to each page
	next, reached := []int{0}, map[int]bool{0: true}
	var items int64
	var sum uint64
	var r reply
	for len(next) > 0 {
		page := next[0]
		next = next[1:]
		r.room = r.room[:0]
		s.show(page, &r)
		require.GreaterOrEqual(t, len(r.body), followLeast, "page %d", page)
		require.LessOrEqual(t, len(r.body), followMost, "page %d", page)

		doc, err := goquery.NewDocumentFromReader(bytes.NewReader(r.body))
		require.NoError(t, err)
		items++
		sum += itemHash(doc.FindMatcher(followTitle).Text(), doc.FindMatcher(followPrice).Text())
		links := doc.FindMatcher(followLink)
		require.Equal(t, followLinks, links.Length())
		for _, a := range links.EachIter() {
			href := a.AttrOr("href", "")
			to := pageOf([]byte(href), n)
			require.GreaterOrEqual(t, to, 0, href)
			require.Equal(t, string(appendTitle(nil, to)), a.Text())
			found[to]++
			if !reached[to] {
				reached[to] = true
				next = append(next, to)
			}
		}
	}
	require.Len(t, reached, n, "every page can be reached")
	several := 0
	for _, links := range found {
		if links > 1 {
			several++
		}
	}
	require.Greater(t, several, n*99/100, "pages are found from several others")
	wantItems, wantSum := followItems(n)
	require.Equal(t, wantItems, items)
	require.Equal(t, wantSum, sum)

	for page := range n {
		r.room = r.room[:0]
		s.show(page, &r)
		hash.Write(r.body)
	}
	require.Equal(t, uint64(0x1b48dbb46d195ad8), hash.Sum64(), "figures of one version of this program are compared with another's: the pages stay as they are")
}

func TestFollowPrice(t *testing.T) {
	t.Parallel()
	require.Equal(t, "£1.00", string(appendPrice(nil, 0)))
	require.Equal(t, "£4.70", string(appendPrice(nil, 10)))
	require.True(t, strings.HasSuffix(string(appendTitle(nil, 19999)), " No. 19999"))
}
