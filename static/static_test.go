package static_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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

// What a page loads to have the chat, all of it: 13 KiB gzipped at most.
func TestWidgetSize(t *testing.T) {
	const most = 13 << 10
	body, err := io.ReadAll(get(t, "/widget.js", "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("widget.js: %d bytes gzipped", len(body))
	if len(body) > most {
		t.Errorf("widget.js is %d bytes gzipped, want at most %d", len(body), most)
	}
}

func TestGzipIsTheSameText(t *testing.T) {
	for _, path := range []string{"/", "/widget.js", "/transport.js"} {
		plain, err := io.ReadAll(get(t, path).Body)
		if err != nil {
			t.Fatal(err)
		}
		zipped, err := gzip.NewReader(get(t, path, "Accept-Encoding", "br, gzip;q=0.5").Body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		unzipped, err := io.ReadAll(zipped)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(plain, unzipped) || len(plain) == 0 {
			t.Errorf("%s: %d bytes plain, %d unzipped", path, len(plain), len(unzipped))
		}
		refused := get(t, path, "Accept-Encoding", "gzip;q=0")
		if got := refused.Header.Get("Content-Encoding"); got != "" {
			t.Errorf("%s: encoded as %q for a client that refuses it", path, got)
		}
	}
}

func TestRevalidation(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip"} {
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
