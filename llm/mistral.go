package llm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tmc/langchaingo/llms"
)

// Defaults of Config. DefaultMaxElapsed bounds the waits of a call without a Budget: it
// outlasts the minute of Mistral's rate limit.
const (
	DefaultFirstTokenTimeout = 120 * time.Second
	DefaultIdleTimeout       = 60 * time.Second
	DefaultMaxElapsed        = 90 * time.Second
)

// Config says how to reach Mistral. The zero value of a field is its default.
type Config struct {
	BaseURL string // without /v1; "": https://api.mistral.ai
	APIKey  string // empty: no Authorization is sent, for servers that want none
	Model   string // "": mistral-small-latest

	// HTTPClient is copied, and the copy follows no redirect. Nil: one of our own.
	HTTPClient *http.Client

	// Temperature is sent when the call has no option for it. Nil: the model's own.
	Temperature *float64

	// ReasoningEffort is sent as it is. "": it is not sent, and the model decides.
	ReasoningEffort string

	// ContextTokens is the context that an Ollama is asked to have (num_ctx). 0: its own.
	ContextTokens int

	// FirstTokenTimeout is how long an attempt may bring no byte until its first token,
	// IdleTimeout how long after it; both are shorter once a reply has waited. Without
	// text an answer may go on for ten minutes, with text for ever.
	FirstTokenTimeout, IdleTimeout time.Duration

	// MaxRetries is the number of attempts after the first, negative for none, 0: 5.
	// MaxRetryWait is the longest wait between two, 0: 65 s. A server whose Retry-After asks
	// for more is not asked again. A context's Budget bounds a call as well.
	MaxRetries   int
	MaxRetryWait time.Duration

	// OnRetry is told of each wait before it begins. It runs on the call's goroutine.
	OnRetry func(wait time.Duration, err *llms.Error)

	Logger *slog.Logger // nil: nothing is logged
}

// Mistral is a langchaingo model that speaks to Mistral's API, or to one like it. It
// is safe for concurrent use and has nothing to close.
type Mistral struct {
	cfg      Config  // with its defaults
	ollama   *ollama // what requests to Ollama have besides; nil: it is no Ollama
	endpoint string
	client   *http.Client
}

var _ llms.Model = (*Mistral)(nil)

