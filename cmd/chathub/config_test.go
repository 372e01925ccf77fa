package main

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var equalConfig = cmp.Options{cmp.AllowUnexported(config{}), cmpopts.EquateComparable(netip.Prefix{})}

// defaults is the configuration of `chathub --demo`, as DESIGN promises it.
func defaults() config {
	return config{
		Demo: true, Host: "127.0.0.1", Port: 8080,
		LLM: "mistral", MistralBaseURL: "https://api.mistral.ai", MistralModel: "mistral-small-latest",
		OllamaURL: "http://127.0.0.1:11434", OllamaModel: "mistral",
		MaxTokens: 4096, MaxContextTokens: 32768,
		SessionTTL: 24 * time.Hour, DataDir: "none", Fsync: "everysec", DrainTimeout: 30 * time.Second,
		LogLevel: slog.LevelInfo, LogFormat: "text",
		MaxMessageBytes: 65536, MaxReplyBytes: 2 << 20, MaxSessionMessages: 10000, MaxSessionBytes: 8 << 20, MaxSessions: 100000,
		ConnectionsPerClient: 100, MessagesPerMinute: 60, MaxRepliesPerClient: 50,
	}
}

// noFile names a .env that is not there.
func noFile(t *testing.T) string { return filepath.Join(t.TempDir(), ".env") }

func TestDefaults(t *testing.T) {
	got, err := parse([]string{"--demo"}, nil, noFile(t), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaults(), got, equalConfig); diff != "" {
		t.Errorf("--demo (-want +got):\n%s", diff)
	}

	want := defaults()
	want.Demo, want.Host, want.MistralAPIKey, want.DataDir = false, "", "k", "data"
	got, err = parse(nil, []string{"MISTRAL_API_KEY=k"}, noFile(t), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, equalConfig); diff != "" {
		t.Errorf("with a key (-want +got):\n%s", diff)
	}
}

