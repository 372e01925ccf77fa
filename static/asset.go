package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
)

// asset is one file as it is served, and its headers.
type asset struct {
	etag   string
	header http.Header

	compressed sync.Once         // guards what follows, which does not change behind it
	encoded    map[string][]byte // by content coding; "" is the file itself
}

func newAsset(text, contentType string, header http.Header) *asset {
	sum := sha256.Sum256([]byte(text))
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-cache") // kept, but asked for again: a widget must fit its hub
	header.Set("Vary", "Accept-Encoding")
	header.Set("X-Content-Type-Options", "nosniff")
	return &asset{
		encoded: map[string][]byte{"": []byte(text)},
		etag:    hex.EncodeToString(sum[:12]),
		header:  header,
	}
}

// codings are those the assets are kept in, the smallest first.
var codings = []string{"br", "gzip"}

// compress makes the compressed forms, which takes tens of milliseconds: the first who
// asks for the asset waits for it, and not everybody for the program's start.
func (a *asset) compress() {
	text := a.encoded[""]
	for _, coding := range codings {
		var b bytes.Buffer
		var w io.WriteCloser
		if coding == "br" {
			// The window is the asset's size: the default one takes 40 MB for as long as it compresses.
			w = brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: brotli.BestCompression, LGWin: 16})
		} else {
			w, _ = gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
		}
		_, _ = w.Write(text) // a Buffer takes everything
		_ = w.Close()
		a.encoded[coding] = b.Bytes()
	}
}

// scriptOf is a script that any page may load, also one that is isolated
// (Cross-Origin-Embedder-Policy), or read with CORS, as modules are.
func scriptOf(text string) *asset {
	return newAsset(text, "text/javascript; charset=utf-8", http.Header{
		"Access-Control-Allow-Origin":  {"*"},
		"Cross-Origin-Resource-Policy": {"cross-origin"},
	})
}

var inlineBlock = regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)

// pageOf is the page under a policy that lets in this origin's scripts and
// connections and, by their hashes, the page's own style and script blocks;
// nothing else, and no string ever becomes HTML or script.
func pageOf(html string) *asset {
	sources := map[string]string{"script": " 'self'"}
	for _, block := range inlineBlock.FindAllStringSubmatch(html, -1) {
		sum := sha256.Sum256([]byte(block[2]))
		sources[block[1]] += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	policy := "default-src 'none'; connect-src 'self'; img-src data:" +
		"; script-src" + sources["script"] + "; style-src" + sources["style"] +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; require-trusted-types-for 'script'; trusted-types 'none'"
	return newAsset(html, "text/html; charset=utf-8", http.Header{
		"Content-Security-Policy": {policy},
		"Referrer-Policy":         {"no-referrer"},
	})
}

// ServeHTTP sends the asset in the smallest form that is accepted (RFC 9110,
// 12.5.3), or 304 when the client has it (RFC 9110, 13.1.2).
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.compressed.Do(a.compress)
	body, etag := a.encoded[""], `"`+a.etag+`"`
	for name, values := range a.header {
		w.Header()[name] = values
	}
	for _, coding := range codings {
		if accepts(r.Header.Get("Accept-Encoding"), coding) {
			body, etag = a.encoded[coding], `"`+a.etag+"-"+coding+`"`
			w.Header().Set("Content-Encoding", coding)
			break
		}
	}
	w.Header().Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		w.Header().Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // an error means the client went away
	}
}

// accepts tells whether a client named the coding in its Accept-Encoding and
// did not refuse it.
func accepts(header, coding string) bool {
	for item := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		if strings.EqualFold(strings.TrimSpace(name), coding) {
			q, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			return !found || strings.Trim(q, "0.") != ""
		}
	}
	return false
}

// matches compares weakly: a proxy may have marked the tag as weak.
func matches(ifNoneMatch, etag string) bool {
	for item := range strings.SplitSeq(ifNoneMatch, ",") {
		item = strings.TrimPrefix(strings.TrimSpace(item), "W/")
		if item == etag || item == "*" {
			return true
		}
	}
	return false
}
