package static_test

import "net/http"

func page(html string, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = w.Write([]byte(html))
	})
}

// shopPage is someone's page with the widget in its corner.
var shopPage = page(`<!doctype html><html lang="en"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A shop</title><meta name="color-scheme" content="light dark">
<body><main><h1>Teapots</h1><p>Handmade, each its own.</p></main>
<script src="/widget.js" data-title="Ask us" data-greeting="Which teapot may it be?" defer></script>`)
