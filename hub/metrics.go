package hub

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/tmc/langchaingo/llms"

	"lumos/backend/session"
)

// Metrics is what the hub tells Prometheus of itself. No label holds anything
// that a client chooses. All methods may be called concurrently.
type Metrics struct {
	connections, streams, running, waiting                prometheus.Gauge
	replies, tokens, resumes, retries, failures, rejected *prometheus.CounterVec
	bytes, unread, received, sent                         prometheus.Counter
	continuations, adoptions, writeTimeouts, redisErrs    prometheus.Counter
	replyTime, firstToken, deltaTime, stopTime, redis     prometheus.Histogram
}

// NewMetrics registers the hub's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := factory{promauto.With(r)}
	fast := prometheus.ExponentialBuckets(0.00005, 2, 18) // 50 µs to 6.5 s
	slow := []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
	return &Metrics{
		connections: f.gauge("connections", "WebSockets that are open."),
		streams:     f.gauge("streams", "SSE streams that are open."),
		running:     f.gauge("replies_running", "Replies that are being written here."),
		waiting:     f.gauge("upstream_waiting", "Replies that wait for their turn with the model (MAX_UPSTREAM)."),

		replies: f.counters("replies_total", "Replies that ended here, by how.", "end",
			session.FinishStop, session.FinishLength, session.FinishContentFilter, session.FinishOther,
			session.FinishStopped, session.FinishError, endDeleted, endMoved, endNotStored),
		tokens: f.counters("tokens_total", "Tokens as the model counted them; cached are those of the prompt that were in its cache.", "kind", "prompt", "completion", "cached"),
		resumes: f.counters("resumes_total", "Clients that came back in the middle of a reply or behind a message, by what they got.",
			"outcome", resumeExact, resumeWhole, resumeOver),
		retries: f.counters("upstream_retries_total", "Requests to the model that were repeated, by why.", "code",
			string(llms.ErrCodeRateLimit), string(llms.ErrCodeProviderUnavailable), string(llms.ErrCodeTimeout)),
		failures: f.counters("upstream_errors_total", "Replies that failed, by why.", "code",
			CodeUpstream, CodeUpstreamAuth, CodeUpstreamBusy, CodeUpstreamTimeout, CodeInternal),
		rejected: f.counters("rejected_total", "What was refused or cut short, by what.", "reason", reasons...),

		bytes:         f.counter("reply_bytes_total", "Text of replies that ended here, in bytes."),
		unread:        f.counter("unread_tokens_total", "Tokens of replies, about, that nobody was there to read when they were written."),
		received:      f.counter("deltas_received_total", "Parts of text that came from the model."),
		sent:          f.counter("deltas_sent_total", "Parts of text that went to clients; fewer per follower than came when clients are slow."),
		continuations: f.counter("continuations_total", "Replies gone on with after the model's stream was cut."),
		adoptions:     f.counter("adoptions_total", "Replies taken over from a node that stopped writing them."),
		writeTimeouts: f.counter("write_timeouts_total", "Clients dropped because they took nothing for the write timeout."),

		redisErrs: f.counter("redis_errors_total", "Round trips to Redis that failed."),

		redis:      f.histogram("redis_seconds", "Round trips to Redis, one step or many together.", fast),
		replyTime:  f.histogram("reply_seconds", "From a message to its reply's end.", slow),
		firstToken: f.histogram("first_token_seconds", "From a message to its reply's first text.", slow),
		deltaTime:  f.histogram("delta_seconds", "From text's arrival to its being written to a socket; at most one in 32 is measured.", fast),
		stopTime:   f.histogram("stop_seconds", "From a stop to the reply's being stored.", fast),
	}
}

// The ends of a reply that are no finish_reason.
const (
	endDeleted   = "deleted"
	endMoved     = "moved"
	endNotStored = "not_stored"
)

// What a client gets that comes back: the exact rest, the reply that ended
// meanwhile as a whole, or all from the beginning.
const (
	resumeExact = "exact"
	resumeWhole = "whole"
	resumeOver  = "started_over"
)

