package static_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"

	"lumos/backend/static"
)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	static.Handler().ServeHTTP(w, r)
	return w.Result()
}

// What a page loads to have the chat, all of it, as it is sent.
func TestWidgetSize(t *testing.T) {
	for _, c := range []struct {
		path, coding string
		most         int
	}{
		{"/widget.js", "br", 12 << 10}, {"/widget.js", "gzip", 13 << 10}, {"/widget-more.js", "br", 8 << 10},
	} {
		coding := c.coding
		response := get(t, c.path, "Accept-Encoding", coding)
		if got := response.Header.Get("Content-Encoding"); got != coding {
			t.Fatalf("sent as %q, want %s", got, coding)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes with %s", c.path, len(body), coding)
		if len(body) > c.most {
			t.Errorf("%s is %d bytes with %s, want at most %d", c.path, len(body), coding, c.most)
		}
	}
}

var decoders = map[string]func(io.Reader) (io.Reader, error){
	"br":   func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"":     func(r io.Reader) (io.Reader, error) { return r, nil },
}

// What is compressed is the same text, in the smallest form that is accepted.
func TestEncodings(t *testing.T) {
	for _, path := range []string{"/", "/widget.js", "/widget-more.js", "/transport.js"} {
		plain, err := io.ReadAll(get(t, path).Body)
		if err != nil {
			t.Fatal(err)
		}
		for accept, want := range map[string]string{
			"gzip, deflate, br, zstd": "br", "br;q=0.1, gzip": "br", "BR": "br", "gzip": "gzip", "br;q=0, gzip;q=0.5": "gzip",
			"gzip;q=0": "", "br;q=0.0": "", "zstd": "", "brr": "", "": "", "identity": "",
		} {
			response := get(t, path, "Accept-Encoding", accept)
			got := response.Header.Get("Content-Encoding")
			if got != want || response.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s, accepting %q: encoded as %q, want %q", path, accept, got, want)
				continue
			}
			reader, err := decoders[got](response.Body)
			if err != nil {
				t.Fatalf("%s as %s: %v", path, got, err)
			}
			text, err := io.ReadAll(reader)
			if err != nil {
				t.Fatalf("%s as %s: %v", path, got, err)
			}
			if !bytes.Equal(plain, text) || len(plain) == 0 {
				t.Errorf("%s: %d bytes plain, %d from %s", path, len(plain), len(text), got)
			}
		}
	}
}

func TestRevalidation(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip", "br"} {
		first := get(t, "/widget.js", "Accept-Encoding", encoding)
		etag := first.Header.Get("ETag")
		if first.StatusCode != http.StatusOK || etag == "" || first.Header.Get("Cache-Control") != "no-cache" {
			t.Fatalf("%s: status %d, headers %v", encoding, first.StatusCode, first.Header)
		}
		for _, tag := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
			again := get(t, "/widget.js", "Accept-Encoding", encoding, "If-None-Match", tag)
			body, _ := io.ReadAll(again.Body)
			if again.StatusCode != http.StatusNotModified || len(body) != 0 || again.Header.Get("ETag") != etag {
				t.Errorf("%s, If-None-Match %s: status %d, %d bytes", encoding, tag, again.StatusCode, len(body))
			}
		}
		if changed := get(t, "/widget.js", "If-None-Match", `"other"`); changed.StatusCode != http.StatusOK {
			t.Errorf("an outdated tag got %d", changed.StatusCode)
		}
	}
}

func TestHeaders(t *testing.T) {
	page := get(t, "/").Header
	policy := page.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self' 'sha256-", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, path := range []string{"/", "/widget.js", "/transport.js"} {
		if got := get(t, path).Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", path, got)
		}
	}
	for _, path := range []string{"/widget.js", "/transport.js"} {
		h := get(t, path).Header
		if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestOtherPaths(t *testing.T) {
	for _, path := range []string{"/page.html", "/widget/hub.js", "/widget", "/x"} {
		if got := get(t, path).StatusCode; got != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, got)
		}
	}
	w := httptest.NewRecorder()
	static.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/widget.js", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d, want 405", w.Code)
	}
	w = httptest.NewRecorder()
	static.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/widget.js", nil))
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes, headers %v", w.Code, w.Body.Len(), w.Header())
	}
}
