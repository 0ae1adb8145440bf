// Package inflate undoes Content-Encoding: gzip, deflate, br and zstd, one on top of another, as a stream and within bounds.
//
// Compressed bodies are hostile input: a few kilobytes can stand for gigabytes (CVE-2024-3572, CVE-2025-6176). So what comes out is bounded
// in size and in proportion to what went in, at every layer, while it is read. Memory does not grow with the body: a reader holds one
// window per layer, 32 KiB for gzip and deflate, at most 8 MiB for zstd (RFC 9659) and 16 MiB for brotli (RFC 7932).
//
// A body that ends early is an error, never a short body. Beyond that, it is as lenient as browsers are:
//
//   - "deflate" is zlib (RFC 1950), as the standard says, or bare deflate (RFC 1951), as some servers send;
//   - gzip may have several members, and whatever follows the last one, if it does not begin like a member, is ignored, as is what
//     follows deflate's end;
//   - a body of no octets at all is empty in every encoding.
//
// Data after the end of a br or zstd body makes it corrupt.
package inflate
