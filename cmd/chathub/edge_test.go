package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLoopbackOfAProgram: S12. What is bound decides who is served, whatever name it was
// given by, and pprof is guarded as the hub is.
func TestLoopbackOfAProgram(t *testing.T) {
	for _, host := range []string{"LOCALHOST", "localhost", "127.0.0.1", "127.0.0.2", "::1", ""} {
		p := serving(t, hello, []string{"HOST=" + host, "DEBUG_ADDR=LocalHost:0", "ALLOWED_ORIGINS=https://shop.example"})
		found := regexp.MustCompile(`msg=pprof url=(\S+)`).FindStringSubmatch(p.log.String())
		if found == nil {
			t.Fatalf("no pprof:\n%s", p.log.String())
		}
		hub := p.url
		for _, tt := range []struct {
			url, host string
			served    bool
		}{
			{hub + "/healthz", "localhost", true},
			{hub + "/healthz", "shop.example", true},
			{hub + "/healthz", "evil.example", host == ""}, // which listens for everybody
			{found[1], "127.0.0.1", true},
			{found[1], "evil.example", false},
			{found[1], "shop.example", false},
		} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", tt.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			if host == "127.0.0.2" || host == "::1" {
				req.URL.Host = strings.Replace(req.URL.Host, "localhost", map[string]string{"127.0.0.2": "127.0.0.2", "::1": "[::1]"}[host], 1)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if (resp.StatusCode == 200) != tt.served {
				t.Errorf("HOST=%s: %s of Host %s is %s", host, tt.url, tt.host, resp.Status)
			}
		}
		p.signal(os.Interrupt)
		p.exit()
	}
}

// TestDataDirThatCannotBe: a start is refused with a sentence that names DATA_DIR, also
// where it is the default that cannot be written.
func TestDataDirThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o600); err != nil { // no permission keeps root out, a file does
		t.Fatal(err)
	}
	for _, setting := range []string{"", "DATA_DIR=data", "DATA_DIR=/proc/chathub", "DATA_DIR=" + filepath.Join(dir, "data", "below")} {
		cmd := exec.CommandContext(t.Context(), builtBinary(t))
		cmd.Dir, cmd.Env = dir, []string{"PORT=0", "MISTRAL_API_KEY=" + programKey}
		if setting != "" {
			cmd.Env = append(cmd.Env, setting)
		}
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); err == nil || code != 1 {
			t.Errorf("%q: exit status %d, %v", setting, code, err)
		}
		last := string(out)
		last = last[strings.LastIndex(strings.TrimRight(last, "\n"), "\n")+1:]
		if !strings.HasPrefix(last, "chathub: DATA_DIR") || !strings.Contains(last, "DATA_DIR=none") {
			t.Errorf("%q: it ends with\n%s", setting, fmt.Sprintf("%.2000s", out))
		}
	}
}
