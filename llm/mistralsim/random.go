package mistralsim

import "encoding/hex"

// random is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
// Number Generators, 2014): one word of state, so that each reply has its own
// and is the same in every run.
type random uint64

// newRandom returns the generator of the nth request.
func newRandom(n int) random { return random(n) * 0x9e3779b97f4a7c15 }

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// id returns 32 hexadecimal digits.
func (r *random) id() string {
	var b [16]byte
	for i, a, c := 0, r.next(), r.next(); i < 8; i++ {
		b[i], b[8+i] = byte(a>>(8*i)), byte(c>>(8*i))
	}
	return hex.EncodeToString(b[:])
}