func TestEveryValueIsTakenFromFlagsAndEnvironment(t *testing.T) {
	warm := 0.7
	settings := map[string]struct {
		given string
		set   func(*config)
	}{
		"LLM":                {"ollama", func(c *config) { c.LLM = "ollama" }},
		"MISTRAL_API_KEY":    {" key\n", func(c *config) { c.MistralAPIKey = "key" }},
		"MISTRAL_BASE_URL":   {"http://127.0.0.1:9/mistral/", func(c *config) { c.MistralBaseURL = "http://127.0.0.1:9/mistral" }},
		"MISTRAL_MODEL":      {"m", func(c *config) { c.MistralModel = "m" }},
		"OLLAMA_URL":         {"https://[::1]:9", func(c *config) { c.OllamaURL = "https://[::1]:9" }},
		"OLLAMA_MODEL":       {"o:7b", func(c *config) { c.OllamaModel = "o:7b" }},
		"SYSTEM_PROMPT":      {" Be kind.\n", func(c *config) { c.SystemPrompt = " Be kind.\n" }},
		"TEMPERATURE":        {"0.7", func(c *config) { c.Temperature = &warm }},
		"REASONING_EFFORT":   {"high", func(c *config) { c.ReasoningEffort = "high" }},
		"MAX_TOKENS":         {"0", func(c *config) { c.MaxTokens = 0 }},
		"MAX_CONTEXT_TOKENS": {"100", func(c *config) { c.MaxContextTokens = 100 }},
		"HOST":               {"::1", func(c *config) { c.Host = "::1" }},
		"PORT":               {"0", func(c *config) { c.Port = 0 }},
		"ALLOWED_ORIGINS": {"https://Shop.example:443, http://[::1]:3000,http://a.example:443,capacitor://localhost", func(c *config) {
			c.AllowedOrigins = []string{"https://shop.example", "http://[::1]:3000", "http://a.example:443", "capacitor://localhost"}
		}},
		"TRUSTED_PROXIES": {"10.1.2.3/8, 192.0.2.1,fd00::/8", func(c *config) {
			c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("fd00::/8")}
		}},
		"DRAIN_TIMEOUT":          {"0", func(c *config) { c.DrainTimeout = 0 }},
		"DEBUG_ADDR":             {"[::1]:6060", func(c *config) { c.DebugAddr = "[::1]:6060" }},
		"LOG_LEVEL":              {"DEBUG", func(c *config) { c.LogLevel = slog.LevelDebug }},
		"LOG_FORMAT":             {"json", func(c *config) { c.LogFormat = "json" }},
		"SESSION_TTL":            {"1h30m", func(c *config) { c.SessionTTL = 90 * time.Minute }},
		"REDIS_URL":              {"redis://u:p%2Cw@one:6379/2, rediss://two", func(c *config) { c.RedisURL = []string{"redis://u:p%2Cw@one:6379/2", "rediss://two"} }},
		"DATA_DIR":               {"./here", func(c *config) { c.DataDir = "./here" }},
		"FSYNC":                  {"always", func(c *config) { c.Fsync = "always" }},
		"ABANDON_AFTER":          {"2m", func(c *config) { c.AbandonAfter = 2 * time.Minute }},
		"AUTH_JWT_SECRET":        {strings.Repeat("s", 32), func(c *config) { c.AuthJWTSecret = strings.Repeat("s", 32) }},
		"MAX_MESSAGE_BYTES":      {"1", func(c *config) { c.MaxMessageBytes = 1 }},
		"MAX_REPLY_BYTES":        {"0", func(c *config) { c.MaxReplyBytes = 0 }},
		"MAX_SESSION_MESSAGES":   {"7", func(c *config) { c.MaxSessionMessages = 7 }},
		"MAX_SESSION_BYTES":      {"33554432", func(c *config) { c.MaxSessionBytes = 32 << 20 }},
		"MAX_STORE_BYTES":        {"1000000", func(c *config) { c.MaxStoreBytes = new(int); *c.MaxStoreBytes = 1000000 }},
		"MAX_SESSIONS":           {"8", func(c *config) { c.MaxSessions = 8 }},
		"MAX_CONNECTIONS":        {"9", func(c *config) { c.MaxConnections = 9 }},
		"CONNECTIONS_PER_CLIENT": {"10", func(c *config) { c.ConnectionsPerClient = 10 }},
		"MESSAGES_PER_MINUTE":    {"11", func(c *config) { c.MessagesPerMinute = 11 }},
		"MAX_REPLIES_PER_CLIENT": {"12", func(c *config) { c.MaxRepliesPerClient = 12 }},
		"MAX_UPSTREAM":           {"13", func(c *config) { c.MaxUpstream = 13 }},
	}
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			want := defaults()
			s.set(&want)
			for _, from := range []struct{ args, environ []string }{
				{args: []string{flagName(name) + "=" + s.given}},
				{environ: []string{name + "=" + s.given}},
			} {
				got, err := parse(append(from.args, "--demo"), from.environ, noFile(t), io.Discard)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, equalConfig); diff != "" {
					t.Errorf("%v %v (-want +got):\n%s", from.args, from.environ, diff)
				}
			}
		})
	}

	args := []string{"--demo", "--auth-jwks-url=https://id.example/keys", "--auth-jwt-issuer=https://id.example", "--auth-jwt-audience=chat"}
	got, err := parse(args, nil, noFile(t), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.AuthJWKSURL, want.AuthJWTIssuer, want.AuthJWTAudience = "https://id.example/keys", "https://id.example", "chat"
	if diff := cmp.Diff(want, got, equalConfig); diff != "" {
		t.Errorf("JWKS (-want +got):\n%s", diff)
	}
	want = defaults()
	want.Repair = true
	if got, err = parse([]string{"--demo", "--repair"}, []string{"REPAIR=true"}, noFile(t), io.Discard); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, equalConfig); diff != "" {
		t.Errorf("--repair (-want +got):\n%s", diff)
	}
	if known := len(settings) + 3; known != len(settingNames()) {
		t.Errorf("%d settings are tried here, there are %d", known, len(settingNames()))
	}
}

