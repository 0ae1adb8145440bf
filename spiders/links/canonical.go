package links

import (
	"net/url"
	"strings"

	"golang.org/x/net/html/atom"

	"github.com/tulle-go/tulle/crawl"
)

// Canonical is the address that a page says is its own: that of <link rel="canonical"> in its head, else of a Link header (RFC 6596). It is nil where the page says
// nothing, or what is no http or https address. It may be the address that was asked.
func Canonical(r *crawl.Response) *url.URL {
	if r.Kind() == crawl.BodyHTML {
		for _, n := range r.CSS("link[rel][href]").Nodes {
			if n.Parent != nil && n.Parent.DataAtom == atom.Body { // where a comment could have put it
				continue
			}
			var rel, href string
			for _, a := range n.Attr {
				switch a.Key {
				case "rel":
					rel = a.Val
				case "href":
					href = a.Val
				}
			}
			if hasWord(rel, "canonical") {
				return own(r, href)
			}
		}
	}
	for _, value := range r.Header.Values("Link") {
		for part := range strings.SplitSeq(value, ",") {
			ref, params, ok := strings.Cut(part, ">")
			_, ref, open := strings.Cut(ref, "<")
			if !ok || !open {
				continue
			}
			for param := range strings.SplitSeq(params, ";") {
				name, rel, _ := strings.Cut(strings.TrimSpace(param), "=")
				if strings.EqualFold(name, "rel") && hasWord(strings.Trim(rel, `"`), "canonical") {
					return own(r, ref)
				}
			}
		}
	}
	return nil
}

func own(r *crawl.Response, ref string) *url.URL {
	u, err := r.Join(ref)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return u
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

func withoutFragment(u *url.URL) string {
	s, _, _ := strings.Cut(u.String(), "#")
	return s
}
