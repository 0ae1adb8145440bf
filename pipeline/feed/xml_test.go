package feed

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tulle-go/tulle/crawl"
)

const xmlHead = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<items>\n"

func TestXML(t *testing.T) {
	t.Parallel()
	nested := map[string]any{"a": []any{1, "x", nil, []int{2}, map[string]any{"n": nil, "é": true}}, "b": map[string]any{}, "c": nil, "d": []int{}}
	const nestedXML = "<item><a><value>1</value><value>x</value><value></value><value><value>2</value></value><value><é>true</é></value></a><b></b><d></d></item>"
	for _, c := range []struct {
		name  string
		conf  crawl.Feed
		items []any
		want  string
	}{
		{"items", crawl.Feed{}, []any{lamp, chair}, xmlHead +
			`<item><name>Lamp "Ines", &lt;b&gt;&amp;&lt;/b&gt;</name><price>1e+21</price><tags><value>a</value><value>b</value></tags><specs><Höhe>12 cm</Höhe></specs><Plain>false</Plain></item>` + "\n" +
			"<item><seen>today</seen><name>Stuhl\nzwei</name><price>0.5</price><stock>3</stock><Plain>true</Plain></item>\n</items>\n"},
		{"none", crawl.Feed{}, nil, xmlHead + "</items>\n"},
		{"nested", crawl.Feed{}, []any{nested}, xmlHead + nestedXML + "\n</items>\n"},
		{"nothing in it", crawl.Feed{}, []any{map[string]any{"a": nil}}, xmlHead + "<item></item>\n</items>\n"},
		{"fields and names", crawl.Feed{Fields: []string{"b", "none", "a"}, Rename: map[string]string{"a": "1st", "x": "y"}, XML: crawl.XMLFeed{Root: "rows", Item: "row"}},
			[]any{map[string]any{"a": 1, "b": map[string]any{"x": 2}, "c": 3}}, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<rows>\n<row><b><x>2</x></b><_x0031_st>1</_x0031_st></row>\n</rows>\n"},
		{"indented", crawl.Feed{Indent: 2}, []any{map[string]any{"a": []int{1, 2}, "b": "x", "c": map[string]any{}}, map[string]any{}}, xmlHead +
			"  <item>\n    <a>\n      <value>1</value>\n      <value>2</value>\n    </a>\n    <b>x</b>\n    <c></c>\n  </item>\n  <item></item>\n</items>\n"},
		{"control characters", crawl.Feed{}, []any{map[string]any{"a": "\x00\x1b\t\r\n]]>\u0085\ufffe\U0001f600"}}, xmlHead +
			"<item><a>\ufffd\ufffd\t&#13;\n]]&gt;\u0085\ufffd\U0001f600</a></item>\n</items>\n"},
		{"broken text", crawl.Feed{}, []any{map[string]any{"a": json.RawMessage("\"x\xff\"")}}, xmlHead + "<item><a>x\ufffd</a></item>\n</items>\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.conf.URI = filepath.Join(t.TempDir(), "f.xml")
			require.Equal(t, c.want, run(t, c.conf, c.items...))
			require.NoError(t, xml.Unmarshal([]byte(c.want), new(any)))
		})
	}
	for _, name := range []string{"1st", "a b", "_x", "a:b"} {
		_, err := newMarkup(crawl.Feed{XML: crawl.XMLFeed{Item: name}})
		require.EqualError(t, err, fmt.Sprintf("%q is no name of an XML element: want letters, digits, - _ and ., and a letter first", name))
	}
}

func TestXMLAppend(t *testing.T) {
	t.Parallel()
	item := map[string]any{"a": 1}
	const one = "<item><a>1</a></item>\n"
	for _, c := range []struct{ before, want string }{
		{xmlHead + one + "</items>\n", xmlHead + one + one + "</items>\n"},
		{xmlHead + "</items>\n", xmlHead + one + "</items>\n"},
		{"<items></items>", "<items>\n" + one + "</items>\n"},
		{"<items lang='de'><item/></items>  \n\n", "<items lang='de'><item/>\n" + one + "</items>\n"},
		{"<?xml version='1.0'?>\n<items/>\n", "<?xml version='1.0'?>\n<items>\n" + one + "</items>\n"},
		{"<items>" + strings.Repeat("<item/>", 3000) + "</items>", "<items>" + strings.Repeat("<item/>", 3000) + "\n" + one + "</items>\n"},
	} {
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.xml")}
		require.NoError(t, os.WriteFile(conf.URI, []byte(c.before), 0o600))
		require.Equal(t, c.before, run(t, conf), "no item, no change")
		require.Equal(t, c.want, run(t, conf, item))
		require.NoError(t, xml.Unmarshal([]byte(c.want), new(any)))
	}
	for _, bad := range []string{"<items>", "<rows></rows>", "[]", "</items>"} {
		conf := crawl.Feed{URI: filepath.Join(t.TempDir(), "f.xml")}
		require.NoError(t, os.WriteFile(conf.URI, []byte(bad), 0o600))
		env, _ := environment(t)
		_, err := Open(t.Context(), env, []crawl.Feed{conf})
		require.ErrorContains(t, err, "the file is no XML that begins with <items> and ends with </items>: overwrite it (-O), or append to another file")
	}
}

var escape = regexp.MustCompile(`_x([0-9A-F]{4}|[0-9A-F]{6})?_`)

// TestXMLBack reads names and values back as they were.
func TestXMLBack(t *testing.T) {
	t.Parallel()
	names := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "_", "_x", "_x_", "_x0041_", "__x005F_", "xml", "a:b", "-a", "1", "a b", "\U0001f600", "\ufffd", "é", "<"}))
	values := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool {
		return r >= 0x20 && r != 0xfffe && r != 0xffff || r == '\n' || r == '\t' || r == '\r'
	}))
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOf(names, values).Draw(t, "item")
		enc, err := newMarkup(crawl.Feed{})
		require.NoError(t, err)
		head, err := enc.Begin(nil)
		require.NoError(t, err)
		file, err := enc.Record(head, want)
		require.NoError(t, err)
		var doc struct {
			Item []struct {
				Fields []struct {
					XMLName xml.Name
					Text    string `xml:",chardata"`
				} `xml:",any"`
			} `xml:"item"`
		}
		require.NoError(t, xml.Unmarshal(append(file, enc.End()...), &doc), "%s", file)
		require.Len(t, doc.Item, 1)
		got := make(map[string]string)
		for _, f := range doc.Item[0].Fields {
			name := escape.ReplaceAllStringFunc(f.XMLName.Local, func(e string) string {
				n, err := strconv.ParseInt("0"+e[2:len(e)-1], 16, 32)
				if e == "_x_" {
					return ""
				}
				require.NoError(t, err)
				return string(rune(n))
			})
			got[name] = f.Text
		}
		require.Equal(t, want, got, "%s", file)
	})
}