func TestPrecedence(t *testing.T) {
	file := noFile(t)
	if err := os.WriteFile(file, []byte("PORT=1\nLOG_FORMAT=json\nMISTRAL_MODEL='a b'\nHOST=192.0.2.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := parse([]string{"--demo", "--port=3"}, []string{"PORT=2", "LOG_FORMAT=", "MAX_TOKENS=5"}, file, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Port = 3             // the flag, over both
	want.LogFormat = "text"   // the empty variable hides the file's and counts as not set
	want.MistralModel = "a b" // the file
	want.MaxTokens = 5        // the environment
	want.Host = "192.0.2.1"   // also with --demo, when it is said
	if diff := cmp.Diff(want, got, equalConfig); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDemoIsOnlyAFlag(t *testing.T) {
	if _, err := parse(nil, []string{"DEMO=true", "HELP=true"}, noFile(t), io.Discard); err == nil || errors.Is(err, errHelp) {
		t.Errorf("DEMO=true HELP=true: %v, want the missing key", err)
	}
}

func TestBadValuesNameThemselves(t *testing.T) {
	for name, values := range map[string][]string{
		"LLM":                 {"openai", "Mistral"},
		"MISTRAL_BASE_URL":    {"api.mistral.ai", "ftp://x", "https://x/v1", "https://x/v1/", "https://x?a=b", "https://", "http://x:99999", "http://x:"},
		"MISTRAL_MODEL":       {"a\nb"},
		"OLLAMA_URL":          {"localhost:11434"},
		"TEMPERATURE":         {"warm", "-0.1", "1.6", "NaN"},
		"MAX_TOKENS":          {"-1", "4k", "1.5", "99999999999999999999"},
		"MAX_CONTEXT_TOKENS":  {"0"},
		"HOST":                {"[::1]", "a b", "http://x", "0.0.0.0:80"},
		"PORT":                {"http", "-1", "65536", "0x50"},
		"ALLOWED_ORIGINS":     {"*", "https://*.example", "shop.example", "https://shop.example/", "https://shop.example/path", "https://a.example,*", "https://a.example,", "null", "wss://a.example", "https://a.example?x", "https://a.example#", "https:a.example", "https://a.example:0", "https://a_b c", "https://münchen.example"},
		"TRUSTED_PROXIES":     {"10.0.0.0/33", "proxy", "10.0.0.0/8;10.1.0.0/16", "::ffff:10.0.0.0/104"},
		"DRAIN_TIMEOUT":       {"30", "-1s", "soon"},
		"DEBUG_ADDR":          {":6060", "0.0.0.0:6060", "192.168.0.1:6060", "6060", "example.org:6060", "127.0.0.1:x"},
		"LOG_LEVEL":           {"verbose", "info+2"},
		"LOG_FORMAT":          {"xml"},
		"SESSION_TTL":         {"0", "0s", "-1m", "1800"},
		"FSYNC":               {"sometimes", "Always"},
		"ABANDON_AFTER":       {"-1s", "never"},
		"AUTH_JWKS_URL":       {"http://id.example/keys", "id.example", "https://id.example/#k"},
		"MAX_MESSAGE_BYTES":   {"0", "16777217", "64KiB"},
		"MAX_SESSION_BYTES":   {"0", "-1", "8MiB"},
		"MAX_STORE_BYTES":     {"-1", "half"},
		"MESSAGES_PER_MINUTE": {"-1", "many"},
	} {
		for _, value := range values {
			for _, from := range []struct{ args, environ []string }{
				{args: []string{flagName(name) + "=" + value}},
				{environ: []string{name + "=" + value}},
			} {
				_, err := parse(append(from.args, "--demo"), from.environ, noFile(t), io.Discard)
				if err == nil {
					t.Errorf("%s=%q is accepted", name, value)
					continue
				}
				if message := err.Error(); !regexp.MustCompile(`^`+name+`=".+" is not accepted; want .+`).MatchString(message) || strings.Contains(message, "\n") {
					t.Errorf("%s=%q: %q", name, value, message)
				}
			}
		}
	}
}

func TestAllBadValuesAreToldAtOnce(t *testing.T) {
	_, err := parse([]string{"--demo", "--port=x"}, []string{"LOG_LEVEL=y", "TEMPERATURE=z"}, noFile(t), io.Discard)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, name := range []string{"PORT=", "LOG_LEVEL=", "TEMPERATURE="} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %q", name, err)
		}
	}
}

func TestContradictions(t *testing.T) {
	secret := "--auth-jwt-secret=" + strings.Repeat("s", 32)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no key", nil, "MISTRAL_API_KEY"},
		{"no key, told of the demo", nil, "chathub --demo"},
		{"no key, told of Ollama", nil, "LLM=ollama"},
		{"secret and JWKS", []string{"--demo", secret, "--auth-jwks-url=https://id.example", "--auth-jwt-audience=a"}, "AUTH_JWT_SECRET and AUTH_JWKS_URL"},
		{"JWKS without audience", []string{"--demo", "--auth-jwks-url=https://id.example"}, "AUTH_JWT_AUDIENCE"},
		{"audience without keys", []string{"--demo", "--auth-jwt-audience=a"}, "AUTH_JWT_AUDIENCE"},
		{"issuer without keys", []string{"--demo", "--auth-jwt-issuer=a"}, "AUTH_JWT_ISSUER"},
		{"two stores", []string{"--demo", "--data-dir=d", "--redis-url=redis://h"}, "DATA_DIR and REDIS_URL"},
		{"a conversation smaller than a turn", []string{"--demo", "--max-session-bytes=2097152"}, "MAX_SESSION_BYTES"},
		{"unknown flag", []string{"--demo", "--prot=1"}, "--port"},
		{"flag without value", []string{"--demo", "--port"}, "--port: a value is missing"},
	} {
		if _, err := parse(c.args, nil, noFile(t), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want one that says %q", c.name, err, c.want)
		}
	}
	if _, err := parse([]string{"--llm=ollama"}, nil, noFile(t), io.Discard); err != nil {
		t.Errorf("Ollama wants no key for Mistral: %v", err)
	}
}

