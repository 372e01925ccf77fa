package redisstore

import (
	"strings"

	"github.com/google/uuid"
)

// keyNames are a conversation's keys, in the order in which scripts get them.
var keyNames = []string{"head", "log", "fence", "text", "followers"}

const headKey, logKey, fenceKey, textKey, followersKey = 0, 1, 2, 3, 4

// keysOf returns a conversation's keys. The braces put them in one slot. All share
// one string's memory, since this runs for every read.
func keysOf(id uuid.UUID) []string {
	tag := "hub:{" + id.String() + "}:"
	var b strings.Builder
	b.Grow(len(keyNames) * (len(tag) + len("followers")))
	for _, name := range keyNames {
		b.WriteString(tag)
		b.WriteString(name)
	}
	keys, all := make([]string, len(keyNames)), b.String()
	for i, name := range keyNames {
		n := len(tag) + len(name)
		keys[i], all = all[:n], all[n:]
	}
	return keys
}

// idemKey returns the key that holds the session of an idempotency key.
func idemKey(name string) string { return "hub:idem:" + name }

// channelOf returns a node's channel.
func channelOf(node string) string { return "hub:" + node }

// beatKey returns the key of a node's beat. All are in one slot, so that a node whose
// own beat is stored knows that the others' can be, too.
func beatKey(node string) string { return "hub:{beat}:" + node }

// fenceValue returns the fence key's value while a reply runs. A yielded reply has no fence,
// so the value has its id: its text cannot be mistaken for another reply's.
func fenceValue(fence string, reply uuid.UUID) string {
	if fence == "" {
		return "yielded " + reply.String()
	}
	return fence
}
