package redisstore

import (
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestCheck tells an operator what is wrong, in one line, and no secret.
func TestCheck(t *testing.T) {
	t.Parallel()
	server := startTLSRedis(t)
	locked := startRedis(t, "--user", "poor", "on", ">"+aclPassword, "~*", "+ping")
	for name, less := range map[string]string{
		"full": "", "mute": "-publish", "deafened": "resetchannels", "frozen": "-append", "uncounted": "resetkeys ~hub:{* ~hub:idem:* ~hub:ready",
		"forgetful": "-hset", "blind": "-pubsub", "headless": "-subscribe",
	} {
		if got := locked.ask("ACL SETUSER " + name + " on >pw ~* &* +@all " + less); got != "+OK" {
			t.Fatal(got)
		}
	}
	if got := locked.ask("CONFIG SET requirepass " + aclPassword); got != "+OK" {
		t.Fatal(got)
	}
	newAuthority(t, server.ca.dir, "other")
	good := server.url()
	with := func(change func(*url.URL, url.Values)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		change(u, q)
		u.RawQuery = q.Encode()
		return u.String()
	}
	for name, c := range map[string]struct{ url, want string }{
		"good":                  {good, ""},
		"nobody there":          {"redis://chathub:" + url.QueryEscape(aclPassword) + "@" + freeAddr(t), ""},
		"wrong password":        {with(func(u *url.URL, _ url.Values) { u.User = url.UserPassword("chathub", aclPassword+"x") }), "does not take this user and password"},
		"no password":           {"redis://" + locked.addr, "wants a password: redis://user:password@"},
		"few rights":            {"redis://poor:" + url.QueryEscape(aclPassword) + "@" + locked.addr, "give it more by ACL SETUSER"},
		"all rights":            {"redis://full:pw@" + locked.addr, ""},
		"no PUBLISH":            {"redis://mute:pw@" + locked.addr, "give it more by ACL SETUSER"},
		"no channels":           {"redis://deafened:pw@" + locked.addr, "give it more by ACL SETUSER"},
		"no APPEND":             {"redis://frozen:pw@" + locked.addr, "give it more by ACL SETUSER"},
		"no HSET":               {"redis://forgetful:pw@" + locked.addr, "give it more by ACL SETUSER"},
		"no keys to count in":   {"redis://uncounted:pw@" + locked.addr, "give it more by ACL SETUSER"},
		"no PUBSUB":             {"redis://blind:pw@" + locked.addr, "give it more by ACL SETUSER"},
		"no SUBSCRIBE":          {"redis://headless:pw@" + locked.addr, "give it more by ACL SETUSER"},
		"no such database":      {with(func(u *url.URL, _ url.Values) { u.Path = "/99" }), "has no database 99"},
		"unknown authority":     {with(func(_ *url.URL, q url.Values) { q.Set("ca", server.ca.path("other.pem")) }), "name who signed it by ?ca=file"},
		"system's authorities":  {with(func(_ *url.URL, q url.Values) { q.Del("ca") }), "name who signed it by ?ca=file"},
		"another host":          {with(func(u *url.URL, _ url.Values) { u.Host = "localhost:" + u.Port() }), "does not hold"},
		"no client certificate": {with(func(_ *url.URL, q url.Values) { q.Del("cert"); q.Del("key") }), "name it by ?cert=file&key=file"},
		"TLS to a plain port":   {with(func(u *url.URL, _ url.Values) { u.Host = server.redisServer.addr }), "does not speak TLS at " + server.redisServer.addr},
		"plain to a TLS port":   {"redis://chathub:" + url.QueryEscape(aclPassword) + "@" + server.addr, "say rediss:// in place of redis://"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Open(Config{URL: c.url})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			err = r.Check(t.Context())
			if c.want == "" {
				if err != nil || len(r.ownTexts) > 0 {
					t.Errorf("got %v, %d replies", err, len(r.ownTexts))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if told := err.Error(); strings.Contains(told, aclPassword) || strings.Contains(told, url.QueryEscape(aclPassword)) || strings.Contains(told, "\n") {
				t.Errorf("told as %q", told)
			}
		})
	}
}

// TestSystemAuthorities has SSL_CERT_FILE name the authority. crypto/x509 reads
// it once a process, hence the second one.
func TestSystemAuthorities(t *testing.T) {
	const name = "CHATHUB_TEST_REDIS"
	if address := os.Getenv(name); address != "" {
		r, err := Open(Config{URL: address})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		r.limit *= 3
		if err := r.try(t.Context(), r.setReady); err != nil {
			t.Error(err)
		}
		return
	}
	t.Parallel()
	server := startTLSRedis(t)
	u, err := url.Parse(server.url())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("ca")
	u.RawQuery = q.Encode()
	for _, known := range []bool{true, false} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSystemAuthorities$")
		cmd.Env = append(os.Environ(), name+"="+u.String())
		if known {
			cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+server.ca.path("ca.pem"))
		}
		if out, err := cmd.CombinedOutput(); (err == nil) != known {
			t.Errorf("SSL_CERT_FILE names it: %v, then %v\n%s", known, err, out)
		}
	}
}
