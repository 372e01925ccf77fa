package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lumos/backend/httpapi"
	"lumos/backend/hub"
	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// The proofs of exactness are random runs, each made from a seed alone:
//
//	EXACT_RUNS=50000   runs of each kind instead of the default
//	EXACT_SEED=1234    the first seed; a run that fails names its own
const (
	exactRunsEnv = "EXACT_RUNS"
	exactSeedEnv = "EXACT_SEED"
)

// exactServer is all of the server but the process around it, over loopback
// sockets. It logs nothing and the simulator remembers nothing, so that it can
// bear any number of runs.
type exactServer struct {
	addr   string
	client *http.Client
	ended  sync.Map                                    // the addresses of clients whose connections the server has closed
	plans  sync.Map                                    // what the user says → *exactPlan
	voice  func(*mistralsim.Request) mistralsim.Answer // for all else
}

// exactOptions changes what an exactServer is by default.
type exactOptions struct {
	redis        string // its URL; "": the store is in memory
	writeTimeout time.Duration
	sendBuffer   int                                         // of the kernel, for each connection of a client; 0: its default
	voice        func(*mistralsim.Request) mistralsim.Answer // where there is no plan; nil: none
}

// newExactServer starts a server, which ends with the test.
func newExactServer(tb testing.TB, o exactOptions) *exactServer {
	tb.Helper()
	x := &exactServer{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}, voice: o.voice}
	if x.voice == nil {
		x.voice = func(*mistralsim.Request) mistralsim.Answer { return mistralsim.InternalError() }
	}
	upstream := httptest.NewServer(mistralsim.New(mistralsim.Config{Record: -1, NoPadding: true, Answer: x.answer}))
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	model, err := llm.NewMistral(llm.Config{
		BaseURL: upstream.URL, APIKey: rigKey, HTTPClient: &http.Client{Transport: transport}, MaxRetryWait: time.Microsecond,
	})
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	sessions, closeStore := exactStore(tb, o.redis, log)
	h := hub.New(hub.Config{Sessions: sessions, Model: model, ModelName: "test-model", Logger: log})
	server := httptest.NewUnstartedServer(httpapi.New(httpapi.Config{
		Hub: h, Sessions: sessions, Static: http.NotFoundHandler(), WriteTimeout: o.writeTimeout, Logger: log,
	}))
	server.Listener = watchedListener{server.Listener, o.sendBuffer, &x.ended}
	server.Start()
	x.addr = server.Listener.Addr().String()

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = sessions.Run(ctx) })
	running.Go(func() { _ = h.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		running.Wait()
		closeStore()
		x.client.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
		upstream.CloseClientConnections()
		upstream.Close()
	})
	return x
}

// watchedListener gives its connections a small send buffer, so that a client
// that reads nothing is soon felt, and tells when the server has closed one.
type watchedListener struct {
	net.Listener
	size  int // 0: the kernel's own
	ended *sync.Map
}

func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.size > 0 {
		err = c.(*net.TCPConn).SetWriteBuffer(l.size)
	}
	return watchedConn{c, l.ended}, err
}

type watchedConn struct {
	net.Conn
	ended *sync.Map
}

func (c watchedConn) Close() error {
	c.ended.Store(c.RemoteAddr().String(), true)
	return c.Conn.Close()
}

// answer plays the plan for what the user said.
func (x *exactServer) answer(r *mistralsim.Request) mistralsim.Answer {
	if plan, ok := x.plans.Load(r.LastUser()); ok {
		return plan.(*exactPlan).answer(r)
	}
	return x.voice(r)
}

// call sends a request and returns the status and the body.
func (x *exactServer) call(method, path, body string, headers ...string) (int, []byte, error) {
	req, err := http.NewRequest(method, "http://"+x.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := x.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, err
}

// open makes a session and returns its id.
func (x *exactServer) open() (string, error) {
	status, body, err := x.call("POST", "/sessions", "")
	if err != nil || status != http.StatusCreated {
		return "", fmt.Errorf("POST /sessions: %d %v", status, err)
	}
	var made struct{ ID string }
	return made.ID, json.Unmarshal(body, &made)
}

// stored returns the conversation as GET /sessions/{id} has it.
func (x *exactServer) stored(session string) ([]*refMessage, error) {
	status, body, err := x.call("GET", "/sessions/"+session, "")
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("GET /sessions: %d %v", status, err)
	}
	var s struct{ Messages []*refMessage }
	return s.Messages, json.Unmarshal(body, &s)
}

// settled returns the conversation once its newest reply has ended. Nothing
// may be said meanwhile.
func (x *exactServer) settled(session string) ([]*refMessage, error) {
	limit := time.Now().Add(refPatience)
	for {
		messages, err := x.stored(session)
		if err != nil {
			return nil, err
		}
		if n := len(messages); n > 0 && messages[n-1].Role == "assistant" {
			return messages, nil
		}
		if time.Now().After(limit) {
			return nil, fmt.Errorf("a reply does not end")
		}
	}
}

// exactRuns plays seeded runs, a few at a time, and fails with the seeds that
// went wrong. Under the race detector and with -short there are fewer.
func exactRuns(t *testing.T, runs int, play func(seed uint64) error) {
	t.Helper()
	if raceEnabled {
		runs /= 6
	}
	if testing.Short() {
		runs /= 10
	}
	first := exactEnv(t, exactSeedEnv, 1)
	runs = exactEnv(t, exactRunsEnv, runs)
	seeds := make(chan uint64)
	var players sync.WaitGroup
	for range 4 {
		players.Go(func() {
			for seed := range seeds {
				if err := play(seed); err != nil && !t.Failed() {
					t.Errorf("%s=%d %s=1: %v", exactSeedEnv, seed, exactRunsEnv, err)
				}
			}
		})
	}
	for i := range runs {
		if t.Failed() {
			break
		}
		seeds <- uint64(first + i)
	}
	close(seeds)
	players.Wait()
}

func exactEnv(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, and must be a number above 0", name, text)
	}
	return n
}
