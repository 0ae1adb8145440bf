package spiders

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func csvOf(s string, most int) *csvReader {
	return &csvReader{in: bufio.NewReader(strings.NewReader(s)), comma: ',', quote: '"', most: most, line: 1}
}

func allRows(t testing.TB, c *csvReader) (rows []csvRow) {
	t.Helper()
	for {
		row, err := c.next()
		if err == io.EOF {
			return rows
		}
		require.NoError(t, err)
		rows = append(rows, row)
	}
}

// The rows are what Python 3.11's csv.reader makes of them, without those that are empty.
func TestCSVRowsArePythons(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want [][]string
	}{
		{"", nil},
		{"a,b,c\n1,2,3\n", [][]string{{"a", "b", "c"}, {"1", "2", "3"}}},
		{"a,\"b,c\",d\r\n", [][]string{{"a", "b,c", "d"}}},
		{"a,\"b \"\"c\"\"\",d\n", [][]string{{"a", "b \"c\"", "d"}}},
		{"a,\"line\nbreak\",c\nx,y,z\n", [][]string{{"a", "line\nbreak", "c"}, {"x", "y", "z"}}},
		{"a\"b,c\"d\",e\n", [][]string{{"a\"b", "c\"d\"", "e"}}},
		{"\"a\"b,\"c\" ,d\n", [][]string{{"ab", "c ", "d"}}},
		{"a, \"b\",c\n", [][]string{{"a", " \"b\"", "c"}}},
		{"\"\",,\"\"\n", [][]string{{"", "", ""}}},
		{"a,b\n\n\nc,d", [][]string{{"a", "b"}, {"c", "d"}}},
		{"\"a\"\"b\"\n", [][]string{{"a\"b"}}},
		{"\"\"\"\"\n", [][]string{{"\""}}},
		{"\"a\"x\"b\",c\n", [][]string{{"ax\"b\"", "c"}}},
		{"a\rb\rc\n", [][]string{{"a"}, {"b"}, {"c"}}},
		{"\"a\rb\"\r\"c\"\n", [][]string{{"a\rb"}, {"c"}}},
		{"é,\"ü\"\n", [][]string{{"é", "ü"}}},
		{"a,b,\n", [][]string{{"a", "b", ""}}},
		{" \n", [][]string{{" "}}},
		{",\n", [][]string{{"", ""}}},
		{"\"x\"\"\"y,z\n", [][]string{{"x\"y", "z"}}},
		{"a\x00b,c\n", [][]string{{"a\x00b", "c"}}},
		{"\"a\"\",\"\"b\",c\n", [][]string{{"a\",\"b", "c"}}},
		{"\"a\",\n\"b\"\n", [][]string{{"a", ""}, {"b"}}},
	} {
		var got [][]string
		for _, row := range allRows(t, csvOf(c.text, 100)) {
			require.NoError(t, row.err)
			got = append(got, row.fields)
		}
		require.Equal(t, c.want, got, "%q", c.text)
	}
}

func TestCSVLines(t *testing.T) {
	t.Parallel()
	c := csvOf("a,b\r\n\r\n#, \"x\n\"1\n2\",3\r'4,#5\n6\xff,7", 100)
	c.comment = '#'
	rows := allRows(t, c)
	require.Equal(t, []csvRow{{line: 1, fields: []string{"a", "b"}}, {line: 4, fields: []string{"1\n2", "3"}}, {line: 6, fields: []string{"'4", "#5"}}, {line: 7, fields: []string{"6\ufffd", "7"}}}, rows)

	c = csvOf("'a;b';\"c\n", 100)
	c.comma, c.quote = ';', '\''
	require.Equal(t, []string{"a;b", `"c`}, allRows(t, c)[0].fields)
	c = csvOf("\"a,b\n", 100)
	c.quote = 0
	require.Equal(t, []string{`"a`, "b"}, allRows(t, c)[0].fields)
}

