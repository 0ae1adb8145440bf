package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
)

// fromJSON is an encoder that makes a record of an item as JSON: several such feeds have the item encoded once, and not while they hold their encoders.
type fromJSON interface {
	// recordJSON is Record for an item whose JSON is there. It does not keep it.
	recordJSON(dst []byte, item any, encoded []byte) ([]byte, error)
}

// shared is an item on its way to all feeds. It is used by one goroutine.
type shared struct {
	item any
	text *itemText // nil: nobody has asked
	err  error
	from *sync.Pool
}

// itemText is what encodes one item at a time.
type itemText struct {
	buf bytes.Buffer
	enc *json.Encoder // to buf
}

// json is the item as JSON, with < > & as they are.
func (s *shared) json() ([]byte, error) {
	if s.text == nil {
		s.text, _ = s.from.Get().(*itemText)
		if s.text == nil {
			s.text = new(itemText)
			s.text.enc = json.NewEncoder(&s.text.buf)
			s.text.enc.SetEscapeHTML(false)
		}
		s.text.buf.Reset()
		if err := guarded(func() error { return s.text.enc.Encode(s.item) }); err != nil {
			s.err = fmt.Errorf("item of type %T: %w", s.item, err)
		}
	}
	return bytes.TrimSuffix(s.text.buf.Bytes(), []byte("\n")), s.err
}

// done gives the memory back.
func (s *shared) done() {
	const most = 1 << 20 // an item that is larger is rare
	if s.text != nil && s.text.buf.Cap() <= most {
		s.from.Put(s.text)
	}
}
