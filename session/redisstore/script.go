package redisstore

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"

	"github.com/redis/rueidis"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is a Lua script, which Redis runs atomically. The comment in its file tells
// its arguments and answer.
type script struct {
	*rueidis.Lua
	name, source, sha string // source and sha are for pipelines: rueidis would load the script each time
}

func newScript(name string) *script {
	source, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha1.Sum(source) // Redis names scripts so; nothing secret hangs on it
	return &script{rueidis.NewLuaScript(string(source)), name, string(source), hex.EncodeToString(sum[:])}
}

var (
	commitScript = newScript("commit")
	loadScript   = newScript("load")
	appendScript = newScript("append")
	readScript   = newScript("read")
	touchScript  = newScript("touch")
	claimScript  = newScript("claim")
	takeScript   = newScript("take")
	enterScript  = newScript("enter")
	beatScript   = newScript("beat")
)

// pipelined are the scripts that are called by name without a fallback.
var pipelined = []*script{appendScript, readScript, touchScript}

// command returns the call of a script by name.
func (sc *script) command(c rueidis.CoreClient, keys, args []string) rueidis.Completed {
	return c.B().Evalsha().Sha1(sc.sha).Numkeys(int64(len(keys))).Key(keys...).Arg(args...).Build()
}
