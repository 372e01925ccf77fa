package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// problems collects what is wrong with the settings, so that all of it is told at once.
type problems []string

func (p *problems) add(message string) {
	if !slices.Contains(*p, message) {
		*p = append(*p, message)
	}
}

func (p problems) err() error { return errors.New(strings.Join(p, "\n")) }

// mappers teaches kong the kinds of values that config's fields name in their type tags. A
// kind's parse function validates; what needs several settings is checked by config.settle.
func (p *problems) mappers() []kong.Option {
	return []kong.Option{
		kong.NamedMapper("llm", kind[string]{"mistral or ollama", oneOf("mistral", "ollama"), p}),
		kong.NamedMapper("key", kind[string]{"a key: visible ASCII characters without spaces", matches(`^[!-~]+$`), p}),
		kong.NamedMapper("url", kind[string]{"http://host or https://host, without /v1, a query or a password", baseURL, p}),
		kong.NamedMapper("word", kind[string]{"text without control characters", matches(`^[^\x00-\x1f\x7f]+$`), p}),
		kong.NamedMapper("text", kind[string]{"text in UTF-8", func(s string) (string, bool) { return s, true }, p}),
		kong.NamedMapper("temperature", kind[*float64]{"a number from 0 to 1.5", temperature, p}),
		kong.NamedMapper("tokens", kind[int]{"a whole number from 1", number(1, math.MaxInt), p}),
		kong.NamedMapper("limit", kind[int]{"a whole number from 0", number(0, math.MaxInt), p}),
		kong.NamedMapper("room", kind[*int]{"a whole number from 0", func(s string) (*int, bool) {
			n, ok := number(0, math.MaxInt)(s)
			return &n, ok
		}, p}),
		kong.NamedMapper("bytes", kind[int]{"a whole number from 1 to 16777216", number(1, 16<<20), p}),
		kong.NamedMapper("port", kind[int]{"a port from 1 to 65535, or 0 for a free one", number(0, 65535), p}),
		kong.NamedMapper("host", kind[string]{"an IP address without brackets, or a host name", hostName, p}),
		kong.NamedMapper("origins", kind[[]string]{"origins as a browser sends them, separated by commas: scheme://host or scheme://host:port, without a path and without *", list(origin), p}),
		kong.NamedMapper("prefixes", kind[[]netip.Prefix]{"addresses or networks separated by commas: 10.0.0.0/8,fd00::/8", list(prefix), p}),
		kong.NamedMapper("loopback", kind[string]{"a loopback address with a port: 127.0.0.1:6060", loopback, p}),
		kong.NamedMapper("level", kind[slog.Level]{"debug, info, warn or error", level, p}),
		kong.NamedMapper("fsync", kind[string]{"everysec, always or never", oneOf("everysec", "always", "never"), p}),
		kong.NamedMapper("format", kind[string]{"text or json", oneOf("text", "json"), p}),
		kong.NamedMapper("span", kind[time.Duration]{"a duration above 0: 90s, 30m, 12h", func(s string) (time.Duration, bool) {
			d, ok := duration(s)
			return d, ok && d > 0
		}, p}),
		kong.NamedMapper("pause", kind[time.Duration]{"a duration from 0: 0, 90s, 30m", duration, p}),
		kong.NamedMapper("redis", kind[[]string]{"redis://host:port/database, rediss://...?ca=file&cert=file&key=file or unix:///path, with user:password@ before the host where needed, several separated by commas; special characters in a password as %2C", list(redisURL), p}),
		kong.NamedMapper("secret", kind[string]{"at least 32 bytes (RFC 7518, section 3.2)", func(s string) (string, bool) { return s, len(s) >= 32 }, p}),
		kong.NamedMapper("jwks", kind[string]{"an https:// URL (http:// on a loopback address only)", jwksURL, p}),
	}
}

// kind is one kind of value, as a kong.Mapper: what is accepted, in words and as a function.
type kind[T any] struct {
	want  string
	parse func(string) (T, bool)
	wrong *problems
}

// secrets are the kinds whose values are never repeated.
var secrets = []string{"key", "secret", "redis"}

// Decode sets target, or notes the problem and leaves it: kong itself stops at the first error, and
// would repeat the value.
func (k kind[T]) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("a")
	if err != nil {
		return errors.New("a value is missing")
	}
	given := token.String()
	if ctx.Value.Tag.Type != "text" {
		given = strings.TrimSpace(given) // a key read from a file ends in a newline
	}
	value, ok := k.parse(given)
	if !ok || !utf8.ValidString(given) {
		shown := "=" + strconv.Quote(given)
		// A URL may hold a password, whatever it was meant for.
		if slices.Contains(secrets, ctx.Value.Tag.Type) || strings.Contains(given, "@") {
			shown = " (its value is not shown)"
		}
		k.wrong.add(fmt.Sprintf("%s%s is not accepted; want %s", envName(ctx.Value.Name), shown, k.want))
		return nil
	}
	target.Set(reflect.ValueOf(value))
	return nil
}