func TestSecretsAreNeverRepeated(t *testing.T) {
	const mark = "Geheim7"
	file := noFile(t)
	for _, c := range []struct {
		args, environ []string
		dotenv        string
	}{
		{args: []string{"--mistral-api-key=" + mark + " x"}},
		{environ: []string{"MISTRAL_API_KEY=" + mark + "\tx"}},
		{args: []string{"--demo", "--auth-jwt-secret=" + mark}},
		{args: []string{"--demo", "--auth-jwt-secret", "-" + mark}},
		{environ: []string{"AUTH_JWT_SECRET=" + mark}, args: []string{"--demo"}},
		{args: []string{"--demo", "--redis-url=redis://:" + mark + "@h:x"}},
		{args: []string{"--demo", "--redis-url=redis://:a," + mark + "@h"}},
		{args: []string{"--demo", "--redis-url=" + mark}},
		{args: []string{"--demo", "--mistral-base-url=https://u:" + mark + "@h"}},
		{args: []string{"--demo", "--auth-jwks-url=https://u:" + mark + "@h"}},
		{args: []string{"--demo", "--mistral-key=" + mark}},
		{args: []string{"--demo", "--mistral-api-key", "=", mark}},
		{args: []string{mark}},
		{dotenv: "MISTRAL_API_KEY " + mark + "\n"},
		{dotenv: "PORT=1\nMISTRAL_API_KEY='" + mark + "\n"},
	} {
		if err := os.WriteFile(file, []byte(c.dotenv), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := parse(c.args, c.environ, file, io.Discard)
		if err == nil {
			t.Errorf("%q %q %q is accepted", c.args, c.environ, c.dotenv)
		} else if strings.Contains(err.Error(), mark) {
			t.Errorf("%q %q %q is told as %q", c.args, c.environ, c.dotenv, err)
		}
	}
}

func TestDotenvThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := parse([]string{"--demo"}, nil, dir, io.Discard); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory for .env: %v, want an error that names it", err)
	}
}
