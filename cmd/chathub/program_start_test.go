package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lumos/backend/llm/mistralsim"
)

// TestDemoProgram: the whole way, without a key and without a network.
func TestDemoProgram(t *testing.T) {
	p := launch(t, []string{"PORT=0"}, "--demo")
	p.listens()
	if !p.log.says("chathub listens", mistralsim.DemoModel, "memory: a restart loses them", "http://localhost:") {
		t.Errorf("it starts with\n%s", p.log.String())
	}
	if status, body := p.request("GET", "/", ""); status != http.StatusOK || !strings.Contains(strings.ToLower(body), "<!doctype html>") {
		t.Errorf("the page is %d, %.100q", status, body)
	}
	status, body := p.request("POST", "/chat", `{"message":"I am unhappy."}`)
	if status != http.StatusOK || !strings.Contains(body, `"finish_reason":"stop"`) {
		t.Errorf("POST /chat is answered by %d, %s", status, body)
	}
	c := p.speak("/ws")
	c.say("I am unhappy.")
	deltas := 0
	for {
		f, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == "text-delta" {
			deltas++
		}
		if f.Type == "finish" {
			break
		}
	}
	if deltas < 2 {
		t.Errorf("the reply came in %d parts", deltas)
	}
	// It is for this machine only.
	if status, _ := p.request("GET", "/", "", "Host", "evil.example"); status != http.StatusForbidden {
		t.Errorf("another host's name is answered by %d", status)
	}
}

// TestConfigurationByProcess: what is wrong is told, with status 2, and nothing listens.
func TestConfigurationByProcess(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		args []string
		code int
		says []string
	}{
		{"no key", nil, nil, 2, []string{"MISTRAL_API_KEY", "--demo", "LLM=ollama"}},
		{"an empty key", []string{"MISTRAL_API_KEY="}, nil, 2, []string{"MISTRAL_API_KEY"}},
		{"a bad port", []string{"PORT=eighty", "MISTRAL_API_KEY=x"}, nil, 2, []string{"PORT", "eighty", "65535"}},
		{"two bad values", []string{"PORT=x", "SESSION_TTL=-1s", "MISTRAL_API_KEY=x"}, nil, 2, []string{"PORT", "SESSION_TTL"}},
		{"an unknown flag", nil, []string{"--demo", "--nope"}, 2, []string{"nope", "--help"}},
		{"a stray word", nil, []string{"--demo", "stray"}, 2, []string{"--help"}},
		{"an origin that is none", []string{"ALLOWED_ORIGINS=*", "MISTRAL_API_KEY=x"}, nil, 2, []string{"ALLOWED_ORIGINS", "scheme://host"}},
		{"help", nil, []string{"--help"}, 0, []string{"--demo", "--port", "--session-ttl", "MISTRAL_API_KEY"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := launch(t, tt.env, tt.args...)
			if code := p.exit(); code != tt.code {
				t.Errorf("exit status %d, want %d", code, tt.code)
			}
			said := p.log.String()
			if tt.code == 0 {
				said = p.out.String()
			}
			for _, word := range tt.says {
				if !strings.Contains(strings.ToUpper(strings.ReplaceAll(said, "-", "_")), strings.ToUpper(strings.ReplaceAll(word, "-", "_"))) {
					t.Errorf("it does not speak of %s:\n%s", word, said)
				}
			}
		})
	}
}

// TestMisspeltKey: a name in .env that is no setting is told, too, when what it should have
// been is missing.
func TestMisspeltKey(t *testing.T) {
	path := noFile(t)
	if err := os.WriteFile(path, []byte("MISTRAL_API_KYE=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := parse(nil, nil, path, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "MISTRAL_API_KEY is not set") || !strings.Contains(err.Error(), "MISTRAL_API_KYE in line 1") {
		t.Errorf("%v, want both names", err)
	}
}

// TestPortTaken: it cannot listen, says why, and ends with 1.
func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := launch(t, []string{"PORT=" + port, "HOST=127.0.0.1"}, "--demo")
	if code := p.exit(); code != 1 || !p.log.says("cannot listen", "PORT") {
		t.Errorf("exit status %d:\n%s", code, p.log.String())
	}
}

// TestDotenv: a file in the working directory is read, and the environment wins.
func TestDotenv(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("PORT=0\nHOST=127.0.0.1\nLOG_FORMAT=json\nMISTRAL_API_KEY="+programKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	cfg, err := parse(nil, []string{"LOG_FORMAT=text"}, ".env", &lockedBuffer{})
	if err != nil || cfg.Host != "127.0.0.1" || cfg.MistralAPIKey != programKey || cfg.LogFormat != "text" {
		t.Errorf("got %+v, %v", cfg.Host, err)
	}
}

// TestLogOfAProgram: what a log must never hold, at its most talkative, in
// either form, when all goes well and when it does not.
func TestLogOfAProgram(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		answer := func(r *mistralsim.Request) mistralsim.Answer {
			if strings.Contains(r.LastUser(), "fail") {
				return mistralsim.Unauthorized()
			}
			return mistralsim.Answer{Text: "My precious answer."}
		}
		p := serving(t, answer, []string{"LOG_LEVEL=debug"}, "--log-format="+format)
		c := p.speak("/ws")
		for _, text := range []string{"a darling secret", "{\"type\":\"darling\"}", "fail, darling"} {
			c.say(text)
			for f, err := c.read(); f.Type != "finish" && f.Type != "error"; f, err = c.read() {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if status, body := p.request("POST", "/chat", `{"message":"a darling secret","conversation_id":"`+c.id+`"}`); status != http.StatusOK {
			t.Errorf("POST /chat is answered by %d, %s", status, body)
		}
		p.request("POST", "/chat", `{"message":7,"darling":"`+c.id+`"}`)
		p.request("GET", "/sessions/"+c.id+"/darling?"+c.id, "")
		p.request("GET", "/sessions/"+strings.ToUpper(c.id)+"/stream", "", "Last-Event-ID", c.id+":1")
		p.request("DELETE", "/sessions/"+c.id, "")
		log := p.log.String()
		if !strings.Contains(log, c.id[:8]) || !strings.Contains(log, "upstream") && !strings.Contains(log, "API key") {
			t.Errorf("the log lacks what happened:\n%s", log)
		}
		for _, secret := range []string{c.id, strings.ToUpper(c.id), "secret", "precious", programKey} {
			for _, line := range lines(log, secret) {
				t.Errorf("%q is in the log: %s", secret, line)
			}
		}
	}
}
