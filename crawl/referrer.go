package crawl

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// ReferrerPolicy is what the element says of the Referer of a request that it leads to: "no-referrer" with rel="noreferrer" of a link or a form, else its referrerpolicy
// attribute if that is one of the W3C's policies, else "". [Out.FollowAll], forms and link extractors obey it; who follows a link by its address alone sets
// Knobs.ReferrerPolicy to it.
func (n Node) ReferrerPolicy() string {
	if n.Node == nil {
		return ""
	}
	return elementPolicy(n.Node)
}

func elementPolicy(n *html.Node) string {
	switch n.DataAtom {
	case atom.A, atom.Area, atom.Form:
		for i := range n.Attr {
			if n.Attr[i].Key == "rel" && saysNoReferrer(n.Attr[i].Val) {
				return "no-referrer"
			}
		}
		if n.DataAtom == atom.Form {
			return ""
		}
	case atom.Img, atom.Iframe, atom.Link, atom.Script:
	default:
		return ""
	}
	for i := range n.Attr {
		if n.Attr[i].Key == "referrerpolicy" {
			return referrerPolicies[referrerPolicyOf(n.Attr[i].Val)]
		}
	}
	return ""
}

// obey sets the policy that an element has for the request, unless the spider has.
func (r *Request) obey(policy string) {
	if policy != "" && r.Knob().ReferrerPolicy == "" {
		r.SetKnobs(func(k *Knobs) { k.ReferrerPolicy = policy })
	}
}

// saysNoReferrer looks for the word in a list of words.
func saysNoReferrer(list string) bool {
	if len(list) < len("noreferrer") {
		return false
	}
	for word := range strings.FieldsSeq(list) {
		if strings.EqualFold(word, "noreferrer") {
			return true
		}
	}
	return false
}

// referrerPolicies are the W3C's, after that of a page which has none.
var referrerPolicies = [...]string{
	"", "no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin", "origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url",
}

// referrerPolicyOf is the place of a policy as the W3C writes it, 0 if the text is none.
func referrerPolicyOf(text string) uint32 {
	for i, policy := range referrerPolicies {
		if strings.EqualFold(text, policy) {
			return uint32(i)
		}
	}
	return 0
}

// referrerHead is how much of a page that nobody has parsed is looked through for its policy.
const referrerHead = 64 << 10

// ReferrerPolicy is what the page says of the Referer of all that it leads to, in <meta name="referrer">, as one of the W3C's policies; "" if it says nothing. The last one that is
// a policy counts, as in browsers. A page that has not been parsed is not parsed for it, unless there is such an element in its first 64 KiB.
func (r *Response) ReferrerPolicy() string {
	known := r.page.referrer.Load()
	if known == 0 {
		switch r.Kind() {
		case BodyHTML, BodyXML: // XHTML
			if countTags(r.Body.head(referrerHead)).referrer {
				_, _ = r.parse() // which notes it. Who asks for the page itself will be told of errors.
			}
		}
		r.page.referrer.CompareAndSwap(0, 1)
		known = r.page.referrer.Load()
	}
	return referrerPolicies[known-1]
}

// pagePolicy is that of the page's last <meta name="referrer"> with one.
func pagePolicy(root *html.Node) uint32 {
	var policy uint32
	for n := root; n != nil; {
		if n.DataAtom == atom.Meta && n.Type == html.ElementNode {
			if own := metaPolicy(n); own != 0 {
				policy = own
			}
		}
		if n.DataAtom == atom.Template && n.FirstChild != nil { // What stands in it is no part of the page.
			n = n.LastChild
			for n.LastChild != nil {
				n = n.LastChild
			}
		}
		n = following(n)
	}
	return policy
}

func metaPolicy(n *html.Node) uint32 {
	var name, content string
	for i := range n.Attr {
		switch n.Attr[i].Key {
		case "name":
			name = n.Attr[i].Val
		case "content":
			content = n.Attr[i].Val
		}
	}
	if !strings.EqualFold(name, "referrer") {
		return 0
	}
	switch strings.ToLower(content) { // words of old
	case "never":
		content = "no-referrer"
	case "default":
		content = "strict-origin-when-cross-origin"
	case "always":
		content = "unsafe-url"
	case "origin-when-crossorigin":
		content = "origin-when-cross-origin"
	}
	return referrerPolicyOf(content)
}

// mentionsReferrer reports whether a tag, of which page is the rest, has the word in it. It does not look far, as a page may have many tags without an end.
func mentionsReferrer(page []byte) bool {
	const rest, far = "eferrer", 512
	page = page[:min(len(page), far)]
	for tag := page[:tagLen(page)]; ; {
		i := bytes.IndexAny(tag, "rR")
		if i < 0 || len(tag)-i <= len(rest) {
			return false
		}
		tag = tag[i+1:]
		if strings.EqualFold(string(tag[:len(rest)]), rest) {
			return true
		}
	}
}
