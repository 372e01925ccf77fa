// Package static holds what a browser gets from the hub: the demo page, the
// embeddable chat widget, and the AI SDK transport.
//
// The scripts are hand-written and served as they stand. Each is its source
// files one behind the other; hub.js, the client side of the WebSocket
// protocol, begins both. Everything is built once, when the package is loaded.
package static

import (
	"embed"
	"net/http"
	"strings"
)

//go:embed page.html widget transport
var files embed.FS

// widgetParts is the order in which the widget's sources stand in widget.js.
var widgetParts = []string{
	"widget/hub.js", "widget/inline.js", "widget/markdown.js",
	"widget/texts.js", "widget/row.js", "widget/element.js",
}

var (
	pageAsset = pageOf(read("page.html"))

	widgetAsset = scriptOf("(() => {\n'use strict';\n" +
		"const CSS = `" + read("widget/style.css") + "`;\n" +
		read(widgetParts...) + "})();\n")

	transportAsset = scriptOf(read("widget/hub.js", "transport/transport.js"))

	typesAsset = textOf(read("transport/transport.d.ts"))
)

// Handler serves GET and HEAD of "/", "/widget.js", "/transport.js" and
// "/transport.d.ts"; any other path is 404, any other method 405. It is safe
// for concurrent use and keeps no state.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", pageAsset)
	mux.Handle("GET /widget.js", widgetAsset)
	mux.Handle("GET /transport.js", transportAsset)
	mux.Handle("GET /transport.d.ts", typesAsset)
	return mux
}

// read joins embedded files. A missing one is a mistake in this package, so it
// panics while the program starts.
func read(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			panic(err)
		}
		b.Write(text)
	}
	return b.String()
}
