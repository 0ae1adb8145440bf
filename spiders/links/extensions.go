package links

import "strings"

// IgnoredExtensions are those of files that are no pages, in lower case and without the first dot: what Extractor.DenyExtensions is where it is nil. It is a copy, to
// change freely. The list is that of Scrapy 2.19 (scrapy.linkextractors.IGNORED_EXTENSIONS).
func IgnoredExtensions() []string {
	return strings.Fields(`
		7z 7zip bz2 rar tar tar.gz xz zip
		mng pct bmp gif jpg jpeg png pst psp tif tiff ai drw dxf eps ps svg cdr ico webp
		mp3 wma ogg wav ra aac mid au aiff
		3gp asf asx avi mov mp4 mpg qt rm swf wmv m4a m4v flv webm
		xls xlsm xlsx xltm xltx potm potx ppt pptm pptx pps doc docb docm docx dotm dotx odt ods odg odp
		css pdf exe bin rss dmg iso apk jar sh rb js hta bat cpl msi msp py`)
}
