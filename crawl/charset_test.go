package crawl_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

func TestCharset(t *testing.T) {
	t.Parallel()
	const ja, zh, ru = "これは日本語で書かれた文章です。", "这是一个用中文写的网页,谢谢大家。", "Это обычный русский текст, который написан для того, чтобы его можно было узнать."
	enc := func(e encoding.Encoding, s string) string {
		out, err := e.NewEncoder().String(s)
		require.NoError(t, err)
		return out
	}
	sjis, gbk, win := enc(japanese.ShiftJIS, ja), enc(simplifiedchinese.GBK, zh), enc(charmap.Windows1251, ru)
	for name, c := range map[string]struct{ header, body, want string }{
		"shift_jis by header":    {"text/html; charset=Shift_JIS", sjis, ja},
		"gbk by header":          {`text/html;charset="gb2312"`, gbk, zh},
		"windows-1251 by header": {"text/html; charset=windows-1251", win, ru},
		"shift_jis by meta":      {"text/html", `<meta charset=shift_jis>` + sjis, `<meta charset=shift_jis>` + ja},
		"gbk by http-equiv":      {"text/html", `<meta http-equiv=content-type content="text/html; charset=gbk">` + gbk, `<meta http-equiv=content-type content="text/html; charset=gbk">` + zh},
		"header wins over meta":  {"text/html; charset=windows-1251", `<meta charset=shift_jis>` + win, `<meta charset=shift_jis>` + ru},
		"utf-8 header over meta": {htmlUTF8, `<meta charset=shift_jis>` + ja, `<meta charset=shift_jis>` + ja},
		"mark wins over header":  {"text/html; charset=gbk", "\xef\xbb\xbf" + ja, ja},
		"utf-16le by mark":       {"text/html", enc(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), ja), ja},
		"utf-16be by mark":       {htmlUTF8, enc(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), ja), ja},
		"unknown in header":      {"text/html; charset=klingon", ja, ja},
		"nothing, utf-8":         {"", ru, ru},
		"nothing, windows-1251":  {"", win + win, ru + ru},
		"nothing, shift_jis":     {"", sjis + sjis, ja + ja},
		"not what it says":       {htmlUTF8, "a\xffb", "a\ufffdb"},
		"empty":                  {"", "", ""},
	} {
		got, err := page(t, "http://h/", c.header, c.body).Decoded()
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	require.Equal(t, ja, page(t, "http://h/", "text/html; charset=shift_jis", "<p>"+sjis).Text("p"), "selectors see text")
	utf16 := enc(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), "<p>"+ru)
	require.Equal(t, ru, page(t, "http://h/", "", utf16).Text("p"))
}
