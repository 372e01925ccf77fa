package llm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

// simulate starts the simulator and returns a model that asks it, over HTTP/2
// with TLS, as Mistral speaks, or over HTTP/1.1.
func simulate(t testing.TB, http2 bool, answer func(*mistralsim.Request) mistralsim.Answer) (*llm.Mistral, *mistralsim.Server) {
	t.Helper()
	sim := mistralsim.New(mistralsim.Config{Answer: answer})
	server := httptest.NewUnstartedServer(sim)
	if server.EnableHTTP2 = http2; http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	m, err := llm.NewMistral(llm.Config{BaseURL: server.URL, APIKey: "k", HTTPClient: server.Client(), MaxRetryWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return m, sim
}

func human(text string) llms.MessageContent { return llms.TextParts(llms.ChatMessageTypeHuman, text) }

// both runs a test over both protocols.
func both(t *testing.T, test func(t *testing.T, http2 bool)) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("http2=%v", http2), func(t *testing.T) { test(t, http2) })
	}
}

// TestSimulator holds that the simulator's closed schema takes what is sent.
func TestSimulator(t *testing.T) {
	both(t, func(t *testing.T, http2 bool) {
		m, sim := simulate(t, http2, nil)
		resp, err := m.GenerateContent(t.Context(), []llms.MessageContent{
			llms.TextParts(llms.ChatMessageTypeSystem, "Be kind."), human("Hi"),
			llms.TextParts(llms.ChatMessageTypeAI, "Hello."), human("I am sad"), llms.TextParts(llms.ChatMessageTypeAI, ""), human("Really"),
		}, llms.WithMaxTokens(1000), llms.WithTemperature(0.3), llms.WithTopP(0.9), llms.WithStopWords([]string{"§"}), llm.WithoutContent())
		if err != nil {
			t.Fatal(err)
		}
		choice := resp.Choices[0]
		if choice.Content == "" || choice.StopReason != "stop" || choice.GenerationInfo["TotalTokens"] == nil {
			t.Errorf("got %+v", choice)
		}
		if got := sim.Requests(); len(got) != 1 || len(got[0].Messages) != 5 {
			t.Errorf("the simulator saw %+v", got)
		}
	})
}

