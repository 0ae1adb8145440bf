package spiders

import (
	"bufio"
	"io"
	"iter"
	"strings"
)

// line is one of a list.
type line struct {
	number int
	text   string // trimmed; the beginning of one that is too long
	long   bool   // it is longer than maxToken
	end    int64  // bytes from the beginning to the next line
}

// lines reads a list line by line. It ends with an error, or without one at the end of r. Lines that are too long are read over.
func lines(r *bufio.Reader) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		var l line
		var whole []byte
		for {
			piece, err := r.ReadSlice('\n')
			l.end += int64(len(piece))
			if room := maxToken - len(whole); room >= len(piece) {
				whole = append(whole, piece...)
			} else if !l.long {
				whole, l.long = append(whole, piece[:room]...), true
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			if err != nil && err != io.EOF {
				yield(l, err)
				return
			}
			if len(whole) > 0 {
				l.number++
				l.text = strings.TrimSpace(string(whole))
				if !yield(l, nil) {
					return
				}
				whole, l.long = whole[:0], false
			}
			if err == io.EOF {
				return
			}
		}
	}
}