// NewMistral checks the configuration. It reaches nobody.
func NewMistral(cfg Config) (*Mistral, error) {
	base, err := url.Parse(cmp.Or(cfg.BaseURL, "https://api.mistral.ai"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("llm: the base URL %q is no http or https URL", cfg.BaseURL)
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("llm: the base URL may hold no user, query or fragment")
	}
	for _, c := range []byte(cfg.APIKey) {
		if c <= ' ' || c >= 0x7f {
			return nil, errors.New("llm: the API key holds a space, a line end or another character that a key has not")
		}
	}
	if min(cfg.FirstTokenTimeout, cfg.IdleTimeout, cfg.MaxRetryWait) < 0 {
		return nil, errors.New("llm: a timeout is negative")
	}
	// Some write the address with /v1, as the curl examples of Mistral's have it.
	base.Path = strings.TrimSuffix(strings.TrimRight(base.Path, "/"), "/v1")
	cfg.Model = cmp.Or(cfg.Model, "mistral-small-latest")
	cfg.FirstTokenTimeout = cmp.Or(cfg.FirstTokenTimeout, DefaultFirstTokenTimeout)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, DefaultIdleTimeout)
	cfg.MaxRetries = cmp.Or(cfg.MaxRetries, 5)
	cfg.MaxRetryWait = cmp.Or(cfg.MaxRetryWait, 65*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Mistral{
		cfg: cfg, endpoint: base.JoinPath("/v1/chat/completions").String(), client: newClient(cfg.HTTPClient),
	}, nil
}

// newClient returns the client to use: a copy of given, or one made for many
// long streams to one host.
func newClient(given *http.Client) *http.Client {
	var client http.Client
	if given != nil {
		client = *given
	} else {
		client.Transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 512,
			IdleConnTimeout:     90 * time.Second,
			// A compressed stream would wait for more before it shows a token.
			DisableCompression: true,
			ForceAttemptHTTP2:  true,
			// Many streams share one HTTP/2 connection; a dead one must show.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		}
	}
	// A redirect would carry the conversation, perhaps the key, to another host.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// GenerateContent asks the model to answer a conversation. If its last message is the AI's, that
// is the beginning of the answer, and only what follows it is streamed and returned.
//
// The answer is streamed underneath in any case. A StreamingFunc gets the bytes
// that one read brought as soon as it brought them, always whole characters,
// valid during the call only; an error of its own ends the request. The text is
// also returned as Content, as langchaingo's callers expect, but for
// [WithoutContent]. StopReason is Mistral's finish_reason as it came;
// GenerationInfo holds PromptTokens, CompletionTokens, TotalTokens and
// PromptCachedTokens as int. A StreamingReasoningFunc gets what the model thinks, in
// the order in which it thinks and speaks.
//
// Of the options, Model, Temperature, TopP, MaxTokens and StopWords are sent if
// they are not zero, which is how langchaingo tells them from unset; the others
// are ignored. Messages are text. MaxTokens is sent as it is: who goes on with an
// answer lowers it.
//
// Every error is an *[llms.Error]; [LogAttrs] returns what of it may be logged. Nothing is
// tried again once text, or a thought, was handed to the caller; [Transient] reports whether a
// call that continues from it may help. If the stream ends without a finish_reason or [DONE],
// errors.Is(err, io.ErrUnexpectedEOF) is true, and for no other error. A [Budget] bounds the
// requests of several calls.
func (m *Mistral) GenerateContent(ctx context.Context, messages []llms.MessageContent, options ...llms.CallOption) (*llms.ContentResponse, error) {
	c := call{m: m, ctx: ctx, budget: m.cfg.budget(ctx)}
	for _, option := range options {
		option(&c.opts)
	}
	c.collect = c.opts.StreamingFunc == nil || c.opts.Metadata[withoutContent] == nil
	var err error
	var f *failure
	if c.body, c.given, err = m.encode(messages, &c.opts); err != nil {
		f = fail(llms.ErrCodeInvalidRequest, err, "the request cannot be written: %v", err)
	} else {
		f = c.run()
	}
	if f != nil {
		if m.ollama != nil {
			f.Provider = "ollama"
		}
		return nil, f.Error
	}
	return c.response(), nil
}

// Call asks the model one question.
func (m *Mistral) Call(ctx context.Context, prompt string, options ...llms.CallOption) (string, error) {
	return llms.GenerateFromSinglePrompt(ctx, m, prompt, options...)
}

// The keys in a call's metadata that are ours. langchaingo gives options no other
// place; metadata is never sent.
const (
	withoutContent = "lumos/llm.WithoutContent"
	cacheKey       = "lumos/llm.CacheKey"
)

// WithoutContent leaves the response's Content empty: the caller has the text
// from its StreamingFunc, and it need not be kept twice. Without a StreamingFunc
// it does nothing.
func WithoutContent() llms.CallOption { return ownOption(withoutContent, true) }

// WithCacheKey names the conversation that a prompt belongs to: prompts with the same
// key that begin alike are cheaper, where the service has a cache.
func WithCacheKey(key string) llms.CallOption { return ownOption(cacheKey, key) }

func ownOption(name string, value any) llms.CallOption {
	return func(o *llms.CallOptions) {
		o.Metadata = maps.Clone(o.Metadata)
		if o.Metadata == nil {
			o.Metadata = make(map[string]any)
		}
		o.Metadata[name] = value
	}
}

// redact takes the key out of a text that came from outside.
func (m *Mistral) redact(text string) string {
	if m.cfg.APIKey == "" {
		return text
	}
	return strings.ReplaceAll(text, m.cfg.APIKey, "[key]")
}
