package crawl_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tulle-go/tulle/crawl"
)

// TestElementReferrerPolicy reads what elements say, by the HTML standard: noreferrer wins, and is for links and forms; what is no policy says nothing.
func TestElementReferrerPolicy(t *testing.T) {
	t.Parallel()
	for element, want := range map[string]string{
		`<a href=/x>`:                                            "",
		`<a href=/x rel="NOFOLLOW NoReferrer">`:                  "no-referrer",
		`<a href=/x rel="noreferrer" referrerpolicy=unsafe-url>`: "no-referrer",
		`<a href=/x rel="noreferrers">`:                          "",
		`<a href=/x referrerpolicy="Same-Origin">`:               "same-origin",
		`<a href=/x referrerpolicy="never">`:                     "",
		`<a href=/x referrerpolicy>`:                             "",
		`<map><area href=/x rel=noreferrer></map>`:               "no-referrer",
		`<form rel=noreferrer></form>`:                           "no-referrer",
		`<form referrerpolicy=origin></form>`:                    "",
		`<img src=/x referrerpolicy=origin>`:                     "origin",
		`<img src=/x rel=noreferrer>`:                            "",
		`<iframe src=/x referrerpolicy=strict-origin></iframe>`:  "strict-origin",
		`<div href=/x rel=noreferrer referrerpolicy=origin>`:     "",
	} {
		nodes := page(t, "https://h/", htmlUTF8, element).Select("a, area, form, img, iframe, div")
		require.Len(t, nodes, 1)
		require.Equal(t, want, nodes[0].ReferrerPolicy(), element)
	}
	require.Empty(t, crawl.Node{}.ReferrerPolicy())
}

// TestFollowObeys has the links that are followed with what they say, unless the spider has its own word.
func TestFollowObeys(t *testing.T) {
	t.Parallel()
	const html = `<a href=/1>1</a><a href=/2 rel=noreferrer>2</a><a href=/3 referrerpolicy=origin>3</a><form id=f rel=noreferrer action=/4></form>`
	policies := func(with ...func(*crawl.Request)) []string {
		r, sink := page(t, "https://h/", htmlUTF8, html), new(keeping)
		out := crawl.NewOut(r, sink)
		require.True(t, out.FollowAll("a", "", with...))
		out.Request(r.Form("#f").Request("", with...))
		require.NoError(t, out.Err())
		var all []string
		for _, req := range sink.requests {
			all = append(all, req.Knob().ReferrerPolicy)
		}
		return all
	}
	require.Equal(t, []string{"", "no-referrer", "origin", "no-referrer"}, policies())
	own := func(req *crawl.Request) { req.SetKnobs(func(k *crawl.Knobs) { k.ReferrerPolicy = "unsafe-url" }) }
	require.Equal(t, []string{"unsafe-url", "unsafe-url", "unsafe-url", "unsafe-url"}, policies(own))
	shared := &crawl.Knobs{CookieJar: "one"}
	share := func(req *crawl.Request) { req.Knobs = shared }
	require.Equal(t, []string{"", "no-referrer", "origin", "no-referrer"}, policies(share))
	require.Empty(t, shared.ReferrerPolicy, "what requests share stays as it is")
}

// TestPageReferrerPolicy reads the page's own word, whether it has been parsed before or not.
func TestPageReferrerPolicy(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("<p>text</p>", 10_000)
	for html, want := range map[string]string{
		`<p>nothing`:                                                                             "",
		`<script>document.referrer</script>`:                                                     "",
		`<meta name=referrer content=no-referrer>`:                                               "no-referrer",
		`<META NAME="Referrer" CONTENT="ORIGIN">`:                                                "origin",
		`<meta name=referrer content=never><meta name=referrer content=always>`:                  "unsafe-url",
		`<meta name=referrer content=origin><meta name=referrer content=mine>`:                   "origin",
		`<meta name=referrer content=default>`:                                                   "strict-origin-when-cross-origin",
		`<meta name=referrer content=origin-when-crossorigin>`:                                   "origin-when-cross-origin",
		`<meta name=referrer content="">`:                                                        "",
		`<meta name=description content="the referrer: origin">`:                                 "",
		`<body><p>late<meta content=same-origin name=referrer>`:                                  "same-origin",
		`<template><p><b><meta name=referrer content=origin></b></p></template><p>x`:             "",
		`<template></template><meta name=referrer content=origin>`:                               "origin",
		`<meta name=referrer content=origin>` + many:                                             "origin",
		`<meta data-x="` + strings.Repeat("x", 300) + `" name=referrer content=origin>`:          "origin",
		`<!doctype html><html><head><meta charset=utf-8><meta name='referrer' content='origin'>`: "origin",
	} {
		unparsed, parsed := page(t, "https://h/", htmlUTF8, html), page(t, "https://h/", htmlUTF8, html)
		parsed.CSS("a")
		require.Equal(t, want, parsed.ReferrerPolicy(), html[:min(len(html), 80)])
		require.Equal(t, want, unparsed.ReferrerPolicy(), html[:min(len(html), 80)])
		require.NoError(t, unparsed.Err())
	}
	// A large page is in a file. It is read as far as its head.
	spool := &crawl.Spool{Over: 1000, Dir: t.TempDir()}
	body, err := spool.Read(strings.NewReader(`<meta name=referrer content=origin>`+many), -1, 0)
	require.NoError(t, err)
	require.NotEmpty(t, body.Path())
	large := page(t, "https://h/", htmlUTF8, "")
	large.Body = body
	require.Equal(t, "origin", large.ReferrerPolicy())
	require.NoError(t, body.Close())
	// What is no page has none, and nobody complains.
	other := page(t, "https://h/", "text/plain", `<meta name=referrer content=origin>`)
	require.Empty(t, other.ReferrerPolicy())
	require.NoError(t, other.Err())
}
