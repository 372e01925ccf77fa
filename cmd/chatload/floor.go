package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/coder/websocket"
)

// floorCmd is the peer to compare a hub with: the least that a relay can do
// with net/http and coder/websocket. It asks the model what a client says, and
// forwards every event as it came, a frame each: no session, no history, no
// resume, nothing decoded.
type floorCmd struct {
	Host string `env:"HOST" default:"127.0.0.1" help:"Address to listen on."`
	Port string `env:"PORT" default:"8081" help:"Port to listen on."`
	Base string `env:"MISTRAL_BASE_URL" name:"mistral-base-url" default:"https://api.mistral.ai" help:"Upstream, without /v1."`
	Key  string `env:"MISTRAL_API_KEY" name:"mistral-api-key" required:"" help:"Its key."`
}

// Run serves until the process is told to stop.
func (f *floorCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", net.JoinHostPort(f.Host, f.Port))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: f.handler()}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (f *floorCmd) handler() http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 10_000
	client := &http.Client{Transport: transport}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		for {
			_, message, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			if err := f.relay(client, conn, message); err != nil {
				conn.Close(websocket.StatusInternalError, "upstream")
				return
			}
		}
	})
	return mux
}

// relay asks the model and forwards its answer.
func (f *floorCmd) relay(client *http.Client, conn *websocket.Conn, message []byte) error {
	type said struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	body, err := json.Marshal(map[string]any{
		"model": "mistral-small-latest", "stream": true, "messages": []said{{"user", string(message)}},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, f.Base+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+f.Key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("upstream answered %s", resp.Status)
	}
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if data, found := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte("data: ")); found {
			if err := conn.Write(context.Background(), websocket.MessageText, data); err != nil {
				return err
			}
		}
	}
}
