// Package objects is what stores in buckets have in common: addresses, the record of a file as an object's metadata, and the memory that uploads go through.
package objects
