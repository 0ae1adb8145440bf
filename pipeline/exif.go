package pipeline

import (
	"encoding/binary"
	"io"
)

const (
	// maxExifEntries bounds the search. Cameras write about twenty entries into the first directory, TIFF files with many private tags about a hundred.
	maxExifEntries = 1024

	tiffHeaderLen = 8
	ifdEntryLen   = 12

	tagCompression = 0x0103
	tagPhotometric = 0x0106
	tagOrientation = 0x0112

	typeByte  = 1
	typeShort = 3
	typeLong  = 4
)

// exifOrientation reads the orientation, 1 to 8, from EXIF data, which has the structure of a TIFF file: JPEG keeps it in APP1 after "Exif\0\0", PNG in
// eXIf, WebP in EXIF, and a TIFF file is it. Whatever is missing, malformed or out of range means 1, upright: a camera's notes never make a picture fail.
func exifOrientation(r io.ReaderAt) int {
	if v := tiffTag(r, tagOrientation); v >= 1 && v <= 8 {
		return int(v)
	}
	return 1
}

// tiffTag reads a tag that holds one whole number, 0 if there is none. Only the first directory is looked at, so there is no chain to follow and nothing
// that could loop.
func tiffTag(r io.ReaderAt, tag uint16) uint32 {
	var b [ifdEntryLen]byte
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, tiffHeaderLen), b[:tiffHeaderLen]); err != nil {
		return 0
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 0
	}
	ifd := io.NewSectionReader(r, int64(order.Uint32(b[4:])), 2+maxExifEntries*ifdEntryLen)
	if _, err := io.ReadFull(ifd, b[:2]); err != nil {
		return 0
	}
	for range min(order.Uint16(b[:2]), maxExifEntries) {
		if _, err := io.ReadFull(ifd, b[:]); err != nil {
			return 0
		}
		if order.Uint16(b[:]) != tag {
			continue
		}
		switch order.Uint16(b[2:]) {
		case typeShort:
			return uint32(order.Uint16(b[8:]))
		case typeLong: // for an orientation against the standard, but Pillow takes it
			return order.Uint32(b[8:])
		case typeByte:
			return uint32(b[8])
		}
		return 0
	}
	return 0
}
