package mistralsim

import "sync"

// prompts simulates the prompt cache: the last prompt with each prompt_cache_key.
// What a prompt begins with as that one did is cached, in blocks of cacheBlock
// tokens, as the service was seen to count.
type prompts struct {
	mu   sync.Mutex
	last map[string][]Message
}

// cacheBlock is how many tokens are cached together.
const cacheBlock = 64

// hit returns how many tokens of the request's prompt are cached, and caches it.
func (p *prompts) hit(r *Request) int {
	if r.CacheKey == "" {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string][]Message{}
	}
	last, n := p.last[r.CacheKey], 1
	p.last[r.CacheKey] = r.Messages
	for i, m := range r.Messages {
		if i == len(last) || last[i].Role != m.Role {
			break
		}
		same := 0
		for same < min(len(m.Content), len(last[i].Content)) && m.Content[same] == last[i].Content[same] {
			same++
		}
		n += countTokens(m.Content[:same]) + 3
		if same < len(m.Content) || same < len(last[i].Content) {
			break
		}
	}
	return n / cacheBlock * cacheBlock
}
