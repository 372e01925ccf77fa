package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// config is everything that can be set from outside, checked. A field's flag is its name with
// dashes (--redis-url), its environment variable the same in capitals (REDIS_URL). What takes no
// value is a flag alone, so that no stray variable puts a simulated model in front of people. The
// kinds of values are in setting.go. A new setting also goes into .env.example and config_test.go,
// where tests miss it, and into README.md beside this file, where none does.
type config struct {
	Healthcheck bool `help:"Ask the hub that listens at HOST and PORT whether it is alive, and exit with 0 or 1."`

	Demo bool `group:"model" help:"Answer with a simulated model (ELIZA) in this process: no key, nothing leaves the machine. Listens on 127.0.0.1."`

	LLM              string   `group:"model" type:"llm" default:"mistral" help:"Who answers: mistral, or ollama for Mistral's open weights on your own machine."`
	MistralAPIKey    string   `group:"model" type:"key" placeholder:"KEY" help:"Key for Mistral. Better in the environment than here, where ps shows it."`
	MistralBaseURL   string   `group:"model" type:"url" default:"https://api.mistral.ai" help:"Where Mistral's API is, without /v1; anything that speaks it."`
	MistralModel     string   `group:"model" type:"word" default:"mistral-small-latest" help:"Model to ask."`
	OllamaURL        string   `group:"model" type:"url" default:"http://127.0.0.1:11434" help:"Where Ollama listens, with --llm=ollama."`
	OllamaModel      string   `group:"model" type:"word" default:"mistral" help:"Model that Ollama serves."`
	SystemPrompt     string   `group:"model" type:"text" placeholder:"TEXT" help:"Instruction put before every conversation. Default: none."`
	Temperature      *float64 `group:"model" type:"temperature" placeholder:"NUMBER" help:"From 0 to 1.5. Default: the model's own."`
	ReasoningEffort  string   `group:"model" type:"word" placeholder:"WORD" help:"How much the model is to think before it answers: high or none, for Mistral's models that can. Default: not sent."`
	MaxTokens        int      `group:"model" type:"limit" default:"4096" help:"Longest reply, in tokens; 0: the model's own limit."`
	MaxContextTokens int      `group:"model" type:"tokens" default:"32768" help:"Most of a conversation that is sent to the model, in tokens; older messages are left out."`

	Host           string         `group:"listen" type:"host" placeholder:"ADDRESS" help:"Address to listen on. Default: all interfaces, 127.0.0.1 with --demo."`
	Port           int            `group:"listen" type:"port" default:"8080" help:"Port to listen on; 0: a free one."`
	AllowedOrigins []string       `group:"listen" type:"origins" placeholder:"ORIGIN,..." help:"Web sites that may talk to the hub besides its own pages: https://shop.example,https://www.shop.example."`
	TrustedProxies []netip.Prefix `group:"listen" type:"prefixes" placeholder:"CIDR,..." help:"Proxies whose X-Forwarded-For tells who the client is, and whose X-Forwarded-Host which host it asked for: 10.0.0.0/8,fd00::/8."`
	DrainTimeout   time.Duration  `group:"listen" type:"pause" default:"30s" help:"After SIGTERM, how long running replies may go on."`
	DebugAddr      string         `group:"listen" type:"loopback" placeholder:"HOST:PORT" help:"Loopback address for pprof: 127.0.0.1:6060. Default: none."`
	LogLevel       slog.Level     `group:"listen" type:"level" default:"info" help:"debug, info, warn or error."`
	LogFormat      string         `group:"listen" type:"format" default:"text" help:"text or json."`

	SessionTTL   time.Duration `group:"session" type:"span" default:"24h" help:"How long a conversation is kept after it was last used."`
	RedisURL     []string      `group:"session" type:"redis" placeholder:"URL,..." help:"Redis or Valkey, for more than one node: redis://user:password@host:6379/0 (rediss: with TLS; ?ca=file&cert=file&key=file name its PEM files); several addresses for a cluster. Default: in DATA_DIR, one node."`
	DataDir      string        `group:"session" type:"word" placeholder:"DIRECTORY" help:"Where conversations are kept on this machine; none: in memory alone, a restart loses them. Default: data, with --demo none."`
	Fsync        string        `group:"session" type:"fsync" default:"everysec" help:"When what was written to DATA_DIR is put on the disk: everysec, always or never. Only the machine's death makes a difference, not this program's."`
	Repair       bool          `group:"session" help:"Start with a DATA_DIR that is damaged: what cannot be read is set aside, and the log tells what was lost."`
	AbandonAfter time.Duration `group:"session" type:"pause" default:"0s" help:"Stop a reply that nobody follows for so long; 0: never."`

	AuthJWTSecret   string `name:"auth-jwt-secret" group:"auth" type:"secret" placeholder:"SECRET" help:"Secret of HS256 tokens, at least 32 bytes. Better in the environment than here."`
	AuthJWKSURL     string `name:"auth-jwks-url" group:"auth" type:"jwks" placeholder:"URL" help:"Where the public keys of RS256 and ES256 tokens are. Wants AUTH_JWT_AUDIENCE."`
	AuthJWTIssuer   string `name:"auth-jwt-issuer" group:"auth" type:"word" placeholder:"ISSUER" help:"The iss that a token must have. Default: any."`
	AuthJWTAudience string `name:"auth-jwt-audience" group:"auth" type:"word" placeholder:"AUDIENCE" help:"The aud that a token must have. Default: any, with a secret."`

	MaxMessageBytes      int  `group:"limit" type:"bytes" default:"65536" help:"Longest message, in bytes of UTF-8; from 1 to 16777216."`
	MaxReplyBytes        int  `group:"limit" type:"limit" default:"2097152" help:"Longest reply, in bytes of UTF-8; it is cut there."`
	MaxSessionMessages   int  `group:"limit" type:"limit" default:"10000" help:"Messages in one conversation."`
	MaxSessionBytes      int  `group:"limit" type:"tokens" default:"8388608" help:"All that one conversation holds, in bytes of UTF-8."`
	MaxStoreBytes        *int `group:"limit" type:"room" placeholder:"BYTES" help:"Memory that conversations may take, in bytes, without Redis. Default: half of what the machine, or the control group, has."`
	MaxSessions          int  `group:"limit" type:"limit" default:"100000" help:"Conversations kept without Redis. Beyond it empty ones go first, then those unused for longest, if for an hour."`
	MaxConnections       int  `group:"limit" type:"limit" default:"0" help:"WebSockets, streams and conversations being read, in all."`
	ConnectionsPerClient int  `group:"limit" type:"limit" default:"100" help:"WebSockets, streams and conversations being read, of one client."`
	MessagesPerMinute    int  `group:"limit" type:"limit" default:"60" help:"Messages of one client in a minute."`
	MaxRepliesPerClient  int  `group:"limit" type:"limit" default:"50" help:"Replies that run for one client at a time."`
	MaxUpstream          int  `group:"limit" type:"limit" default:"0" help:"Replies that run at the model at a time, for all; others wait their turn."`

	unknown []string // lines of .env that set nothing, for the log
}

