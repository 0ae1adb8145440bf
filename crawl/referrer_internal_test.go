package crawl

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMentionsReferrer looks through one tag, and not far into one that has no end: each of a hundred thousand such tags would be looked through to the end of the page.
func TestMentionsReferrer(t *testing.T) {
	t.Parallel()
	for rest, want := range map[string]bool{
		"meta name=referrer>": true, "META NAME='ReFeRReR'>": true, "meta content=x name=\"referrer\"": true, "meta>referrer": false, "meta name=refer>": false,
		"meta a='>' name=referrer>": true, "meta rrrrreferrer": true, "": false,
		"meta " + strings.Repeat(" ", 400) + "name=referrer>": true, "meta " + strings.Repeat(" ", 600) + "name=referrer>": false,
	} {
		require.Equal(t, want, mentionsReferrer([]byte(rest)), rest)
	}
}
