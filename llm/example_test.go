package llm_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/tmc/langchaingo/llms"

	"lumos/backend/llm"
	"lumos/backend/llm/mistralsim"
)

func Example() {
	// A server that stands for Mistral; the real one needs only the key.
	server := httptest.NewServer(mistralsim.New(mistralsim.Config{
		Answer: func(*mistralsim.Request) mistralsim.Answer {
			return mistralsim.Answer{Text: "Tokens arrive one by one."}
		},
	}))
	defer server.Close()

	model, err := llm.NewMistral(llm.Config{BaseURL: server.URL, APIKey: "key"})
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := model.GenerateContent(context.Background(),
		[]llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "How does a model speak?")},
		llms.WithStreamingFunc(func(_ context.Context, text []byte) error {
			fmt.Print(string(text))
			return nil
		}),
		llm.WithoutContent())
	if err != nil {
		fmt.Println(err) // an *llms.Error
		return
	}
	fmt.Printf("\n(%s)\n", resp.Choices[0].StopReason)
	// Output:
	// Tokens arrive one by one.
	// (stop)
}
