package main

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// version and commit are set by the linker where the program is built without its repository
// (-ldflags '-X main.version=v1.2.3'); "": Go's own record of the build tells them.
var version, commit string

// build says which program this is.
type build struct{ version, commit, goVersion string }

func currentBuild() build {
	b := build{version: version, commit: commit, goVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.version = cmp.Or(b.version, info.Main.Version)
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.commit = cmp.Or(b.commit, s.Value)
			}
		}
	}
	b.version, b.commit = cmp.Or(b.version, "(devel)"), cmp.Or(b.commit, "unknown")
	return b
}

func (b build) String() string {
	return "chathub " + b.version + ", commit " + b.commit + ", " + b.goVersion
}

// register adds chathub_build_info, which is always 1: its labels tell.
func (b build) register(r prometheus.Registerer) {
	promauto.With(r).NewGauge(prometheus.GaugeOpts{
		Namespace: "chathub", Name: "build_info", Help: "Which program this is; always 1.",
		ConstLabels: prometheus.Labels{"version": b.version, "commit": b.commit, "goversion": b.goVersion},
	}).Set(1)
}
