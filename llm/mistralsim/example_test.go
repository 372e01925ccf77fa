package mistralsim_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"lumos/backend/llm/mistralsim"
)

// A service that breaks off in the middle of a reply, and goes on when asked
// to.
func ExampleNew() {
	sim := mistralsim.New(mistralsim.Config{
		NoPadding: true,
		Answer: func(r *mistralsim.Request) mistralsim.Answer {
			a := mistralsim.Answer{Tokens: []string{"You said ", r.LastUser(), "."}}
			if r.Prefix() == "" {
				a.CutTokens = 1
			}
			return a
		},
	})
	srv := httptest.NewServer(sim)
	defer srv.Close()

	ask := func(messages string) {
		req, _ := http.NewRequest("POST", srv.URL+"/v1/chat/completions", strings.NewReader(
			`{"model":"mistral-small-latest","stream":true,"messages":[`+messages+`]}`))
		req.Header.Set("Authorization", "Bearer any key")
		req.Header.Set("Content-Type", "application/json")
		resp, err := srv.Client().Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		fmt.Println(strings.Count(string(body), "data: "), "events,", err)
	}
	ask(`{"role":"user","content":"hello"}`)
	ask(`{"role":"user","content":"hello"},{"role":"assistant","content":"You said","prefix":true}`)
	fmt.Println(len(sim.Requests()), "requests")
	// Output:
	// 2 events, unexpected EOF
	// 6 events, <nil>
	// 2 requests
}
