package pipeline

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// exifOf is EXIF data with the given entries, each of tag, type, count and value field.
func exifOf(order binary.AppendByteOrder, entries ...[4]uint32) []byte {
	b := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, uint16(len(entries)))
	for _, e := range entries {
		b = order.AppendUint16(b, uint16(e[0]))
		b = order.AppendUint16(b, uint16(e[1]))
		b = order.AppendUint32(b, e[2])
		if e[1] == typeShort {
			b = order.AppendUint16(b, uint16(e[3]))
			b = order.AppendUint16(b, 0)
		} else {
			b = order.AppendUint32(b, e[3])
		}
	}
	return order.AppendUint32(b, 0)
}

func orientationExif(orientation int) []byte {
	return exifOf(binary.LittleEndian, [4]uint32{tagOrientation, typeShort, 1, uint32(orientation)})
}

func TestExifOrientation(t *testing.T) {
	t.Parallel()
	le, be := binary.AppendByteOrder(binary.LittleEndian), binary.AppendByteOrder(binary.BigEndian)
	other := [4]uint32{0x010f, 2, 4, 0x41424344}
	many := make([][4]uint32, math.MaxUint16)
	for i := range many {
		many[i] = other
	}
	many[len(many)-1] = [4]uint32{tagOrientation, typeShort, 1, 6}
	for _, tt := range []struct {
		name string
		data []byte
		want int
	}{
		{"little endian", exifOf(le, other, [4]uint32{tagOrientation, typeShort, 1, 6}), 6},
		{"big endian", exifOf(be, other, [4]uint32{tagOrientation, typeShort, 1, 8}), 8},
		{"as a long", exifOf(be, [4]uint32{tagOrientation, typeLong, 1, 3}), 3},
		{"as a byte", exifOf(le, [4]uint32{tagOrientation, typeByte, 1, 5}), 5},
		{"as text", exifOf(le, [4]uint32{tagOrientation, 2, 1, 5}), 1},
		{"none", exifOf(le, other), 1},
		{"0", exifOf(le, [4]uint32{tagOrientation, typeShort, 1, 0}), 1},
		{"9", exifOf(le, [4]uint32{tagOrientation, typeShort, 1, 9}), 1},
		{"first of two", exifOf(le, [4]uint32{tagOrientation, typeShort, 1, 2}, [4]uint32{tagOrientation, typeShort, 1, 3}), 2},
		{"beyond the bound", exifOf(le, many...), 1},
		{"empty", nil, 1},
		{"not TIFF", []byte("hello, world"), 1},
		{"directory outside", append([]byte("II*\x00"), 0xff, 0xff, 0xff, 0xff), 1},
		{"directory is the header", []byte("II*\x00\x00\x00\x00\x00"), 1},
	} {
		require.Equal(t, tt.want, exifOrientation(bytes.NewReader(tt.data)), tt.name)
	}
	whole := exifOf(le, other, [4]uint32{tagOrientation, typeShort, 1, 6})
	for n := range len(whole) - 4 - 4 { // the entry's last two bytes and the link to the next directory are not needed, but it is read whole
		require.Equal(t, 1, exifOrientation(bytes.NewReader(whole[:n])), "cut at %d", n)
	}
}

func FuzzExifOrientation(f *testing.F) {
	f.Add(orientationExif(6))
	f.Add(exifOf(binary.BigEndian, [4]uint32{0x010f, 2, 4, 0}, [4]uint32{tagOrientation, typeLong, 1, 3}))
	f.Add([]byte("MM\x00*\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := exifOrientation(bytes.NewReader(data))
		require.GreaterOrEqual(t, o, 1)
		require.LessOrEqual(t, o, 8)
	})
}
