package mistralsim

import "strings"

// prompts remembers the last prompt of each prompt_cache_key, as the service's
// cache does. The server's lock guards it.
type prompts map[string]prompt

type prompt struct {
	messages []Message
	said     int // where in the last message of the user's begins what was said last
}

const (
	// cacheBlock is how many tokens are cached together.
	cacheBlock = 64
	// maxPrompts bounds what is remembered.
	maxPrompts = 1024
)

// take remembers the request's prompt. It notes on the request how much of it is
// cached: as much as it has in common with the one before, in whole blocks. With
// little, only what the user said is remembered.
func (p prompts) take(r *Request, little bool) {
	if r.CacheKey == "" {
		return
	}
	last, text := p[r.CacheKey], r.lastUser()
	r.cached = common(last.messages, r.Messages) / cacheBlock * cacheBlock
	switch before := lastUser(last.messages); {
	case text == before:
		r.said = last.said
	case before != "" && strings.HasPrefix(text, before+"\n\n"):
		r.said = len(before) + len("\n\n")
	}
	if len(p) >= maxPrompts {
		for key := range p { // any
			delete(p, key)
			break
		}
	}
	messages := r.Messages
	if little {
		messages = []Message{{Role: "user", Content: text}}
	}
	p[r.CacheKey] = prompt{messages, r.said}
}

// common returns how many tokens two prompts have in common at the beginning.
func common(a, b []Message) int {
	n := 1
	for i := range min(len(a), len(b)) {
		if a[i].Role != b[i].Role {
			break
		}
		same, most := 0, min(len(a[i].Content), len(b[i].Content))
		for same < most && a[i].Content[same] == b[i].Content[same] {
			same++
		}
		n += countTokens(a[i].Content[:same]) + 3
		if same < max(len(a[i].Content), len(b[i].Content)) {
			break
		}
	}
	return n
}
