package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"lumos/backend/cmd/needs"
	"lumos/backend/cmd/needs/chromium"
)

// site is the name that the files in deploy give the hub.
const site = "chat.example"

// proxy is one of Debian's, as a file in deploy sets it up.
type proxy struct {
	addr string      // host:port
	dir  string      // for what it writes, and for its certificate
	tls  *tls.Config // of its clients
	log  lockedBuffer
}

// configure copies a file of deploy into the proxy's directory, and returns where it is. Only these
// words are replaced in it, pair by pair; each must be there.
func (p *proxy) configure(t *testing.T, name string, replace ...string) (path string) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !bytes.Contains(file, []byte(replace[i])) {
			t.Fatalf("deploy/%s does not have %q", name, replace[i])
		}
		file = bytes.ReplaceAll(file, []byte(replace[i]), []byte(replace[i+1]))
	}
	path = filepath.Join(p.dir, name)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run starts the proxy's process, which ends with the test.
func (p *proxy) run(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, &p.log, &p.log
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says:\n%s", program, p.log.String())
		}
	})
	eventually(t, program+" listens", func() bool {
		conn, err := p.dial("")
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// dial connects to the proxy as a client with this address would; "": 127.0.0.1.
func (p *proxy) dial(from string) (net.Conn, error) {
	dialer := &net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return tls.DialWithDialer(dialer, "tcp", p.addr, p.tls)
}

// client is a node for tests, that is reached through the proxy by a client with this address, and
// beneath a path.
func (p *proxy) client(t *testing.T, from, path string) *node {
	t.Helper()
	return &node{addr: startCableBy(t, func() (net.Conn, error) { return p.dial(from) }).addr + path}
}

func (p *proxy) port() string {
	_, port, _ := net.SplitHostPort(p.addr)
	return port
}

// origin is that of a page which the proxy serves.
func (p *proxy) origin() string {
	return "https://" + site + ":" + p.port()
}

// certificate writes a certificate of site and its key into dir, as cert.pem, key.pem, and both.pem,
// and returns what trusts it.
func certificate(t *testing.T, dir string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{site},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	for name, text := range map[string][]byte{"cert.pem": cert, "key.pem": keyPEM, "both.pem": append(cert, keyPEM...)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return &tls.Config{RootCAs: roots, ServerName: site, NextProtos: []string{"http/1.1"}}
}

// nginxFrame is what Debian's nginx.conf is around the files of conf.d, in a directory of its own.
const nginxFrame = `daemon off;
user root;
pid nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include nginx.conf;
}
`

// proxies starts each of them in front of two hubs. The address that it listens on, the hubs' and
// the certificate's place are all that is changed in a file.
var proxies = map[string]func(t *testing.T, p *proxy, hubs []*node){
	"nginx": func(t *testing.T, p *proxy, hubs []*node) {
		p.configure(t, "nginx.conf",
			"listen 443 ", "listen "+p.addr+" ", "127.0.0.1:8080", hubs[0].addr, "127.0.0.1:8081", hubs[1].addr,
			"/etc/ssl/chat.example/fullchain.pem", "cert.pem", "/etc/ssl/chat.example/privkey.pem", "key.pem")
		if err := os.WriteFile(filepath.Join(p.dir, "frame.conf"), []byte(nginxFrame), 0o600); err != nil {
			t.Fatal(err)
		}
		p.run(t, nil, "nginx", "-p", p.dir, "-c", "frame.conf", "-e", "stderr")
	},
	"caddy": func(t *testing.T, p *proxy, hubs []*node) {
		_, redirects, _ := net.SplitHostPort(freeAddr(t))
		file := p.configure(t, "Caddyfile",
			"{\n\tadmin", "{\n\thttp_port "+redirects+"\n\tadmin",
			"{$SITE:chat.example} {", "{$SITE:chat.example} {\n\tbind 127.0.0.1\n\ttls cert.pem key.pem")
		p.run(t, []string{
			"SITE=https://:" + p.port(), "HUBS=" + hubs[0].addr + " " + hubs[1].addr, "CADDY_ADMIN=" + freeAddr(t),
			"HOME=" + p.dir, "XDG_DATA_HOME=" + p.dir, "XDG_CONFIG_HOME=" + p.dir,
		}, "caddy", "run", "--config", file, "--adapter", "caddyfile")
	},
	"haproxy": func(t *testing.T, p *proxy, hubs []*node) {
		file := p.configure(t, "haproxy.cfg",
			"bind :443 ", "bind "+p.addr+" ", "127.0.0.1:8080", hubs[0].addr, "127.0.0.1:8081", hubs[1].addr,
			"/etc/ssl/chat.example/haproxy.pem", filepath.Join(p.dir, "both.pem"))
		p.run(t, nil, "haproxy", "-db", "-f", file)
	},
}

// TestProxies has Debian's nginx, Caddy and HAProxy run with the files of deploy, each in front of two
// hubs and a Redis.
func TestProxies(t *testing.T) {
	for name, start := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needs.Program(t, name)
			p := &proxy{addr: freeAddr(t), dir: t.TempDir()}
			p.tls = certificate(t, p.dir)
			c := startCluster(t, 2, "TRUSTED_PROXIES=127.0.0.1", "ALLOWED_ORIGINS="+p.origin(), "MESSAGES_PER_MINUTE=20", "DRAIN_TIMEOUT=500ms")
			start(t, p, c.nodes)
			plain := p.client(t, "", "")
			t.Run("both nodes", func(t *testing.T) {
				for name, holds := range map[string]func(*testing.T){
					"page and widget":                      p.servesPages,
					"in a browser":                         func(t *testing.T) { p.servesBrowser(t, c) },
					"nothing is buffered":                  func(t *testing.T) { p.streams(t, c, plain) },
					"beneath a path":                       func(t *testing.T) { p.streams(t, c, p.client(t, "", "/support")) },
					"limits by address":                    p.limits,
					"silence for longer than its timeouts": func(t *testing.T) { p.carriesSilence(t, c, plain) },
				} {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						holds(t)
					})
				}
			})
			t.Run("a node drains", func(t *testing.T) { p.drains(t, c, plain) })
			t.Run("a node dies", func(t *testing.T) { p.survives(t, c, plain) })
			for _, hub := range c.nodes {
				if log := hub.log.String(); strings.Contains(log, "X-Forwarded-For is ignored") {
					t.Errorf("node %s takes the proxy for another:\n%s", hub.name, lines(log, "X-Forwarded-For is ignored"))
				}
			}
		})
	}
}

