// Package static holds what a browser gets from the hub: the demo page, the
// embeddable chat widget, and the AI SDK transport.
//
// The scripts are hand-written and need no build step: each is its source files
// one behind the other, less indentation and the lines that are only comment.
// hub.js, the client side of the WebSocket protocol, is in both. They are put
// together once, when the package is loaded.
package static

import (
	"embed"
	"net/http"
	"regexp"
	"strings"
)

//go:embed page.html widget transport
var files embed.FS

// widgetParts is the order in which the widget's sources stand in widget.js:
// element.js last, since it runs at once; the others as they compress best.
var widgetParts = []string{
	"widget/inline.js", "widget/markdown.js", "widget/row.js",
	"widget/hub.js", "widget/texts.js", "widget/element.js",
}

var (
	pageAsset = pageOf(read("page.html"))

	widgetAsset = scriptOf("(() => {\n'use strict';\n" +
		"const CSS = `" + cssSpace.ReplaceAllString(read("widget/style.css"), "$1$2") + "`;\n" +
		bare(read(widgetParts...)) + "})();\n")

	// The transport keeps its comments: they hold its types (JSDoc).
	transportAsset = scriptOf(read("widget/hub.js", "transport/transport.js"))
)

// Handler serves GET and HEAD of "/", "/widget.js" and "/transport.js"; any
// other path is 404, any other method 405. It is safe for concurrent use and
// keeps no state.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", pageAsset)
	mux.Handle("GET /widget.js", widgetAsset)
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

var (
	commentOrIndent = regexp.MustCompile(`(?m)^\s*(?://.*\n|/\*\*(?s:.*?)\*/\n)|^\s+`)
	cssSpace        = regexp.MustCompile(`\s*([{}])\s*|([:;,])\s+`)
)

// bare leaves out what only a reader of the sources needs. It knows no
// JavaScript: a template literal must not span lines in these files.
func bare(script string) string {
	return commentOrIndent.ReplaceAllString(script, "")
}
