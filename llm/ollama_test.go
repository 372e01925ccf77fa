package llm

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOllama(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Model string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Model != "mistral" || r.URL.Path != "/api/chat" {
			t.Errorf("%s: %+v, %v", r.URL.Path, asked, err)
		}
		_, _ = io.WriteString(w, `{"message":{"role":"assistant","content":"Hel"}}`+"\n"+`{"message":{"role":"assistant","content":"lo"},"done":true}`+"\n")
	}))
	defer server.Close()
	m, err := NewOllama(server.URL, "mistral")
	if err != nil {
		t.Fatal(err)
	}
	got, option := gather()
	resp, err := m.GenerateContent(t.Context(), ask, option)
	if err != nil || got.String() != "Hello" || resp.Choices[0].Content != "Hello" {
		t.Errorf("streamed %q, returned %+v, %v", got, resp, err)
	}
	http.DefaultClient.CloseIdleConnections()

	for _, bad := range []struct{ url, model string }{
		{"", "m"}, {"localhost:11434", "m"}, {"http://%zz", "m"}, {"ftp://x", "m"}, {server.URL, ""},
	} {
		if _, err := NewOllama(bad.url, bad.model); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
