package session

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is one step, done by Redis at once. The comment in its file says what
// it does and with which arguments.
type script struct{ name, source, sha string }

func newScript(name string) *script {
	source := luaFile(name)
	if name != "append" && name != "claim" {
		source = luaFile("prelude") + source
	}
	sum := sha1.Sum([]byte(source)) // Redis names scripts so; nothing secret hangs on it
	return &script{name: name, source: source, sha: hex.EncodeToString(sum[:])}
}

func luaFile(name string) string {
	b, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(b)
}

var (
	claimScript      = newScript("claim")
	createScript     = newScript("create")
	getScript        = newScript("get")
	sayScript        = newScript("say")
	finishScript     = newScript("finish")
	stopScript       = newScript("stop")
	deleteScript     = newScript("delete")
	appendScript     = newScript("append")
	renewScript      = newScript("renew")
	lookScript       = newScript("look")
	adoptScript      = newScript("adopt")
	yieldScript      = newScript("yield")
	touchScript      = newScript("touch")
	connectScript    = newScript("connect")
	disconnectScript = newScript("disconnect")
	unfollowedScript = newScript("unfollowed")
)

// scripts are all of them.
var scripts = []*script{
	claimScript, createScript, getScript, sayScript, finishScript, stopScript, deleteScript, appendScript,
	renewScript, lookScript, adoptScript, yieldScript, touchScript,
	connectScript, disconnectScript, unfollowedScript,
}

// conversationKeys names keys of a conversation, all in one piece of memory. The braces
// put them in one slot.
func conversationKeys(conversation uuid.UUID, names []string) []string {
	tag := "{" + conversation.String() + "}:"
	size := 0
	for _, name := range names {
		size += len(tag) + len(name)
	}
	var b strings.Builder
	b.Grow(size)
	for _, name := range names {
		b.WriteString(tag)
		b.WriteString(name)
	}
	keys, all := make([]string, len(names)), b.String()
	for i, name := range names {
		n := len(tag) + len(name)
		keys[i], all = all[:n], all[n:]
	}
	return keys
}

// keyNames are the keys that a script gets, as its prelude unpacks them. The
// last is what the names of the replies' texts begin with.
var keyNames = []string{"session", "messages", "ids", "edited", "reply", "turn", "conn", "followers", "text:"}

// command returns the command that runs s for a conversation.
func (r *Redis) command(c rueidis.CoreClient, s *script, ref Ref, args []string) rueidis.Completed {
	keys := conversationKeys(ref.ID, keyNames)
	return c.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(keys))).Key(keys...).
		Arg(r.ttl, millis(min(r.cfg.TTL, emptyTTL)), r.node, bornArg(ref.Born)).Arg(args...).Build()
}

// anyBorn stands for whichever incarnation there is. No session is born as it.
var anyBorn = uuid.Max

// bornArg is a Ref's Born for a script.
func bornArg(born uuid.UUID) string {
	if born == anyBorn {
		return "*"
	}
	return idOrNone(born)
}
