package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"
)

// process is a peer that runs as a child, so that its cost is told apart from
// that of the load and of the simulator.
type process struct {
	path  string
	args  []string
	env   []string
	addr  string // host:port that it serves
	dir   string // where it runs; "": here
	debug string // host:port of its pprof; "": none

	mu    sync.Mutex
	cmd   *exec.Cmd     // guarded by mu
	spent time.Duration // processor time of runs that ended; guarded by mu
}

// freeAddress finds a loopback port that nothing listens on, below the ports that the kernel
// gives to clients (32768 and up on Linux): one of those may be taken again before the server
// listens, and a client that dials it may be connected with itself.
func freeAddress() (string, error) {
	for tries := 1; ; tries++ {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			return ln.Addr().String(), ln.Close()
		}
		if tries == 100 {
			return "", err
		}
	}
}

// newProcess prepares a program that is configured by the environment, as
// chathub is. Variables of this process are passed on (GOGC, DEBUG_ADDR …).
func newProcess(path string, args []string, env map[string]string) (*process, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(addr)
	p := &process{path: path, args: args, addr: addr, env: append(os.Environ(), "HOST="+host, "PORT="+port)}
	for name, value := range env {
		p.env = append(p.env, name+"="+value)
	}
	return p, nil
}

// start starts it and waits until it is ready.
func (p *process) start(ctx context.Context) error {
	cmd := exec.Command(p.path, p.args...)
	cmd.Env, cmd.Dir, cmd.Stderr = p.env, p.dir, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		resp, err := http.Get("http://" + p.addr + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if !pause(ctx, 20*time.Millisecond) {
			p.stop(os.Kill)
			return fmt.Errorf("%s is not ready: %w", p.path, err)
		}
	}
}

// stop sends it a signal and waits for its end.
func (p *process) stop(sig os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd.Process.Signal(sig)
	force := time.AfterFunc(40*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	force.Stop()
	p.spent += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// usage is what its present run takes; nothing for a peer that is not ours.
func (p *process) usage() usage {
	if p == nil {
		return usage{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return usageOf(p.cmd.Process.Pid)
}

// cpu is the processor time of all its runs.
func (p *process) cpu() time.Duration {
	if p == nil {
		return 0
	}
	now := p.usage().cpu()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spent + now
}

// profile waits a second, and writes 5 s of its CPU profile to a file.
func (p *process) profile(file string) error {
	time.Sleep(time.Second)
	resp, err := http.Get("http://" + p.debug + "/debug/pprof/profile?seconds=5")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		return err
	}
	return f.Close()
}