// servesPages: over HTTP/1.1 and HTTP/2, at the root and beneath the path; the metrics are not for the
// public, and a page of the site's origin may speak.
func (p *proxy) servesPages(t *testing.T) {
	for _, two := range []bool{false, true} {
		config := p.tls.Clone()
		config.NextProtos = nil
		transport := &http.Transport{
			TLSClientConfig: config, ForceAttemptHTTP2: two,
			DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", p.addr) },
		}
		defer transport.CloseIdleConnections()
		client := http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		for path, want := range map[string]struct {
			status int
			has    string
		}{
			"/": {200, "widget.js"}, "/widget.js": {200, "customElements"}, "/healthz": {200, ""}, "/metrics": {404, ""},
			"/support/": {200, "widget.js"}, "/support/widget.js": {200, "customElements"}, "/support/metrics": {404, ""}, "/nothing": {404, "not_found"},
		} {
			resp, err := client.Get(p.origin() + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != want.status || !bytes.Contains(body, []byte(want.has)) || (resp.ProtoMajor == 2) != two {
				t.Errorf("GET %s by %s: %d, %v, %.100q", path, resp.Proto, resp.StatusCode, err, body)
			}
		}
		r, err := http.NewRequest("POST", p.origin()+"/support/sessions", nil)
		if err != nil {
			t.Fatal(err)
		}
		for origin, status := range map[string]int{p.origin(): 201, "https://evil.example": 403} {
			r.Header.Set("Origin", origin)
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != status {
				t.Errorf("POST /support/sessions of %s: %d, want %d", origin, resp.StatusCode, status)
			}
			// It survives the path.
			if made, err := resp.Location(); status == 201 && (err != nil || !strings.HasPrefix(made.Path, "/support/sessions/")) {
				t.Errorf("Location: %v, %v", made, err)
			}
		}
	}
}

// servesBrowser: the page talks in Chromium, at the root and beneath the path.
func (p *proxy) servesBrowser(t *testing.T, c *cluster) {
	b := chromium.Start(t, chromedp.Flag("host-resolver-rules", "MAP "+site+" 127.0.0.1"), chromedp.Flag("ignore-certificate-errors", true))
	for i, path := range []string{"/", "/support/"} {
		tab := b.Tab(t)
		tab.Open(p.origin() + path)
		tab.Until("w.state === 'ready'")
		plan := c.model.plan(uint64(100+i), 60, 0).halt(30)
		tab.Do("w.send(" + quote(plan.said) + ")")
		tab.Until(shown + " === " + quote(plan.before(30)))
		plan.release()
		tab.Until("w.state === 'ready' && " + shown + " === " + quote(plan.text))
	}
}

// seed tells the plans of these tests apart.
var seed atomic.Uint64

// streams: what the model has said is there before the reply goes on, by a WebSocket, and by SSE to
// one who asks and to one who joins.
func (p *proxy) streams(t *testing.T, c *cluster, at *node) {
	g, plan := c.say(t, at, 1000+seed.Add(1), 60, 30)
	joined, asked := &events{}, &events{}
	defer joined.close()
	defer asked.close()
	if err := joined.open(at, "GET", "/sessions/"+g.session+"/stream", nil, nil); err != nil {
		t.Fatal(err)
	}
	joined.readTo(t, plan.before(30))
	other := c.model.plan(1000+seed.Add(1), 60, 0).halt(30)
	if err := asked.open(at, "POST", "/chat", chatMessageBody{Message: other.said}, nil); err != nil {
		t.Fatal(err)
	}
	asked.readTo(t, other.before(30))
	plan.release()
	other.release()
	g.expect(t, "finish")
	joined.readAll(t)
	asked.readAll(t)
	for _, got := range [][2]string{{g.last().Content, plan.text}, {joined.text, plan.text}, {asked.text, other.text}} {
		if got[0] != got[1] {
			t.Error(textDiff(got[0], got[1]))
		}
	}
	g.hang()
}

// limits: each address has its own, and no header of a client's own changes that.
func (p *proxy) limits(t *testing.T) {
	one, two := p.client(t, "127.0.0.2", ""), p.client(t, "127.0.0.3", "")
	post := func(from *node, forwarded string) int {
		return from.call(t, "POST", "/sessions", nil, map[string]string{"X-Forwarded-For": forwarded}).status
	}
	made := 0
	for post(one, "192.0.2.1") == http.StatusCreated && made < 100 {
		made++
	}
	if made < 20 || made > 30 {
		t.Errorf("%d sessions in a row, want about 20", made)
	}
	if status := post(one, "192.0.2.77"); status != http.StatusTooManyRequests {
		t.Errorf("by another word of its own: %d", status)
	}
	if status := post(two, "127.0.0.2"); status != http.StatusCreated {
		t.Errorf("another client, by the first one's address: %d", status)
	}
}

// carriesSilence: a WebSocket on which nobody speaks, and a stream for which the model says nothing,
// for longer than the proxy's timeouts.
func (p *proxy) carriesSilence(t *testing.T, c *cluster, at *node) {
	const silence = 63 * time.Second // the files say 60s
	talking := newPage(t)
	talking.open(t, at)
	talking.connect(t, at)
	in := talking.background()
	plan, more := c.model.plan(1000+seed.Add(1), 60, 0).halt(30), c.model.plan(1000+seed.Add(1), 60, 0)
	e := &events{within: 2 * patience}
	defer e.close()
	if err := e.open(at, "POST", "/chat", chatMessageBody{Message: plan.said}, nil); err != nil {
		t.Fatal(err)
	}
	e.readTo(t, plan.before(30))
	<-time.After(silence)
	plan.release()
	e.readAll(t)
	if e.text != plan.text {
		t.Error(textDiff(e.text, plan.text))
	}
	talking.send(t, frame{Type: "message", ID: newID(), Content: more.said})
	if _, err := in.until(t, "finish"); err != nil {
		t.Errorf("the WebSocket: %v", err)
	}
	talking.hang()
}

// speaksWith begins a reply, held in its middle, on a page that the proxy has connected
// with this node.
func (p *proxy) speaksWith(t *testing.T, c *cluster, at, hub *node) (*page, *plan) {
	g, plan := c.say(t, at, 1000+seed.Add(1), 60, 30)
	other := c.nodes[0]
	if other == hub {
		other = c.nodes[1]
	}
	eventually(t, "the page is with node "+hub.name, func() bool {
		if hub.connected(t) && !other.connected(t) {
			return true
		}
		g.hang()
		g.connect(t, at)
		g.readTo(t, plan.before(30))
		return false
	})
	return g, plan
}

// drains: SIGTERM to the node that a page is connected with, in the middle of a reply. The
// page is told to come back, and as often as it meets that node again, until it is with
// the other and gets the exact rest. Who begins anew meanwhile is served or told to come again.
func (p *proxy) drains(t *testing.T, c *cluster, at *node) {
	for _, old := range c.nodes {
		g, plan := p.speaksWith(t, c, at, old)
		old.signal(syscall.SIGTERM)
		if code := g.closes(t); code != 1001 {
			t.Errorf("closed with %d, want 1001", code)
		}
		g.hang()
		plan.release()
		for range 10 {
			// A proxy does not send a POST twice: where the hub ended under it, it says so.
			switch a := at.call(t, "POST", "/sessions", nil, nil); a.status {
			case http.StatusCreated, http.StatusBadGateway, http.StatusServiceUnavailable:
			default:
				t.Errorf("POST /sessions: %d %s", a.status, a.body)
			}
		}
		eventually(t, "the page has the whole reply", func() bool {
			err := g.dial(at, 0)
			for err == nil && (!g.welcome || g.last().partial) {
				if _, err = g.read(patience); errors.As(err, new(violation)) {
					t.Fatal(err)
				}
			}
			return err == nil
		})
		if got := g.last().Content; got != plan.text {
			t.Error(textDiff(got, plan.text))
		}
		g.hang()
		old.wait()
		eventually(t, "the other serves everybody", func() bool {
			return at.call(t, "POST", "/sessions", nil, nil).status == http.StatusCreated
		})
		if err := old.start(); err != nil {
			t.Fatal(err)
		}
		// It is in use again: Caddy leaves a hub that failed out for 2 s.
		g, plan = p.speaksWith(t, c, at, old)
		plan.release()
		g.hang()
	}
}

// survives: kill -9 of the node that a page is connected with, in the middle of a reply. The page comes
// back at once and gets the exact rest, and nobody else is refused.
func (p *proxy) survives(t *testing.T, c *cluster, at *node) {
	for _, dead := range c.nodes {
		g, plan := p.speaksWith(t, c, at, dead)
		dead.kill()
		plan.release()
		for range 10 {
			at.call(t, "POST", "/sessions", nil, nil).must(t, http.StatusCreated)
		}
		g.connect(t, at)
		for g.last().partial {
			if _, err := g.read(patience); err != nil {
				t.Fatal(err)
			}
		}
		if got := g.last().Content; got != plan.text {
			t.Error(textDiff(got, plan.text))
		}
		g.hang()
		if err := dead.start(); err != nil {
			t.Fatal(err)
		}
	}
}

// connected tells whether a WebSocket is open at the node.
func (n *node) connected(t testing.TB) bool {
	t.Helper()
	return !regexp.MustCompile(`(?m)^chathub_connections 0$`).Match(n.call(t, "GET", "/metrics", nil, nil).body)
}

// TestUnit has systemd read the unit, and judge what is left to the program: its exposure is 10 where
// nothing is forbidden, and at most 2 here.
func TestUnit(t *testing.T) {
	needs.Program(t, "systemd-analyze")
	p := &proxy{dir: t.TempDir()}
	unit := p.configure(t, "chathub.service", "/usr/local/bin/chathub", builtBinary(t))
	for _, args := range [][]string{
		{"verify", "--recursive-errors=no", unit},
		{"security", "--offline=true", "--threshold=20", unit},
	} {
		if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
	file, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, environment := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllSubmatch(file, -1) {
		for _, pair := range strings.Fields(string(environment[1])) {
			if !isSetting(pair) {
				t.Errorf("it sets %s, which the hub does not read", pair)
			}
		}
	}
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(file)
	if stop == nil {
		t.Fatal("no TimeoutStopSec")
	}
	if limit, err := time.ParseDuration(string(stop[1]) + "s"); err != nil || limit <= defaults().DrainTimeout {
		t.Errorf("it is killed after %v, %v", limit, err)
	}
}
