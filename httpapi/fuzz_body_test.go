package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"lumos/backend/hub/jsonread"
	"lumos/backend/session"
)

// sdkOracle reads a body of POST /api/chat as a whole, with encoding/json. It
// keeps texts and ids of any length.
func sdkOracle(body []byte) (*sdkRequest, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("not UTF-8")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil, errors.New("no object")
	}
	// A map has names as they are, and of several values of one name the last.
	fields, err := decoded[map[string]json.RawMessage](body)
	if err != nil {
		return nil, err
	}
	in := &sdkRequest{}
	for name, to := range map[string]*string{"id": &in.id, "trigger": &in.trigger, "messageId": &in.messageID} {
		if *to, err = decoded[string](fields[name]); err != nil {
			return nil, err
		}
	}
	messages, err := decoded[[]json.RawMessage](fields["messages"])
	if err != nil {
		return nil, err
	}
	alone, err := oracleMessage(fields["message"])
	if err != nil {
		return nil, err
	}
	if in.listed = len(fields["messages"]) > 0 && string(fields["messages"]) != "null"; !in.listed {
		in.user, in.hasUser = alone, alone.role == "user"
	}
	for _, raw := range messages {
		m, err := oracleMessage(raw)
		if err != nil {
			return nil, err
		}
		switch m.role {
		case "user":
			in.list.user = len(in.list.shown)
			in.user, in.hasUser = m, true
		case "assistant":
		default:
			continue
		}
		if len(m.id) <= maxSDKID {
			in.list.ids = append(in.list.ids, m.id...)
		}
		in.list.shown = append(in.list.shown, shownMessage{len(in.list.ids), session.Role(m.role), m.sum, m.thought})
	}
	return in, nil
}

func oracleMessage(raw json.RawMessage) (sdkMessage, error) {
	m, err := decoded[map[string]json.RawMessage](raw)
	if err != nil {
		return sdkMessage{}, err
	}
	id, err := decoded[string](m["id"])
	if err != nil {
		return sdkMessage{}, err
	}
	role, err := decoded[string](m["role"])
	if err != nil {
		return sdkMessage{}, err
	}
	read := sdkMessage{id: []byte(id), role: session.Role(role)}
	var thought []byte
	read.text, thought, read.fault = oracleText(m["parts"])
	read.sum, read.thought = (session.Sum{}).Add(read.text), (session.Sum{}).Add(thought)
	if read.fault != nil && read.fault != errOtherPart {
		read.sum.Bytes = -1 // nobody cares
	}
	return read, nil
}

func oracleText(raw json.RawMessage) (text, thought []byte, fault error) {
	parts, err := decoded[[]json.RawMessage](raw)
	if err != nil {
		return nil, nil, err
	}
	for _, raw := range parts {
		p, err := decoded[map[string]json.RawMessage](raw)
		if err != nil {
			return nil, nil, err
		}
		typ, err := decoded[string](p["type"])
		if err != nil {
			return nil, nil, err
		}
		if strings.HasPrefix(typ, "data-") {
			continue
		}
		t, err := decoded[string](p["text"])
		if err != nil {
			return nil, nil, err
		}
		if typ == "text" {
			text = append(text, t...)
			continue
		}
		fault = errOtherPart
		if typ == "reasoning" {
			thought = append(thought, t...)
		}
	}
	return text, thought, fault
}

// decoded reads JSON; what is missing, or null, is nothing.
func decoded[T any](raw json.RawMessage) (v T, err error) {
	if raw == nil {
		return v, nil
	}
	err = json.Unmarshal(raw, &v)
	return v, err
}