// TestCutsAreSeamless cuts replies anywhere, up to three times, and goes on as a
// turn does: the joined text is what the simulator meant.
func TestCutsAreSeamless(t *testing.T) {
	both(t, func(t *testing.T, http2 bool) {
		random := llm.Random(t)
		words := []string{"Hello", " world", "\n\n", "  ", "你好", "😀👍🏽", ".\n", " é", "\t- item", "“quoted”", " ", "\"\\", "0123"}
		for round := range 60 {
			var meant strings.Builder
			for range 1 + random.IntN(40) {
				meant.WriteString(words[random.IntN(len(words))])
			}
			cuts := random.IntN(4)
			shape := mistralsim.Answer{Text: meant.String(), ASCII: random.IntN(2) == 0, CleanEnd: random.IntN(2) == 0, Reset: random.IntN(3) == 0}
			size := 400 + 200*meant.Len()/4
			m, _ := simulate(t, http2, func(*mistralsim.Request) mistralsim.Answer {
				answer := shape
				if cuts > 0 {
					cuts--
					answer.CutBytes = 1 + random.IntN(size)
				}
				return answer
			})
			var text strings.Builder
			for attempt := 0; ; attempt++ {
				resp, err := m.GenerateContent(t.Context(), []llms.MessageContent{human("Hi"), llms.TextParts(llms.ChatMessageTypeAI, text.String())},
					llms.WithStreamingFunc(func(_ context.Context, b []byte) error {
						if !utf8.Valid(b) {
							t.Errorf("streamed %q", b)
						}
						text.Write(b)
						return nil
					}), llm.WithoutContent())
				if err == nil {
					if resp.Choices[0].StopReason != "stop" {
						t.Errorf("reason %q", resp.Choices[0].StopReason)
					}
					break
				}
				if !errors.Is(err, io.ErrUnexpectedEOF) || attempt > 3 {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			if text.String() != meant.String() {
				t.Fatalf("round %d: got %q, want %q", round, text.String(), meant.String())
			}
		}
	})
}

func TestSimulatedRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		answer mistralsim.Answer
		want   llms.ErrorCode
	}{
		"key":        {mistralsim.Unauthorized(), llms.ErrCodeAuthentication},
		"key, Kong":  {mistralsim.UnauthorizedKong(), llms.ErrCodeAuthentication},
		"forbidden":  {mistralsim.Forbidden(), llms.ErrCodeAuthentication},
		"model":      {mistralsim.ModelUnknown("x"), llms.ErrCodeInvalidRequest},
		"too long":   {mistralsim.PromptTooLong(9, 8), llms.ErrCodeTokenLimit},
		"field":      {mistralsim.Unprocessable("x"), llms.ErrCodeInvalidRequest},
		"nested":     {mistralsim.UnprocessableNested("x"), llms.ErrCodeInvalidRequest},
		"array":      {mistralsim.UnprocessableArray("x"), llms.ErrCodeInvalidRequest},
		"asks later": {mistralsim.RateLimited("3600"), llms.ErrCodeRateLimit},
		"event":      {mistralsim.Answer{Text: "Hello world", Event: mistralsim.ErrorEvent("no", "x", "3505"), EventAfter: 1}, llms.ErrCodeRateLimit},
		"finish":     {mistralsim.Answer{Text: "Hello", Finish: "error"}, llms.ErrCodeProviderUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := simulate(t, true, func(*mistralsim.Request) mistralsim.Answer { return test.answer })
			_, err := m.Call(t.Context(), "Hi")
			var e *llms.Error
			if !errors.As(err, &e) || e.Code != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestStopReachesMistral cancels replies wherever they are: the simulator sees
// its client go.
func TestStopReachesMistral(t *testing.T) {
	both(t, func(t *testing.T, http2 bool) {
		for name, answer := range map[string]mistralsim.Answer{
			"before the header": {Stall: mistralsim.StallHeaders},
			"before a token":    {Text: "Hello", Stall: mistralsim.StallTokens},
			"between tokens":    {Text: "Hello world, how do you do", Stall: mistralsim.StallTokens, StallAfter: 2},
		} {
			t.Run(name, func(t *testing.T) {
				asked := make(chan *mistralsim.Request, 1)
				m, _ := simulate(t, http2, func(r *mistralsim.Request) mistralsim.Answer { asked <- r; return answer })
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan error, 1)
				go func() {
					_, err := m.GenerateContent(ctx, []llms.MessageContent{human("Hi")}, llms.WithStreamingFunc(func(context.Context, []byte) error {
						cancel()
						return nil
					}))
					ended <- err
				}()
				request := <-asked
				if answer.StallAfter == 0 {
					cancel()
				}
				if err := <-ended; !llms.IsCanceledError(err) {
					t.Errorf("got %v", err)
				}
				select {
				case <-request.Done():
				case <-time.After(10 * time.Second):
					t.Fatal("the simulator still answers")
				}
				if request.Gone().IsZero() {
					t.Error("the simulator did not see its client go")
				}
			})
		}
	})
}

// BenchmarkCancel tells how long it takes from cancel until the server knows.
func BenchmarkCancel(b *testing.B) {
	for _, http2 := range []bool{false, true} {
		b.Run(fmt.Sprintf("http2=%v", http2), func(b *testing.B) {
			asked := make(chan *mistralsim.Request, 1)
			m, _ := simulate(b, http2, func(r *mistralsim.Request) mistralsim.Answer {
				asked <- r
				return mistralsim.Answer{Text: "Hello", Stall: mistralsim.StallTokens}
			})
			var took time.Duration
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); _, _ = m.Call(ctx, "Hi") }()
				request := <-asked
				at := time.Now()
				cancel()
				<-ended
				<-request.Done()
				took += time.Since(at)
			}
			b.ReportMetric(float64(took.Microseconds())/float64(b.N), "µs/cancel")
		})
	}
}

// BenchmarkReply reads whole replies over a connection from a server that writes
// 32 tokens at a time, as fast as it can.
func BenchmarkReply(b *testing.B) {
	const tokens = 5000
	line := `data: {"id":"53197a20c4f04a9d8f6f7bb1e1f3d0aa","object":"chat.completion.chunk","created":1769088720,"model":"mistral-small-latest","choices":[{"index":0,"delta":{"content":" a token of about 26 bytes."},"finish_reason":null}],"p":"abcdefghij"}` + "\n\n"
	lines := strings.Repeat(line, 32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range tokens / 32 {
			_, _ = io.WriteString(w, lines)
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	defer server.Close()
	m, err := llm.NewMistral(llm.Config{BaseURL: server.URL})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	reads := 0
	count := llms.WithStreamingFunc(func(context.Context, []byte) error { reads++; return nil })
	for b.Loop() {
		if _, err := m.GenerateContent(b.Context(), []llms.MessageContent{human("Hi")}, count, llm.WithoutContent()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/tokens, "ns/token")
	b.ReportMetric(float64(tokens)*float64(b.N)/float64(reads), "tokens/call")
}