// A row that is too long, or whose quote is never closed, costs itself and no other.
func TestCSVRowsThatAreWrong(t *testing.T) {
	t.Parallel()
	const most = 40
	long := strings.Repeat("x", 1000)
	for text, want := range map[string]string{
		"a,b\n\"1,2\n3,4\n5,6\n":     `1 a|b, 2 a quote that is not closed, or not within 40 bytes: "\"1,2", 3 3|4, 4 5|6`,
		"a,\"b\nc,\"d\ne,f":          "1 a|b\nc,d, 3 e|f", // closed by the one that begins the next field, which nothing can tell
		"1,2\n" + long + ",2\n3,4\n": `1 1|2, 2 a row of more than 40 bytes: "` + long[:41] + `", 3 3|4`,
		"\"" + long + "\n3,4\r\n":    `1 a quote that is not closed, or not within 40 bytes: "\"` + long[:40] + `", 2 3|4`,
		"\"x\n" + long + "\n3,4\n":   `1 a quote that is not closed, or not within 40 bytes: "\"x", 2 a row of more than 40 bytes: "` + long[:41] + `", 3 3|4`,
		"\"x\r3,4\r" + strings.Repeat("1,2\r\n", 3) + strings.Repeat("z", 30): `1 a quote that is not closed, or not within 40 bytes: "\"x", 2 3|4, 3 1|2, 4 1|2, 5 1|2, 6 ` + strings.Repeat("z", 30),
		"\"":    `1 a quote that is not closed, or not within 40 bytes: "\""`,
		"a\n\"": `1 a, 2 a quote that is not closed, or not within 40 bytes: "\""`,
		long:    `1 a row of more than 40 bytes: "` + long[:41] + `"`,
	} {
		var got []string
		for _, row := range allRows(t, csvOf(text, most)) {
			s := strings.Join(row.fields, "|")
			if row.err != nil {
				s = row.err.Error()
			}
			got = append(got, string(rune('0'+row.line%10))+" "+s)
		}
		require.Equal(t, want, strings.Join(got, ", "))
	}
	broken := errors.New("broken")
	c := csvOf("", 10)
	c.in = bufio.NewReader(io.MultiReader(strings.NewReader("a,b\nc"), iotest.ErrReader(broken)))
	row, err := c.next()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, row.fields)
	_, err = c.next()
	require.ErrorIs(t, err, broken)
}

// Lines that each would be in the quotes that the line before has left open are not read again and again.
func TestCSVQuotesThatCost(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("a\"b,\"c\n", 20_000) + "x,y\n"
	c := csvOf(text, 1<<14)
	rows := allRows(t, c)
	require.Len(t, rows, 20_001)
	require.Error(t, rows[19_999].err)
	require.Equal(t, []string{"x", "y"}, rows[20_000].fields)
	require.Equal(t, 20_001, rows[20_000].line)
	require.LessOrEqual(t, c.returned, 20*int64(c.most)+10*int64(len(text)))
}

// A row that is too long has the lines that it has.
func TestCSVLineAfterALongRow(t *testing.T) {
	t.Parallel()
	rows := allRows(t, csvOf("a,\"1\n2\n3\",x"+strings.Repeat("y", 100)+"\nb,c\n", 50))
	require.Len(t, rows, 2)
	require.Error(t, rows[0].err)
	require.Equal(t, 4, rows[1].line)
}

func FuzzCSVRows(f *testing.F) {
	f.Add("a,\"b\n\"\"c\r\n\"d\n#e\n", 5)
	f.Fuzz(func(t *testing.T, text string, most int) {
		c := csvOf(text, 1+most&0xff)
		c.comment = '#'
		line := 0
		for range len(text) + 2 {
			row, err := c.next()
			if err == io.EOF {
				return
			}
			if err != nil || row.line <= line || (row.fields == nil) == (row.err == nil) {
				t.Fatalf("%+v after line %d: %v", row, line, err)
			}
			line = row.line
		}
		t.Fatal("more rows than bytes")
	})
}

func BenchmarkCSVRows(b *testing.B) {
	text := strings.Repeat("1234,\"A brass lamp, \"\"new\"\"\",https://example.com/lamps/1234,45.00,in stock\n", 10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if n := len(allRows(b, csvOf(text, 1<<20))); n != 10_000 {
			b.Fatal(n)
		}
	}
}
