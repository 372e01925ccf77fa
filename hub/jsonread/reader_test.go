package jsonread_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"lumos/backend/hub/jsonread"
)

// message is what readMessage takes of an object.
type message struct {
	role, text string
	parts      int
}

func readMessage(r *jsonread.Reader) (m message, err error) {
	err = r.Object(func(name string) error {
		switch name {
		case "role":
			role, err := r.String(nil, 100)
			m.role = string(role)
			return err
		case "parts":
			m.parts = 0
			return r.Array(func() error { m.parts++; return r.Skip() })
		}
		text, err := r.String([]byte(m.text), 8)
		m.text = string(text)
		return err
	}, "role", "parts", "text")
	if err == nil {
		err = r.End()
	}
	return m, err
}

func TestRead(t *testing.T) {
	for text, want := range map[string]message{
		`{}`:                      {},
		`null`:                    {},
		` {"role":"a"} `:          {role: "a"},
		`{"role":"a","role":"b"}`: {role: "b"},
		`{"Role":"a","ROLE":"b"}`: {},
		`{"r\u006fle":"\u00e9"}`:  {role: "é"},
		`{"role":null,"parts":[null,1,{"role":"x"},[[]]],"x":{"parts":[1]}}`: {parts: 4},
		`{"parts":[1,2],"parts":[]}`:                                         {},
		`{"text":"12345678"}`:                                                {text: "12345678"},
		`{"text":"1234567890"}`:                                              {text: "123456789"},
		`{"text":"1234","text":"5678","text":""}`:                            {text: "12345678"},
		`{"text":"123456789","text":"x","role":"after"}`:                     {text: "123456789", role: "after"},
		`{"` + strings.Repeat("role", 30) + `":"a"}`:                         {},
		`{"role` + strings.Repeat(`\u0000`, 100) + `":"a"}`:                  {},
	} {
		for name, r := range readers(text) {
			got, err := readMessage(r)
			if err != nil || got != want {
				t.Errorf("%s, %s: %+v, %v; want %+v", text, name, got, err, want)
			}
		}
	}
}

// readers are ways in which text can arrive.
func readers(text string) map[string]*jsonread.Reader {
	return map[string]*jsonread.Reader{
		"at once":      jsonread.New(strings.NewReader(text)),
		"in bytes":     jsonread.New(iotest.OneByteReader(strings.NewReader(text))),
		"with its end": jsonread.New(iotest.DataErrReader(strings.NewReader(text))),
		"from memory":  jsonread.NewBytes([]byte(text)),
	}
}