// FuzzSDKReader holds what is taken of a body to encoding/json, however the
// body is cut into pieces. What is too long has to be known as that, and no
// more.
func FuzzSDKReader(f *testing.F) {
	for _, body := range []string{
		`{"id":"i","trigger":"t","messageId":"m","messages":[{"id":"m1","role":"user","parts":[{"type":"text","text":"hi"},{"type":"file","text":"x"},{"text":"\ud83d\ude00","type":"text"}]},{"role":"assistant","parts":7}]}`,
		`{"messages":[{"parts":[{"type":"text","text":"0123456789abcdef"}],"role":"user","id":"a"}],"Messages":[],"messages":null,"id":"x","id":null}`,
		`{"messages":[{"role":"user","parts":[{"type":"text","text":"a"},{"type":7}],"parts":[{"type":"text","text":"b","text":"c"}],"role":"\u0075ser"}]}`,
		`{"messages":[null,{},{"role":"user","parts":[null,{"type":"te\u0078t","text":null}]}],"x":[{"messages":[1,2.5e-3]}]} `,
		`{"message":{"id":"m","role":"user","parts":[{"type":"data-x","text":"no"},{"text":"yes","type":"text"}]},"messages":null}`,
		`{"messages":[{"id":"a","role":"assistant","parts":[{"type":"text","text":"4"}]}],"message":{"role":"user"}}`,
		`{"messages":[{"role":"user","parts":{}},7]}`, `[]`, `{"id":7}`, `{"message":[],"message":{"role":"user"}}`, `{"messages":"x"}`, `null`, "{\"id\":\"\xff\"}",
	} {
		f.Add([]byte(body))
	}
	const most = 10
	f.Fuzz(func(t *testing.T, body []byte) {
		want, wrong := sdkOracle(body)
		for _, in := range []*jsonread.Reader{jsonread.New(bytes.NewReader(body)), jsonread.New(iotest.OneByteReader(bytes.NewReader(body)))} {
			r := sdkReader{most: most}
			kind, err := in.Kind()
			if err == nil && kind != jsonread.Object {
				err = errors.New("no object")
			}
			if err == nil {
				err = r.read(in)
			}
			if err == nil {
				err = in.End()
			}
			if err != nil && wrong == nil && strings.Contains(err.Error(), "has the wrong type") && !jsontext.Value(body).IsValid() {
				continue // a name comes twice, and the value that does not count is of the wrong type
			}
			if (err == nil) != (wrong == nil) {
				t.Fatalf("%q: %v; encoding/json says %v", body, err, wrong)
			}
			if err == nil {
				if diff := sdkDiff(&r.sdkRequest, want, most); diff != "" {
					t.Fatalf("%q: %s", body, diff)
				}
			}
		}
	})
}

// sdkDiff tells what is taken wrongly.
func sdkDiff(got, want *sdkRequest, most int) string {
	// What is kept of a text is its beginning, and one byte more than it may have.
	cut := func(text string, most int) string { return text[:min(len(text), most+1)] }
	var diffs []string
	compare := func(what string, got, want any) {
		if got != want {
			diffs = append(diffs, fmt.Sprintf("%s is %v, want %v", what, got, want))
		}
	}
	compare("id", got.id, cut(want.id, maxSDKID))
	compare("trigger", got.trigger, cut(want.trigger, maxSDKID))
	compare("messageId", got.messageID, cut(want.messageID, maxSDKID))
	compare("a list", got.listed, want.listed)
	if got.listed {
		compare("the list's ids", string(got.list.ids), string(want.list.ids))
		compare("the place of the user's", got.list.user, want.list.user)
		for i, m := range want.list.shown {
			if i < len(got.list.shown) && m.sum.Bytes < 0 {
				m.sum = got.list.shown[i].sum
			}
			if i >= len(got.list.shown) || got.list.shown[i] != m {
				compare("a message", fmt.Sprint(got.list.shown), fmt.Sprint(want.list.shown))
			}
		}
	}
	compare("a user's message", got.hasUser, want.hasUser)
	if want.hasUser {
		compare("a fault", got.user.fault != nil, want.user.fault != nil)
		compare("the user's id", string(got.user.id), cut(string(want.user.id), maxSDKID))
	}
	if want.hasUser && want.user.fault == nil {
		compare("the text", string(got.user.text), cut(string(want.user.text), most))
	}
	return strings.Join(diffs, "; ")
}
