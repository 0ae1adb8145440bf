package pipeline

import (
	"crypto/sha1"
	"encoding/hex"
	"net/url"
	"strings"
)

// hashOf is what a URL's file is called: Scrapy's SHA-1 of the URL as it is asked, not of its canonical form.
func hashOf(u *url.URL) string {
	sum := sha1.Sum([]byte(u.String()))
	return hex.EncodeToString(sum[:])
}

// fileName is the default name of a file: Scrapy's, with one fixed table of extensions.
func fileName(u *url.URL) string { return "full/" + hashOf(u) + extensionOf(u) }

// imageName is the default name of a picture. All are stored as JPEG.
func imageName(u *url.URL) string { return "full/" + hashOf(u) + ".jpg" }

// preservedName is the default name of a picture that is kept as it comes: with the extension of its URL if that is a picture's, else "", which says that its format
// is to be seen first.
func preservedName(u *url.URL) string {
	if ext := extensionOf(u); strings.HasPrefix(mediaTypes[ext], "image/") {
		return "full/" + hashOf(u) + ext
	}
	return ""
}

// pictureName is the default name of a picture of a format whose URL does not say it.
func pictureName(u *url.URL, format string) string {
	return "full/" + hashOf(u) + usualExtension["image/"+format]
}

// thumbName is the default name of a thumbnail.
func thumbName(u *url.URL, name string) string { return "thumbs/" + name + "/" + hashOf(u) + ".jpg" }

// extensionOf is the extension that a URL's file gets: that of the URL's path, else that of the URL to its very end (?file=photo.jpg), as they are written, if
// the table has them; else the usual one of the type that the path's extension in lower case or a data: URL stands for; else none. A host is never an extension.
func extensionOf(u *url.URL) string {
	if u.Scheme == "data" {
		return usualExtension[dataType(u.Opaque)]
	}
	ofPath := suffix(u.EscapedPath())
	if mediaTypes[ofPath] != "" {
		return ofPath
	}
	raw := u.String()
	if _, rest, ok := strings.Cut(raw, "://"); ok {
		raw = rest[min(len(rest), strings.IndexAny(rest+"/", "/?#")):]
	}
	if ext := suffix(raw); mediaTypes[ext] != "" {
		return ext
	}
	return usualExtension[mediaTypes[strings.ToLower(ofPath)]]
}

// suffix is the extension of a path's last segment that is not empty, with its dot. What follows a semicolon in that segment are parameters (RFC 3986,
// section 3.3) and not part of its name.
func suffix(path string) string {
	path = strings.TrimRight(path, "/")
	name, _, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], ";")
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && dot < len(name)-1 {
		return name[dot:]
	}
	return ""
}

// dataType is the media type of a data: URL (RFC 2397), given without its scheme.
func dataType(rest string) string {
	head, _, ok := strings.Cut(rest, ",")
	if !ok {
		return ""
	}
	media, _, _ := strings.Cut(head, ";")
	if !strings.Contains(media, "/") {
		return "text/plain"
	}
	return strings.ToLower(media)
}

// mediaTypes has the extensions that a stored file may get, in lower case, with their types. Those of Python's mimetypes module are all there, so that a folder that
// Scrapy filled is found again, and so are common ones that it lacks where the system has no table of its own.
var mediaTypes, usualExtension = extensionTables()

func extensionTables() (types, usual map[string]string) {
	types, usual = make(map[string]string, 300), make(map[string]string, 220)
	for line := range strings.Lines(extensionTable) {
		words := strings.Fields(line)
		for _, ext := range words[1:] {
			types["."+ext] = words[0]
			if usual[words[0]] == "" {
				usual[words[0]] = "." + ext
			}
		}
	}
	return types, usual
}