const description = `A chat hub: WebSocket, SSE and REST in front of Mistral.

Every flag that takes a value is an environment variable too: --redis-url is REDIS_URL. A file .env in the working directory is read when there is one; the environment wins over it, and flags over both. An empty variable counts as not set.

Try it: chathub --demo, then open http://localhost:8080.`

var groups = []kong.Group{
	{Key: "model", Title: "The model:"},
	{Key: "listen", Title: "The server:"},
	{Key: "session", Title: "Conversations:"},
	{Key: "auth", Title: "Tokens (without them, a session's id is the key to it):"},
	{Key: "limit", Title: "Limits (0: none; a client is a token's sub, otherwise a public address):"},
}

// errHelp is what parse returns when it has printed the help or the version that was asked for:
// exit 0.
var errHelp = errors.New("help was asked for")

// parse reads the configuration: args (without the program's name) win over environ (in the form of
// os.Environ), which wins over the file named dotenv, which need not exist. The help goes to out.
// Any error but errHelp names each setting that is wrong, for people, without the value of a
// secret: exit 2.
func parse(args, environ []string, dotenv string, out io.Writer) (config, error) {
	file, err := readDotenv(dotenv)
	if err != nil {
		return config{}, err
	}
	env := file.over(environ)
	var cfg struct {
		config  `embed:""`
		Version kong.VersionFlag `help:"Print the version, the commit and Go's version."`
		// Positional words are refused without being printed: one may be a key.
		Stray []string `arg:"" optional:"" hidden:""`
	}
	var wrong problems
	helped := false
	options := append(wrong.mappers(),
		kong.Name("chathub"),
		kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}),
		kong.ExplicitGroups(groups),
		kong.Help(func(options kong.HelpOptions, ctx *kong.Context) error {
			ctx.Model.Positional = nil // Stray is no one's business
			return kong.DefaultHelpPrinter(options, ctx)
		}),
		kong.Writers(out, out),
		kong.Vars{"version": currentBuild().String()},
		kong.Exit(func(int) { helped = true }),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
			value := env[envName(f.Name)]
			if value == "" || f.IsBool() {
				return nil, nil
			}
			return value, nil
		})),
	)
	parser, err := kong.New(&cfg, options...)
	if err != nil {
		return config{}, err
	}
	_, err = parser.Parse(args)
	switch {
	case helped:
		return config{}, errHelp
	case err != nil:
		return config{}, fmt.Errorf("%w (chathub --help lists the flags)", err)
	case len(cfg.Stray) > 0:
		return config{}, errors.New("only flags are accepted, not the other words given (chathub --help lists the flags)")
	case len(wrong) > 0:
		return config{}, wrong.err()
	case cfg.Healthcheck: // a container's flags are not those of its check
		return cfg.config, nil
	}
	cfg.unknown = file.unknown(parser.Model.Flags)
	settled, err := cfg.config.settle()
	if err != nil && len(cfg.unknown) > 0 { // what is missing may be there, misspelt
		err = fmt.Errorf("%w\n.env sets what is no setting of the hub: %s", err, strings.Join(cfg.unknown, ", "))
	}
	return settled, err
}

