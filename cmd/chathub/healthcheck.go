package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// healthcheck asks the hub that listens where cfg says for /healthz, as a container does that has no
// other program. Errors: it does not answer, or not with 200.
func healthcheck(cfg config) error {
	if cfg.Port == 0 {
		return errors.New("--healthcheck cannot find a hub that listens on a free port: set PORT")
	}
	host := cmp.Or(cfg.Host, "127.0.0.1")
	switch ip, err := netip.ParseAddr(host); {
	case err != nil || !ip.IsUnspecified():
	case ip.Is4():
		host = "127.0.0.1"
	default:
		host = "::1"
	}
	// No proxy: the answer must be this hub's.
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{}}
	resp, err := client.Get("http://" + net.JoinHostPort(host, strconv.Itoa(cfg.Port)) + "/healthz")
	if err != nil {
		return fmt.Errorf("failed to reach the hub: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the hub answers with %s", resp.Status)
	}
	return nil
}
