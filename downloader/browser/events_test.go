package browser

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEnds tells XML that is there to its end from what was cut short.
func TestEnds(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"": true, "no XML": true, "<a/>": true, "<a b='c' />\n": true, "<?xml version='1.0'?><!-- <b> --><a>x</a><!-- end -->": true, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a >": true,
		"\xef\xbb\xbf<n:a></n:a>": true, "\xff\xfe<\x00a\x00>\x00": true, "<\x00a\x00>\x00": true,
		"<a>": false, "<a": false, "<a><b/></": false, "<!-- <b/> --><a><b/>": false, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>": false, "<?xml?><a><b></b>": false,
	} {
		require.Equal(t, want, ends([]byte(raw)), "%q", raw)
	}
}
