// Package ftp keeps media on FTP servers, plain or with TLS. A program links it by naming it:
//
//	Settings.Parts.Stores = map[string]crawl.OpenStore{"ftp": ftp.Open, "ftps": ftp.Open}
//
// and a pipeline's store is then one of
//
//	ftp://user:password@host/pictures               plain, port 21: password and files can be read on the way
//	ftp://user:password@host/pictures?tls=explicit  port 21, with TLS from the first command on (AUTH TLS, RFC 4217): what most servers offer
//	ftps://user:password@host/pictures              TLS from the first byte on, port 990
//	ftps://host:21/pictures?tls=explicit            the same as ftp:// with tls=explicit
//
// With tls=explicit a server that has no TLS is an error; nothing falls back to plain FTP. A user or password that the address lacks is that of Settings.FTP, or of
// Settings.Images.FTP and Settings.Files.FTP for one pipeline alone. Special characters in them are percent-encoded.
//
// As in every URL of this kind (RFC 1738), the path begins in the folder where the user is after the login; two slashes, ftp://host//var/pictures, begin at the
// server's root. The folder must be there, and the user must be allowed to make files and folders in it, to rename and to delete them.
//
// # What is stored
//
// A file goes up under a temporary name below .tulle/tmp and is renamed when the server has all of it: nothing half-written is visible under its own name, whatever
// happens. On a server that refuses to rename onto a file, and only there, that one is moved out of the way first and deleted afterwards, and its name has no file for a moment. What
// a crash leaves below .tulle/tmp is removed by who opens the store a day later.
//
// What is known of a file stands in a small record below .tulle/meta, in the form that store.Dir has, and valid only while the file's size and time are what they were.
// FTP's times have whole seconds. So to know whether a file is fresh takes SIZE, MDTM and this record, and never the file. On servers without MDTM the time is MLST's, and
// without that the record's. A file is renewed by MFMT, or by the form of MDTM that does the same, and where there is neither by a note in the record.
//
// FTP has no command that makes a server write to its disk: what a power cut at the server leaves of files stored a moment before is the server's matter. One that was
// cut short is not taken for fresh.
//
// # Connections
//
// Up to FTPSettings.Connections are open, to be used again, and closed when they were idle for a minute. One Put or one reader that is not closed yet has one to itself. A connection
// that breaks is replaced, and what was going on is done again once if that is safe: everything but a Put whose reader has been read from and is no io.Seeker. Data
// connections are passive (EPSV, PASV).
//
// # Where things are
//
//	address.go  what an address says
//	conn.go     one connection and its commands
//	pool.go     connections: how many, which one, when once more
//	store.go    the store
//	record.go   what is known of a file
package ftp