// reasons are the values of rejected_total's label: limits, and what else a
// client is refused for.
var reasons = []string{
	"messages", "sessions", "replies", "client_connections", "connections", "stored_sessions",
	"session_messages", "message_bytes", "body_bytes", "reply_bytes", "upstream", "frames", "token", "origin",
}

// factory makes metrics in the hub's namespace, and registers them.
type factory struct{ promauto.Factory }

func (f factory) counters(name, help, label string, values ...string) *prometheus.CounterVec {
	v := f.NewCounterVec(prometheus.CounterOpts{Namespace: "chathub", Name: name, Help: help}, []string{label})
	for _, value := range values {
		v.WithLabelValues(value) // so that it is there, as 0, before it happens
	}
	return v
}

func (f factory) counter(name, help string) prometheus.Counter {
	return f.NewCounter(prometheus.CounterOpts{Namespace: "chathub", Name: name, Help: help})
}

func (f factory) gauge(name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Namespace: "chathub", Name: name, Help: help})
}

func (f factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return f.NewHistogram(prometheus.HistogramOpts{Namespace: "chathub", Name: name, Help: help, Buckets: buckets})
}

// Rejected counts something that was refused for one of the reasons.
func (m *Metrics) Rejected(reason string) {
	m.rejected.WithLabelValues(reason).Inc()
}

// Retried counts a request to the model that is repeated because of code.
func (m *Metrics) Retried(code string) {
	m.retries.WithLabelValues(code).Inc()
}

// RedisAsked counts a round trip to Redis.
func (m *Metrics) RedisAsked(_ string, took time.Duration, failed bool) {
	m.redis.Observe(took.Seconds())
	if failed {
		m.redisErrs.Inc()
	}
}

// WriteTimedOut counts a client that was dropped for taking nothing.
func (m *Metrics) WriteTimedOut() {
	m.writeTimeouts.Inc()
}

// Sent implements reply.Meter.
func (m *Metrics) Sent(deltas int) {
	m.sent.Add(float64(deltas))
}

// Delivered implements reply.Meter.
func (m *Metrics) Delivered(took time.Duration) {
	m.deltaTime.Observe(took.Seconds())
}

// StreamOpened counts an SSE stream until the function that it returns is called.
func (m *Metrics) StreamOpened() (closed func()) {
	m.streams.Inc()
	return m.streams.Dec
}

// Resumed counts a client that came back over SSE and was given the exact rest,
// or was started over.
func (m *Metrics) Resumed(exact bool) {
	if exact {
		m.resumed(resumeExact)
	} else {
		m.resumed(resumeOver)
	}
}

func (m *Metrics) resumed(outcome string) {
	m.resumes.WithLabelValues(outcome).Inc()
}

// answered counts what the model sent in one call; first: how long its first
// text took; 0: it is none, or was not the reply's first.
func (m *Metrics) answered(deltas int, first time.Duration) {
	m.received.Add(float64(deltas))
	if first > 0 {
		m.firstToken.Observe(first.Seconds())
	}
}

// ended counts a reply that ended so, as stored in e. Of its text, unread
// bytes had no reader.
func (m *Metrics) ended(end string, e session.Message, unread, continued int, took time.Duration) {
	m.replies.WithLabelValues(end).Inc()
	m.continuations.Add(float64(continued))
	if end == endDeleted || end == endMoved {
		return
	}
	m.replyTime.Observe(took.Seconds())
	m.bytes.Add(float64(len(e.Content)))
	tokens := float64(len(e.Content)) / 4 // about, in English
	if u := e.Usage; u != nil {
		tokens = float64(u.CompletionTokens)
		m.tokens.WithLabelValues("prompt").Add(float64(u.PromptTokens))
		m.tokens.WithLabelValues("completion").Add(tokens)
		m.tokens.WithLabelValues("cached").Add(float64(u.CachedTokens))
	}
	if len(e.Content) > 0 {
		m.unread.Add(tokens * float64(unread) / float64(len(e.Content)))
	}
	if end == session.FinishError {
		m.failures.WithLabelValues(e.Failure).Inc()
	}
}
