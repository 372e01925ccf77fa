package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestVersion: the flag and the metric tell the same, and the linker has the last word.
func TestVersion(t *testing.T) {
	p := launch(t, nil, "--version")
	if code := p.exit(); code != 0 || !regexp.MustCompile(`^chathub \S+, commit \S+, `+regexp.QuoteMeta(runtime.Version())+`\n$`).MatchString(p.out.String()) {
		t.Errorf("exit status %d: %q", code, p.out.String())
	}

	path := filepath.Join(t.TempDir(), "chathub")
	link := exec.Command("go", "build", "-o", path, "-ldflags", "-X main.version=v1.2.3 -X main.commit=abc", ".")
	if out, err := link.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(path, "--version").Output(); err != nil || string(out) != "chathub v1.2.3, commit abc, "+runtime.Version()+"\n" {
		t.Errorf("%q, %v", out, err)
	}

	p = launch(t, []string{"PORT=0"}, "--demo")
	p.listens()
	b := currentBuild()
	want := `chathub_build_info{commit="` + b.commit + `",goversion="` + b.goVersion + `",version="` + b.version + `"} 1`
	if _, metrics := p.request("GET", "/metrics", ""); !strings.Contains(metrics, want+"\n") {
		t.Errorf("the metrics lack %s: %s", want, lines(metrics, "build_info"))
	}
}

// TestHealthcheck: another start of the program tells whether one is alive, with its variables alone.
func TestHealthcheck(t *testing.T) {
	p := launch(t, []string{"PORT=0"}, "--demo")
	p.listens()
	_, port, _ := strings.Cut(strings.TrimPrefix(p.url, "http://"), ":")
	other := http.Server{Addr: freeAddr(t), Handler: http.NotFoundHandler()}
	go func() { _ = other.ListenAndServe() }()
	defer other.Close()
	_, otherPort, _ := strings.Cut(other.Addr, ":")
	eventually(t, "something else listens", func() bool {
		resp, err := http.Get("http://" + other.Addr)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	_, deadPort, _ := strings.Cut(freeAddr(t), ":")
	for _, tt := range []struct {
		env  []string
		code int
		says string
	}{
		{[]string{"PORT=" + port}, 0, ""},
		{[]string{"PORT=" + port, "HOST=0.0.0.0"}, 0, ""},
		{[]string{"PORT=" + port, "HOST=localhost", "HTTP_PROXY=http://127.0.0.1:1"}, 0, ""},
		{[]string{"PORT=" + deadPort}, 1, "connection refused"},
		{[]string{"PORT=" + otherPort}, 1, "404"},
		{[]string{"PORT=0"}, 1, "set PORT"},
		{[]string{"PORT=x"}, 2, "PORT"},
	} {
		c := launch(t, tt.env, "--healthcheck")
		if code := c.exit(); code != tt.code || !strings.Contains(c.log.String(), tt.says) || tt.code == 0 && c.log.String() != "" {
			t.Errorf("%v: exit status %d, want %d; it says %q", tt.env, code, tt.code, c.log.String())
		}
	}
	p.signal(os.Kill)
	p.exit()
	if c := launch(t, []string{"PORT=" + port}, "--healthcheck"); c.exit() != 1 {
		t.Errorf("of a hub that is dead: %s", c.log.String())
	}
}