// extensionTable has a media type a line, and its extensions, the usual one first.
const extensionTable = `application/atom+xml atom
application/epub+zip epub
application/geo+json geojson
application/gzip gz tgz
application/java-archive jar
application/json json
application/jsonl jsonl ndjson
application/ld+json jsonld
application/manifest+json webmanifest
application/msword doc dot wiz
application/n-quads nq
application/n-triples nt
application/octet-stream bin a dll exe o obj so
application/oda oda
application/ogg ogx
application/pdf pdf
application/pgp-signature sig asc
application/pkcs7-mime p7c
application/postscript ps ai eps
application/rss+xml rss
application/sql sql
application/trig trig
application/vnd.amazon.ebook azw azw3
application/vnd.android.package-archive apk
application/vnd.apache.parquet parquet
application/vnd.apple.keynote key
application/vnd.apple.mpegurl m3u m3u8
application/vnd.apple.numbers numbers
application/vnd.apple.pages pages
application/vnd.comicbook+zip cbz
application/vnd.comicbook-rar cbr
application/vnd.debian.binary-package deb
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/vnd.ms-cab-compressed cab
application/vnd.ms-excel xls xlb xlt
application/vnd.ms-excel.sheet.binary.macroenabled.12 xlsb
application/vnd.ms-excel.sheet.macroenabled.12 xlsm
application/vnd.ms-fontobject eot
application/vnd.ms-outlook msg
application/vnd.ms-powerpoint ppt pot ppa pps pwz
application/vnd.ms-word.document.macroenabled.12 docm
application/vnd.oasis.opendocument.graphics odg
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.presentationml.slideshow ppsx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.spreadsheetml.template xltx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.openxmlformats-officedocument.wordprocessingml.template dotx
application/vnd.rar rar
application/vnd.sqlite3 sqlite sqlite3
application/vnd.visio vsd vsdx
application/wasm wasm
application/x-7z-compressed 7z
application/x-apple-diskimage dmg
application/x-bcpio bcpio
application/x-bittorrent torrent
application/x-bzip2 bz2
application/x-cpio cpio
application/x-csh csh
application/x-dvi dvi
application/x-gtar gtar
application/x-hdf hdf
application/x-hdf5 h5
application/x-iso9660-image iso
application/x-latex latex
application/x-mif mif
application/x-mobipocket-ebook mobi prc
application/x-msdownload msi
application/x-netcdf cdf nc
application/x-pkcs12 p12 pfx
application/x-pn-realaudio ram
application/x-python-code pyc pyo
application/x-rpm rpm
application/x-sh sh
application/x-shar shar
application/x-shockwave-flash swf
application/x-subrip srt
application/x-sv4cpio sv4cpio
application/x-sv4crc sv4crc
application/x-tar tar
application/x-tcl tcl
application/x-tex tex
application/x-texinfo texi texinfo
application/x-troff roff t tr
application/x-troff-man man
application/x-troff-me me
application/x-troff-ms ms
application/x-ustar ustar
application/x-wais-source src
application/x-xz xz
application/xhtml+xml xhtml xht
application/xml xsl rdf wsdl xpdl
application/yaml yaml yml
application/zip zip
application/zstd zst
audio/3gpp 3gp 3gpp
audio/3gpp2 3g2 3gpp2
audio/aac aac adts loas ass
audio/amr amr
audio/basic au snd
audio/flac flac
audio/midi mid midi
audio/mp4 m4a m4b
audio/mpeg mp3 mp2 mpga
audio/ogg oga ogg spx
audio/opus opus
audio/x-aiff aif aifc aiff
audio/x-matroska mka
audio/x-ms-wma wma
audio/x-pn-realaudio ra
audio/x-wav wav
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/ief ief
image/jp2 jp2
image/jpeg jpg jpe jpeg jfif
image/jxl jxl
image/png png
image/svg+xml svg svgz
image/tiff tiff tif
image/vnd.adobe.photoshop psd
image/vnd.djvu djvu djv
image/vnd.dwg dwg
image/vnd.dxf dxf
image/vnd.microsoft.icon ico
image/webp webp
image/x-adobe-dng dng
image/x-cmu-raster ras
image/x-portable-anymap pnm
image/x-portable-bitmap pbm
image/x-portable-graymap pgm
image/x-portable-pixmap ppm
image/x-rgb rgb
image/x-xbitmap xbm
image/x-xpixmap xpm
image/x-xwindowdump xwd
message/rfc822 eml mht mhtml nws
model/gltf+json gltf
model/gltf-binary glb
model/step stp step
model/stl stl
text/calendar ics
text/css css
text/csv csv
text/html html htm
text/javascript js mjs
text/markdown md markdown
text/n3 n3
text/plain txt bat c h ksh pl log
text/richtext rtx
text/rtf rtf
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
text/x-python py
text/x-rst rst
text/x-setext etx
text/x-sgml sgm sgml
text/xml xml
video/mp4 mp4 m4v
video/mpeg mpeg m1v mpa mpe mpg
video/ogg ogv
video/quicktime mov qt
video/webm webm
video/x-flv flv
video/x-matroska mkv
video/x-ms-asf asf
video/x-ms-wmv wmv
video/x-msvideo avi
video/x-sgi-movie movie
`