// PlaceHolder is what the help shows after a flag: its default, or what to put there.
func (k kind[T]) PlaceHolder(flag *kong.Flag) string {
	if flag.HasDefault {
		return flag.Default
	}
	return flag.PlaceHolder
}

func oneOf(words ...string) func(string) (string, bool) {
	return func(s string) (string, bool) { return s, slices.Contains(words, s) }
}

func number(least, most int) func(string) (int, bool) {
	return func(s string) (int, bool) {
		n, err := strconv.Atoi(s)
		return n, err == nil && least <= n && n <= most
	}
}

func temperature(s string) (*float64, bool) {
	t, err := strconv.ParseFloat(s, 64)
	return &t, err == nil && 0 <= t && t <= 1.5
}

func duration(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}

func level(s string) (l slog.Level, ok bool) {
	err := l.UnmarshalText([]byte(s))
	return l, err == nil && !strings.ContainsAny(s, "+-")
}

// list applies one to every part between commas.
func list[T any](one func(string) (T, bool)) func(string) ([]T, bool) {
	return func(s string) (all []T, ok bool) {
		for part := range strings.SplitSeq(s, ",") {
			value, ok := one(strings.TrimSpace(part))
			if !ok {
				return nil, false
			}
			all = append(all, value)
		}
		return all, true
	}
}

func matches(pattern string) func(string) (string, bool) {
	r := regexp.MustCompile(pattern)
	return func(s string) (string, bool) { return s, r.MatchString(s) }
}

// validHost matches host names (RFC 1123, and the underscore of container networks) and IPv4.
var validHost = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

func hostName(s string) (string, bool) {
	_, err := netip.ParseAddr(s)
	return s, err == nil || validHost.MatchString(s)
}

// hostPort says whether u names a host that can be reached, with a port that exists or none.
func hostPort(u *url.URL) bool {
	if _, ok := number(1, 65535)(u.Port()); !ok && (u.Port() != "" || strings.HasSuffix(u.Host, ":")) {
		return false
	}
	_, ok := hostName(u.Hostname())
	return ok
}

// httpURL parses the URL of a server, without a password or a fragment.
func httpURL(s string) (*url.URL, bool) {
	u, err := url.Parse(s)
	return u, err == nil && (u.Scheme == "http" || u.Scheme == "https") && hostPort(u) && u.User == nil && !strings.Contains(s, "#")
}

func baseURL(s string) (string, bool) {
	s = strings.TrimRight(s, "/")
	u, ok := httpURL(s)
	return s, ok && !strings.Contains(s, "?") && !strings.HasSuffix(u.Path, "/v1")
}

func jwksURL(s string) (string, bool) {
	u, ok := httpURL(s)
	return s, ok && (u.Scheme == "https" || isLoopback(u.Hostname()))
}

func redisURL(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || strings.Contains(s, "#") {
		return "", false
	}
	files, err := url.ParseQuery(u.RawQuery) // redisstore.Option reads them
	for name, of := range files {
		if u.Scheme != "rediss" || name != "ca" && name != "cert" && name != "key" || len(of) > 1 || of[0] == "" {
			return "", false
		}
	}
	if u.Scheme == "unix" {
		return s, err == nil && u.Host == "" && len(u.Path) > 1
	}
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || !hostPort(u) {
		return "", false
	}
	database := strings.TrimPrefix(u.Path, "/")
	_, ok := number(0, math.MaxInt)(database)
	return s, ok || database == ""
}

// origin is the Origin that a browser sends (RFC 6454, section 6.2): lower case, and without the
// port that the scheme implies.
func origin(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.User != nil || !hostPort(u) {
		return "", false
	}
	canonical := u.Scheme + "://" + strings.ToLower(u.Host)
	// Whatever else was given (a path, a query, a trailing slash) is not in the canonical form.
	if !strings.EqualFold(canonical, s) || u.Scheme == "ws" || u.Scheme == "wss" {
		return "", false
	}
	implied := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return strings.TrimSuffix(canonical, implied), true
}

func prefix(s string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), addr.Zone() == "" && !addr.Is4In6()
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil && !p.Addr().Is4In6()
}

func loopback(s string) (string, bool) {
	host, port, err := net.SplitHostPort(s)
	_, ok := number(0, 65535)(port)
	return s, err == nil && ok && isLoopback(host)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}
