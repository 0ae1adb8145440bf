package feed

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/tulle-go/tulle/crawl"
)

const (
	gzipped = "gzip"
	zstded  = "zstd"
)

// packedEnds are what names of compressed files end in.
var packedEnds = map[string]string{".gz": gzipped, ".gzip": gzipped, ".zst": zstded, ".zstd": zstded}

// packing is how a feed is compressed, "" if not at all.
func packing(conf *crawl.Feed) string {
	switch conf.Compress {
	case "":
		return packedEnds[strings.ToLower(path.Ext(conf.URI))]
	case "none":
		return ""
	}
	return conf.Compress
}

// A packer compresses what grows at its end, and can be read at any time: what closes a gzip member (RFC 1952) or a frame of Zstandard (RFC 8878) is written behind all
// that is there, and is written over by what comes next. That is how the end of a feed can change, as that of a JSON array does: it stands in the last block, which is
// not compressed and is no part of what later blocks refer to.
type packer struct {
	kind string
	out  bytes.Buffer // compressed, to be written next
	raw  int          // bytes since the last flush

	gz     *flate.Writer
	zst    *zstd.Encoder
	open   bool   // a member of this process has begun
	before bool   // there are members before it
	member member // the open one, or the one of an earlier process that is not closed
}

// member is what is known of a gzip member that is not closed, as the state of a job has it. A frame of Zstandard needs no more than Open.
type member struct {
	Open bool   `json:"open"`
	CRC  uint32 `json:"crc,omitempty"`  // of its content
	Size uint32 `json:"size,omitempty"` // of its content, modulo 2^32
}

func newPacker(kind string, level int) (*packer, error) {
	p := &packer{kind: kind}
	var err error
	switch kind {
	case gzipped:
		if level > flate.BestCompression {
			return nil, fmt.Errorf("level is %d: gzip has 1 to 9", level)
		}
		if level == 0 {
			level = flate.DefaultCompression
		}
		p.gz, err = flate.NewWriter(&p.out, level)
	case zstded:
		speed := zstd.SpeedDefault
		if level > 0 {
			speed = zstd.EncoderLevelFromZstd(level)
		}
		// One goroutine, and a megabyte to look back at: a feed is one of several, and grows slowly.
		p.zst, err = zstd.NewWriter(&p.out, zstd.WithEncoderLevel(speed), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	default:
		return nil, fmt.Errorf("compress is %q: want gzip, zstd or none", kind)
	}
	return p, err
}

// goOn is a packer for a file that has members. The last one may be open.
func (p *packer) goOn(last member) {
	p.before, p.member = true, last
}

// Write compresses into out.
func (p *packer) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if !p.open {
		p.out.Write(p.closing(nil, true)) // of a member that an earlier process has begun
		p.open, p.member = true, member{Open: true}
		if p.gz != nil {
			p.out.Write(gzipHeader)
			p.gz.Reset(&p.out)
		} else {
			p.zst.Reset(&p.out)
		}
	}
	p.raw += len(b)
	if p.zst != nil {
		return p.zst.Write(b)
	}
	p.member.CRC = crc32.Update(p.member.CRC, crc32.IEEETable, b)
	p.member.Size += uint32(len(b))
	return p.gz.Write(b)
}

// flush brings all that was written to out, so that it can be read when closing stands behind it.
func (p *packer) flush() error {
	if p.raw == 0 {
		return nil
	}
	p.raw = 0
	if p.zst != nil {
		return p.zst.Flush()
	}
	return p.gz.Flush()
}

// gzipHeader has no time and no name: what is compressed twice is the same twice.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// zstdHeader is that of a frame with a window of 128 KiB, and zstdBlock the room of a block's header.
var zstdHeader = []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x38}

// closing is what stands behind the flushed bytes: it ends the member, with end as its last text. If there is no member it is one of its own; bare leaves that out when
// there is nothing in it.
func (p *packer) closing(end []byte, bare bool) []byte {
	var b []byte
	m := p.member
	if !m.Open {
		if len(end) == 0 && (bare || p.before) {
			return nil
		}
		if p.kind == gzipped {
			b = append(b, gzipHeader...)
		} else {
			b = append(b, zstdHeader...)
		}
	}
	if p.kind == zstded {
		// RFC 8878, 3.1.1.2: the last block, raw.
		head := uint32(1 | len(end)<<3)
		return append(append(b, byte(head), byte(head>>8), byte(head>>16)), end...)
	}
	if len(end) == 0 {
		b = append(b, 3, 0) // a last block with fixed codes that has nothing but its end (RFC 1951, 3.2.6)
	} else {
		b = append(b, 1) // a last block, stored
		b = binary.LittleEndian.AppendUint16(b, uint16(len(end)))
		b = binary.LittleEndian.AppendUint16(b, ^uint16(len(end)))
		b = append(b, end...)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Update(m.CRC, crc32.IEEETable, end))
	return binary.LittleEndian.AppendUint32(b, m.Size+uint32(len(end)))
}
