package browser

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/stretchr/testify/require"
)

// TestSetCookies hands on what has changed, and is the page's own site's.
func TestSetCookies(t *testing.T) {
	t.Parallel()
	got := []*network.Cookie{
		{Name: "sent", Value: "1", Domain: "www.shop.example", Path: "/"},
		{Name: "changed", Value: "2", Domain: "www.shop.example", Path: "/", HTTPOnly: true},
		{Name: "brought", Value: "3", Domain: "www.shop.example", Path: "/p"},
		{Name: "site", Value: "4", Domain: ".shop.example", Path: "/", Secure: true, SameSite: "Lax", Expires: 1_800_000_000.5},
		{Name: "other", Value: "5", Domain: "ads.example", Path: "/"},
		{Name: "ending", Value: "6", Domain: "op.example", Path: "/"},
		{Name: "later", Value: "7", Domain: "www.shop.example", Path: "/", Expires: 1_800_000_000},
	}
	had := []*network.Cookie{
		{Name: "sent", Value: "1", Domain: "www.shop.example", Path: "/"},
		{Name: "changed", Value: "1", Domain: "www.shop.example", Path: "/"},
		{Name: "later", Value: "7", Domain: "www.shop.example", Path: "/", Expires: 1_700_000_000},
		{Name: "ended", Value: "8", Domain: "www.shop.example", Path: "/", Expires: -1},
		{Name: "gone", Value: "9", Domain: ".shop.example", Path: "/", Secure: true, Expires: 1_900_000_000},
	}
	require.Equal(t, []string{
		"changed=2; Path=/; HttpOnly",
		"site=4; Path=/; Domain=shop.example; Expires=Fri, 15 Jan 2027 08:00:00 GMT; Secure; SameSite=Lax",
		"later=7; Path=/; Expires=Fri, 15 Jan 2027 08:00:00 GMT",
		"gone=; Path=/; Domain=shop.example; Secure; Max-Age=0",
	}, setCookies(got, had, []string{"brought=3; Path=/p", "ended=; Path=/; Max-Age=0"}, "www.shop.example"))
}
