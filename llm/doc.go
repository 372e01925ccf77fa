// Package llm speaks to Mistral: [Mistral] is a langchaingo model
// ([llms.Model]) that streams, ends when its context does, tries again as long as no
// text was shown, reports whether continuing after it may help ([Transient]), and never
// takes a stream that was cut for an answer.
// [Window] keeps a conversation within a token budget; [NewOllama] is the same
// client for open weights run locally.
//
// # Why not langchaingo's own ways to reach Mistral
//
// Both were tried at v0.1.14 against a server that misbehaves as Mistral and
// the network do:
//
//	                         llms/mistral                llms/openai
//	context cancelled        ignored: 20 of 20 chunks    nil error in about half of
//	                         are sent, no error          the runs, part of the text
//	stream cut               success, short answer       success, short answer
//	retry                    sends an empty body,        none
//	                         waits after the last try
//	StreamingFunc fails      a goroutine stays           fine
//	request                  temperature, max_tokens,    stream_options always, seed,
//	                         seed and tools always;      max_completion_tokens: 422;
//	                         no stop, no top_p           no top_p
//	content as an array      error                       text dropped, no error
//	error event in a stream  success                     success
//
// [llms.Model]: https://pkg.go.dev/github.com/tmc/langchaingo@v0.1.14/llms#Model
package llm
