package storetest

import (
	"time"
	"unsafe"
)

// SetBack returns t as the machine's clock tells it that was set back by d meanwhile: by
// the steady clock it is the same. The seconds of the wall clock are 33 bits of a Time's
// first word (see package time), and nothing else can make such a Time.
func SetBack(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= uint64(d/time.Second) << 30
	return t
}
