package spiders

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// csvReader reads rows as Python's csv module does, which is as lenient as any: a quote in a field that does not begin with one is a letter, and what follows a closing
// quote is part of the field. Beyond that a row is bounded, and a quote that is never closed costs its line and not the rest of the file.
type csvReader struct {
	in      *bufio.Reader
	comma   byte
	quote   byte // 0 is none
	comment byte // 0 is none
	most    int  // bytes of a row

	line  int    // of the next byte, the first being 1
	again []byte // comes before in: what was read after a quote that was not closed

	whole, returned int64 // bytes of rows that were read, and of those that were given back

	raw  []byte // the row as it is written
	text []byte // its fields, one after the other
	ends []int  // where each ends in text
}

// csvRow is one row, or what is wrong with it.
type csvRow struct {
	line   int // where it begins
	fields []string
	err    error
}

// States of a row.
const (
	csvBegins   = iota // of a field
	csvPlain           // in one without quotes
	csvQuoted          // in quotes
	csvMaybeEnd        // behind a quote in quotes
	csvComment
)

// next returns a row, or io.EOF after the last, or the reader's error. A row that is wrong has err set, and the next one can be read. Empty lines and comments are read over.
func (c *csvReader) next() (csvRow, error) {
	for {
		row := csvRow{line: c.line}
		state, over, err := c.read()
		switch {
		case err != nil && (err != io.EOF || len(c.raw) == 0):
			return csvRow{}, err
		case state == csvQuoted:
			row.err = fmt.Errorf("a quote that is not closed, or not within %d bytes: %s", c.most, c.excerpt())
			return row, c.giveBack()
		case !over && err == nil:
			row.err = fmt.Errorf("a row of more than %d bytes: %s", c.most, c.excerpt())
			c.line += lineEnds(c.raw)
			return row, c.skipLine()
		}
		c.line += lineEnds(c.raw)
		c.whole += int64(len(c.raw))
		if state == csvComment || len(bytes.TrimRight(c.raw, "\r\n")) == 0 {
			continue
		}
		row.fields = c.fields()
		return row, nil
	}
}

// read reads one row. over says that it came to the row's end, by a line's end or the file's.
func (c *csvReader) read() (state int, over bool, err error) {
	c.raw, c.text, c.ends = c.raw[:0], c.text[:0], c.ends[:0]
	lines := c.returned <= 16*int64(c.most)+8*c.whole // Else too much was read more than once, and a quote ends with its line.
	for len(c.raw) <= c.most {
		window, err := c.window()
		if err != nil {
			c.ends = append(c.ends, len(c.text))
			return state, state != csvQuoted, err
		}
		window = window[:min(len(window), c.most+1-len(c.raw))]
		used := len(window)
		for i, b := range window {
			switch {
			case state == csvQuoted:
				if b == c.quote {
					state = csvMaybeEnd
				} else {
					c.text = append(c.text, b)
				}
				if lines || b != '\n' && b != '\r' {
					continue
				}
				used, over = i+1, true
			case b == '\n' || b == '\r':
				used, over = i+1, true
			case state == csvComment:
			case b == c.comma:
				c.ends = append(c.ends, len(c.text))
				state = csvBegins
			case state == csvPlain:
				c.text = append(c.text, b)
			case b == c.quote && c.quote != 0 && state == csvBegins:
				state = csvQuoted
			case b == c.quote && state == csvMaybeEnd:
				c.text = append(c.text, b)
				state = csvQuoted
			case b == c.comment && c.comment != 0 && len(c.raw)+i == 0:
				state = csvComment
			default:
				c.text = append(c.text, b)
				state = csvPlain
			}
			if over {
				break
			}
		}
		c.raw = append(c.raw, window[:used]...)
		if state == csvComment && !over {
			c.raw = c.raw[:1] // it may be of any length
		}
		last := window[used-1]
		c.consume(used)
		if over {
			if last == '\r' && c.peek() == '\n' {
				c.consume(1)
				c.raw = append(c.raw, '\n')
			}
			c.ends = append(c.ends, len(c.text))
			return state, true, nil
		}
	}
	return state, false, nil
}

// fields are those of the row that was read.
func (c *csvReader) fields() []string {
	text := string(c.text)
	valid := utf8.ValidString(text)
	fields, from := make([]string, len(c.ends)), 0
	for i, end := range c.ends {
		if fields[i] = text[from:end]; !valid {
			fields[i] = strings.ToValidUTF8(fields[i], "\ufffd")
		}
		from = end
	}
	return fields
}

// giveBack leaves out the first line of what was read; the rest is read again.
func (c *csvReader) giveBack() error {
	c.returned += int64(len(c.raw))
	end := bytes.IndexAny(c.raw, "\r\n")
	if end < 0 {
		return c.skipLine()
	}
	if bytes.HasPrefix(c.raw[end:], []byte("\r\n")) {
		end++
	}
	c.line++
	c.again = append(bytes.Clone(c.raw[end+1:]), c.again...)
	return nil
}

// skipLine reads to the end of the line.
func (c *csvReader) skipLine() error {
	for {
		window, err := c.window()
		if err == io.EOF {
			return nil // which comes again
		}
		if err != nil {
			return err
		}
		end := bytes.IndexAny(window, "\r\n")
		if end < 0 {
			c.consume(len(window))
			continue
		}
		cr := window[end] == '\r'
		c.consume(end + 1)
		if cr && c.peek() == '\n' {
			c.consume(1)
		}
		c.line++
		return nil
	}
}

// window is what comes next, one byte at least. The reader's error comes when there is none.
func (c *csvReader) window() ([]byte, error) {
	if len(c.again) > 0 {
		return c.again, nil
	}
	if c.in.Buffered() == 0 {
		if _, err := c.in.Peek(1); err != nil {
			return nil, err
		}
	}
	return c.in.Peek(c.in.Buffered())
}

// consume goes on behind n bytes of the window.
func (c *csvReader) consume(n int) {
	if len(c.again) > 0 {
		c.again = c.again[n:]
		return
	}
	_, _ = c.in.Discard(n) // which are there
}

// peek is the next byte, 0 at the end.
func (c *csvReader) peek() byte {
	if window, err := c.window(); err == nil {
		return window[0]
	}
	return 0
}

// excerpt is the beginning of the row for an error.
func (c *csvReader) excerpt() string {
	line := c.raw[:min(len(c.raw), 200)]
	if end := bytes.IndexAny(line, "\r\n"); end >= 0 {
		line = line[:end]
	}
	return fmt.Sprintf("%.60q", line)
}

// lineEnds counts the lines that end in b.
func lineEnds(b []byte) int {
	n := bytes.Count(b, []byte("\n"))
	if cr := bytes.Count(b, []byte("\r")); cr > 0 {
		n += cr - bytes.Count(b, []byte("\r\n"))
	}
	return n
}
