package jsonread_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"lumos/backend/hub/jsonread"
)

// FuzzReader holds what passes, and every string in it, to encoding/json:
// wherever the text is cut into pieces, skipped and read.
func FuzzReader(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,-0.5e+3,true,false,null,"\u00e9\ud83d\ude00\ud83d\n"],"a":{"b":""},"\u0061":"last"}`,
		` [ ] `, `""`, `{"":{"":[]}}`, "[\"\\ud83d\\ud83d\\ude00\\ude00\",\"\xf0\x9f\x91\x8b\"]", `1e1000`, `[1,]`, `{"a":1,}`, `nul`, "\"\xff\"",
		strings.Repeat("[", 200) + strings.Repeat("]", 200), `{"x":"` + strings.Repeat("x", 9000) + `"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		kept := string(text)
		valid := json.Valid(text) && utf8.Valid(text)
		for name, r := range map[string]*jsonread.Reader{
			"at once": jsonread.New(bytes.NewReader(text)), "in bytes": jsonread.New(iotest.OneByteReader(bytes.NewReader(text))),
			"from memory": jsonread.NewBytes(text),
		} {
			err := r.Skip()
			if err == nil {
				err = r.End()
			}
			if (err == nil) != valid {
				t.Fatalf("%q, %s: %v; encoding/json takes it: %v", text, name, err, valid)
			}
			if err != nil && (len(err.Error()) > 100 || !utf8.ValidString(err.Error())) {
				t.Fatalf("%q: %v", text, err)
			}
		}
		if !valid {
			return
		}
		var want any
		if json.Unmarshal(text, &want) != nil {
			return // a number that is none of Go's
		}
		r := jsonread.NewBytes(text)
		if err := compare(r, want); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := r.End(); err != nil || string(text) != kept {
			t.Fatalf("%q became %q; at its end %v", kept, text, err)
		}
	})
}

// compare reads the next value and fails if it is not want. Of a name that
// comes several times the last value has to be want's.
func compare(r *jsonread.Reader, want any) error {
	switch want := want.(type) {
	case string:
		got, err := r.String([]byte("before "), 1<<20)
		if err == nil && string(got) != "before "+want {
			err = fmt.Errorf("read %q, want %q", got, want)
		}
		return err
	case []any:
		n := 0
		err := r.Array(func() error {
			n++
			if n > len(want) {
				return fmt.Errorf("more than the %d values of %v", len(want), want)
			}
			return compare(r, want[n-1])
		})
		if err == nil && n != len(want) {
			err = fmt.Errorf("%d values of %v", n, want)
		}
		return err
	case map[string]any:
		var names []string
		for name := range want {
			if len(name) > 0 && len(name) <= 64 {
				names = append(names, name)
			}
		}
		last := make(map[string]error)
		err := r.Object(func(name string) error {
			last[name] = nil
			at := *r // what is not the last value is read past
			if last[name] = compare(&at, want[name]); last[name] == nil {
				*r = at
				return nil
			}
			return r.Skip()
		}, names...)
		if err == nil && len(last) != len(names) {
			err = fmt.Errorf("of the names %q came %d", names, len(last))
		}
		for _, wrong := range last {
			if err == nil {
				err = wrong
			}
		}
		return err
	}
	return r.Skip()
}