// settle fills in what depends on other settings and refuses settings that contradict each other.
func (c config) settle() (config, error) {
	if c.Demo && c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.DataDir != "" && len(c.RedisURL) > 0 {
		return config{}, errors.New("DATA_DIR and REDIS_URL are both set; conversations are kept in one of them")
	}
	if c.DataDir == "" {
		c.DataDir = "data"
		if c.Demo || len(c.RedisURL) > 0 {
			c.DataDir = noDataDir
		}
	}
	tokens := c.AuthJWTSecret != "" || c.AuthJWKSURL != ""
	switch {
	case !c.Demo && c.LLM == "mistral" && c.MistralAPIKey == "":
		return config{}, errors.New(`MISTRAL_API_KEY is not set. One of these starts the hub:
  MISTRAL_API_KEY=... chathub    with your key for Mistral
  chathub --demo                 without a key, to try it with a simulated model
  LLM=ollama chathub             with a model that Ollama serves`)
	case c.AuthJWTSecret != "" && c.AuthJWKSURL != "":
		return config{}, errors.New("AUTH_JWT_SECRET and AUTH_JWKS_URL are both set; set the one that your tokens are signed for")
	case c.AuthJWKSURL != "" && c.AuthJWTAudience == "":
		return config{}, errors.New("AUTH_JWKS_URL is set without AUTH_JWT_AUDIENCE; set the aud of the tokens meant for this hub, or any token of that issuer would open it")
	case !tokens && (c.AuthJWTIssuer != "" || c.AuthJWTAudience != ""):
		return config{}, errors.New("AUTH_JWT_ISSUER or AUTH_JWT_AUDIENCE is set, but nothing to check tokens with; set AUTH_JWT_SECRET or AUTH_JWKS_URL too")
	}
	if least := c.MaxMessageBytes + c.MaxReplyBytes; c.MaxSessionBytes < least {
		return config{}, fmt.Errorf("MAX_SESSION_BYTES is %d, but a message and a reply may take %d by MAX_MESSAGE_BYTES and MAX_REPLY_BYTES", c.MaxSessionBytes, least)
	}
	return c, nil
}

// noDataDir is the DATA_DIR that means none.
const noDataDir = "none"

// envName is the environment variable of a flag.
func envName(flag string) string {
	return strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