func TestTypeError(t *testing.T) {
	for text, want := range map[string]string{
		`{"role":7}`:        "is a number, and must be a string",
		`{"role":{}}`:       "is an object, and must be a string",
		`{"parts":"x"}`:     "is a string, and must be an array",
		`{"text":[]}`:       "is an array, and must be a string",
		`{"text":false}`:    "is a boolean, and must be a string",
		`[]`:                "is an array, and must be an object",
		`{"parts":[1]} {"`:  "",
		`{"parts":true} {"`: "is a boolean, and must be an array",
	} {
		_, err := readMessage(jsonread.New(strings.NewReader(text)))
		var typ *jsonread.TypeError
		if found := errors.As(err, &typ); found != (want != "") || found && err.Error() != want {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	// Behind one the value is still there.
	r := jsonread.NewBytes([]byte(`[{"a":[1,"]"]}, "next"]`))
	var got []byte
	err := r.Array(func() error {
		var err error
		if got, err = r.String(nil, 10); err != nil {
			return r.Skip()
		}
		return nil
	})
	if err != nil || string(got) != "next" || r.End() != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestSyntaxError: where it is, and what is wrong, in a sentence that says
// nothing of the text.
func TestSyntaxError(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "at byte 0 the text ends too early",
		" \n":                               "at byte 2 the text ends too early",
		"\x00":                              "at byte 0 there is no value",
		"{} {}":                             "at byte 3 something follows the value",
		"{}\x00":                            "at byte 2 something follows the value",
		"{":                                 "at byte 1 the text ends too early",
		`{"a"`:                              "at byte 4 the text ends too early",
		`{"a" 1}`:                           "at byte 5 a colon must follow the name",
		`{"a":}`:                            "at byte 5 there is no value",
		`{a:1}`:                             "at byte 1 there is no name",
		`{"a":1,}`:                          "at byte 7 there is no name",
		`{"a":1 "b":2}`:                     "at byte 7 a comma or the closing bracket must follow",
		`{"a":[1 2]}`:                       "at byte 8 a comma or the closing bracket must follow",
		`{"a":[1,]}`:                        "at byte 8 there is no value",
		`{"a":[1}}`:                         "at byte 7 a comma or the closing bracket must follow",
		`{"a":01}`:                          "at byte 6 a comma or the closing bracket must follow",
		`{"a":-}`:                           "at byte 6 a digit must follow",
		`{"a":1.}`:                          "at byte 7 a digit must follow",
		`{"a":1e-`:                          "at byte 8 the text ends too early",
		`{"a":nulL}`:                        "at byte 8 there is no value",
		`{"a":tru`:                          "at byte 8 the text ends too early",
		"{\"a\":\"\x1f\"}":                  "at byte 6 a control character in a string must be escaped",
		`{"a":"\x"}`:                        "at byte 6 there is no such escape",
		`{"a":"\u00g0"}`:                    "at byte 6 there is no such escape",
		`{"a":"\`:                           "at byte 7 the text ends too early",
		`{"a":"\u00`:                        "at byte 10 the text ends too early",
		"{\"a\":\"\xff\"}":                  "at byte 6 the text is not UTF-8",
		"{\"a\":\"\xe2\x82":                 "at byte 8 the text ends too early",
		"{\"a\":\"\xe2\x82\"}":              "at byte 6 the text is not UTF-8",
		"{\"\xed\xa0\x80\":1}":              "at byte 2 the text is not UTF-8",
		strings.Repeat(" ", 9000):           "at byte 9000 the text ends too early",
		strings.Repeat(" ", 9000) + "x":     "at byte 9000 there is no value",
		`{"a":` + strings.Repeat("[", 9999): "at byte 10004 the text ends too early",
		`{"a":` + strings.Repeat("[", 10000) + "]":         "at byte 10004 the nesting is too deep",
		`{"a":` + strings.Repeat(`{"a":`, 20000):           "at byte 50000 the nesting is too deep",
		`{"a":"` + strings.Repeat("x", 20000) + "\x7f\x00": "at byte 20007 a control character in a string must be escaped",
	} {
		for name, r := range readers(text) {
			_, err := readMessage(r)
			var syntax *jsonread.SyntaxError
			if !errors.As(err, &syntax) || err.Error() != want {
				t.Errorf("%.100q, %s: %v, want %s", text, name, err, want)
			}
		}
	}
}

// TestStreamFails: wherever the stream fails, that is the error.
func TestStreamFails(t *testing.T) {
	failure := errors.New("the stream failed")
	const text = `{"role":"é\u00e9\ud83d\ude00","x":[-1.5e+3,true,null],"text":"€"} `
	for n := range len(text) + 1 {
		r := jsonread.New(io.MultiReader(strings.NewReader(text[:n]), iotest.ErrReader(failure)))
		if _, err := readMessage(r); !errors.Is(err, failure) {
			t.Errorf("behind %q: %v", text[:n], err)
		}
	}
	silent := jsonread.New(readerFunc(func([]byte) (int, error) { return 0, nil }))
	if _, err := readMessage(silent); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a stream that brings nothing: %v", err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestEmpty(t *testing.T) {
	for text, want := range map[string]bool{"": true, " \t\r\n": true, "x": false, "{}": false, "\x00": false, strings.Repeat("\n", 20000): true} {
		if got, err := jsonread.New(strings.NewReader(text)).Empty(); got != want || err != nil {
			t.Errorf("%.20q: %v, %v", text, got, err)
		}
	}
}

// TestMemory: what is skipped, and what is beyond the limit, is not kept,
// however large it is.
func TestMemory(t *testing.T) {
	const times = 1000
	for name, piece := range map[string][3]string{
		"a string":          {`{"x":"`, "xxxxxxxx", `"}`},
		"an escaped string": {`{"x":"`, `\u20ac\n`, `"}`},
		"wide letters":      {`{"x":"`, "€👋", `"}`},
		"a name":            {`{"`, "xxxxxxxx", `":1}`},
		"a number":          {`{"x":1`, "00000000", `}`},
		"white space":       {`{"x":`, " \t\r\n", `1}`},
		"a list":            {`{"x":[0`, `,{},[null],""`, `]}`},
		"a text":            {`{"text":"`, "xxxxxxxx", `"}`},
		"texts":             {`{"x":1`, `,"text":"x"`, `}`},
	} {
		t.Run(name, func(t *testing.T) {
			parts := []io.Reader{strings.NewReader(piece[0])}
			some := strings.Repeat(piece[1], 1000)
			for range times {
				parts = append(parts, strings.NewReader(some))
			}
			body := io.MultiReader(append(parts, strings.NewReader(piece[2]))...)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var text []byte
			r := jsonread.New(body)
			err := r.Object(func(string) (err error) {
				text, err = r.String(text[:0], 1000)
				return err
			}, "text")
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<10 {
				t.Errorf("%d bytes were allocated for %d", allocated, times*len(some))
			}
		})
	}
}

func ExampleReader() {
	body := strings.NewReader(`{"question":"why?", "history":["much", "more"], "user":{"name":"Ada"}}`)
	r := jsonread.New(body)
	var question []byte
	err := r.Object(func(string) (err error) {
		question, err = r.String(nil, 100)
		return err
	}, "question")
	fmt.Println(string(question), err, r.End())
	// Output: why? <nil> <nil>
}
