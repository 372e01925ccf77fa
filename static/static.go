// Package static holds what a browser gets from the hub: the demo page, the
// embeddable chat widget, and the AI SDK transport.
//
// The scripts are hand-written and need no build step: each is its source files,
// concatenated and minified once, when the package is loaded. hub.js, the client side of the WebSocket protocol, is in both.
package static

import (
	"embed"
	"net/http"
	"strings"

	"github.com/tdewolff/minify/v2"
	"github.com/tdewolff/minify/v2/css"
	"github.com/tdewolff/minify/v2/js"
)

//go:embed page.html widget more transport
var files embed.FS

// widgetParts is the order in which the widget's sources stand in widget.js:
// element.js last, since it runs at once; the others as they compress best.
var widgetParts = []string{
	"widget/inline.js", "widget/markdown.js", "widget/row.js",
	"widget/hub.js", "widget/texts.js", "widget/place.js", "widget/element.js",
}

var (
	pageAsset = pageOf(read("page.html"))

	widgetAsset = scriptOf(minified(js.Minify, "(() => {\n'use strict';\n"+
		"const STYLE = `"+minified(css.Minify, read("widget/style.css"))+"`;\n"+
		read(widgetParts...)+"})();\n"))

	// What not every visitor needs; the widget imports it.
	moreAsset = scriptOf(minified(js.Minify, read("more/texts.js", "more/code.js", "more/think.js", "more/dress.js", "more/rare.js")))

	// The transport keeps its comments: they hold its types (JSDoc).
	transportAsset = scriptOf(read("widget/hub.js", "transport/transport.js"))
)

// Handler serves GET and HEAD of "/", "/widget.js", "/widget-more.js" and
// "/transport.js"; any other path is 404, any other method 405. It is safe for
// concurrent use and keeps no state.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", pageAsset)
	mux.Handle("GET /widget.js", widgetAsset)
	mux.Handle("GET /widget-more.js", moreAsset)
	mux.Handle("GET /transport.js", transportAsset)
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

// minified is a text of this package without what only a reader of the sources
// needs. One that cannot be parsed is a mistake in this package.
func minified(with minify.MinifierFunc, text string) string {
	var b strings.Builder
	if err := with(minify.New(), &b, strings.NewReader(text), nil); err != nil {
		panic(err)
	}
	return b.String()
}
