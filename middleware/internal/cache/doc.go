// Package cache is what the HTTP cache is made of: the rules of RFC 9111 (rules.go, control.go), the form of an entry (entry.go), the storage in a folder of files
// (files.go), and the files of bodies that are too large for an entry (bodies.go). It asks for nothing and decides nothing by itself: see middleware.HTTPCache.
package cache
