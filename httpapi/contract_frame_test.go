package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/google/go-cmp/cmp"
)

// direction is an operation of asyncapi.yaml: a dialect of the WebSocket, one way.
type direction string

const (
	toHub           direction = "toHub"
	fromHub         direction = "fromHub"
	deepChatToHub   direction = "deepChatToHub"
	deepChatFromHub direction = "deepChatFromHub"
)

// frames is asyncapi.yaml as far as a frame can be held against it: the messages of each direction.
type frames struct {
	messages map[direction]map[string]*openapi3.SchemaRef
	schemas  openapi3.Schemas
	examples map[string][]json.RawMessage // by message
}

var loadFrames = sync.OnceValues(func() (*frames, error) {
	if _, err := loadContract(); err != nil { // knows the formats, too
		return nil, err
	}
	file, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		return nil, err
	}
	parsed, err := openapi3filter.YamlBodyDecoder(bytes.NewReader(file), http.Header{}, nil, nil)
	if err != nil {
		return nil, err
	}
	document, err := json.Marshal(parsed)
	if err != nil {
		return nil, err
	}
	type ref struct {
		Ref string `json:"$ref"`
	}
	var asyncapi struct {
		Operations map[direction]struct{ Messages []ref }
		Channels   map[string]struct{ Messages map[string]ref }
		Components struct {
			Messages map[string]struct {
				Payload  ref
				Examples []struct{ Payload json.RawMessage }
			}
			Schemas json.RawMessage
		}
	}
	if err := json.Unmarshal(document, &asyncapi); err != nil {
		return nil, err
	}
	// Its schemas are of the kind that OpenAPI has, too, and resolve as part of such a document.
	doc, err := openapi3.NewLoader().LoadFromData(fmt.Appendf(nil,
		`{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{},"components":{"schemas":%s}}`, asyncapi.Components.Schemas))
	if err != nil {
		return nil, err
	}
	f := &frames{map[direction]map[string]*openapi3.SchemaRef{}, doc.Components.Schemas, map[string][]json.RawMessage{}}
	for name, operation := range asyncapi.Operations {
		f.messages[name] = map[string]*openapi3.SchemaRef{}
		for _, message := range operation.Messages {
			channel := path.Base(path.Dir(path.Dir(message.Ref)))
			id := path.Base(asyncapi.Channels[channel].Messages[path.Base(message.Ref)].Ref)
			schema := doc.Components.Schemas[path.Base(asyncapi.Components.Messages[id].Payload.Ref)]
			if schema == nil {
				return nil, fmt.Errorf("%s: %s leads to no schema", name, message.Ref)
			}
			f.messages[name][id] = schema
			for _, example := range asyncapi.Components.Messages[id].Examples {
				f.examples[id] = append(f.examples[id], example.Payload)
			}
		}
	}
	return f, nil
})

// checkFrame fails t unless frame is one that asyncapi.yaml describes for its direction.
func checkFrame(t testing.TB, d direction, frame []byte) {
	t.Helper()
	f, err := loadFrames()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.check(d, frame); err != nil {
		t.Errorf("%s: %v\n%.2000s", d, err, frame)
	}
}

func (f *frames) check(d direction, frame []byte) error {
	if !utf8.Valid(frame) {
		return errors.New("not UTF-8")
	}
	if d == toHub && !bytes.HasPrefix(frame, []byte("{")) {
		return f.messages[d]["sayAsText"].Value.VisitJSON(string(frame))
	}
	var told struct{ Type, Delta string }
	if err := json.Unmarshal(frame, &told); err != nil {
		return err
	}
	if len(told.Delta) > 16<<10 {
		return errors.New("a delta of more than 16 KiB")
	}
	fits, errs := 0, []error{}
	for name, schema := range f.messages[d] {
		if kind := schema.Value.Properties["type"]; kind != nil && kind.Value.Enum[0] != told.Type {
			continue
		}
		err := visit(schema, frame)
		if err == nil {
			fits++
			continue
		}
		errs = append(errs, fmt.Errorf("it is no %s: %w", name, err))
	}
	if fits != 1 {
		return fmt.Errorf("the frame fits %d descriptions, want 1: %w", fits, errors.Join(errs...))
	}
	return nil
}

// TestAsyncAPI holds the examples to their schemas, and what both descriptions have to one wording.
func TestAsyncAPI(t *testing.T) {
	f, err := loadFrames()
	if err != nil {
		t.Fatal(err)
	}
	for d, messages := range f.messages {
		for name := range messages {
			if len(f.examples[name]) == 0 {
				t.Errorf("%s has no example", name)
			}
			for _, example := range f.examples[name] {
				var text string
				if json.Unmarshal(example, &text) == nil {
					example = json.RawMessage(text)
				}
				if err := f.check(d, example); err != nil {
					t.Errorf("%s: %s: %v", name, example, err)
				}
			}
		}
	}
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"UUID", "SessionUUID", "Time", "Usage", "UserMessage", "AssistantMessage"} {
		if diff := cmp.Diff(asJSON(t, c.doc.Components.Schemas[name]), asJSON(t, f.schemas[name])); diff != "" {
			t.Errorf("%s (-openapi +asyncapi):\n%s", name, diff)
		}
	}
}

func asJSON(t *testing.T, schema *openapi3.SchemaRef) string {
	t.Helper()
	data, err := json.MarshalIndent(schema, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestCheckFrame shows that the check lets right frames through and no others.
func TestCheckFrame(t *testing.T) {
	f, err := loadFrames()
	if err != nil {
		t.Fatal(err)
	}
	const id = `"c2f0c3a4-5a43-4d0e-9a53-0c8f5c1b2d77"`
	for _, tt := range []struct {
		d     direction
		frame string
		right bool
	}{
		{toHub, "hello", true},
		{toHub, "\nhello", true},
		{toHub, "", false},
		{toHub, `{"type":"message","content":"hi","more":1}`, true},
		{toHub, `{"type":"message","content":""}`, false},
		{toHub, `{"type":"message"}`, false},
		{toHub, `{"type":"regenerate","of":` + id + `}`, true},
		{toHub, `{"type":"stop","id":"x"}`, false},
		{toHub, `{"type":"pong"}`, false},
		{fromHub, `{"type":"pong"}`, true},
		{fromHub, `{"type":"ping"}`, false},
		{fromHub, `{"type":"pong","at":1}`, false},
		{fromHub, `{"type":"pong"}{"type":"pong"}`, false},
		{fromHub, `hello`, false},
		{fromHub, `{"type":"text-start","id":` + id + `}`, false},
		{fromHub, `{"type":"text-delta","id":` + id + `,"delta":"x","offset":1}`, true},
		{fromHub, `{"type":"text-delta","id":` + id + `,"delta":"x","offset":-1}`, false},
		{fromHub, `{"type":"text-delta","id":` + id + `,"delta":"","offset":1}`, false},
		{fromHub, `{"type":"text-delta","id":` + id + `,"delta":"` + strings.Repeat("é", 8193) + `","offset":16386}`, false},
		{fromHub, `{"type":"text-delta","id":` + id + `,"delta":"` + "\xc3" + `","offset":1}`, false},
		{fromHub, `{"type":"error","errorText":"No.","code":"internal","id":` + id + `}`, true},
		{fromHub, `{"type":"error","errorText":"No.","code":"rate_limited","ref":` + id + `,"retry_after":3}`, true},
		{fromHub, `{"type":"error","errorText":"No.","code":"internal","id":` + id + `,"ref":` + id + `}`, false},
		{fromHub, `{"type":"error","errorText":"No."}`, false},
		{fromHub, `{"type":"error","errorText":"No.","code":"not_found"}`, false},
		{fromHub, `{"type":"start","messageId":` + id + `,"messageMetadata":{"conversation_id":` + id + `,"model":"m"},"after":null}`, false},
		{fromHub, `{"type":"finish","messageMetadata":{"finish_reason":"stopped","timestamp":"2026-11-22T16:52:09Z"}}`, false},
		{deepChatToHub, `{"messages":[{"role":"user","text":"hi"}]}`, true},
		{deepChatToHub, `{"type":"message","content":"hi"}`, false},
		{deepChatFromHub, `{"text":"x"}`, true},
		{deepChatFromHub, `{"text":"x","overwrite":true}`, true},
		{deepChatFromHub, `{"type":"pong"}`, false},
		{deepChatFromHub, `{"text":"x","error":"y"}`, false},
	} {
		err := f.check(tt.d, []byte(tt.frame))
		if right := err == nil; right != tt.right {
			t.Errorf("%s %.100q: right = %v, want %v: %v", tt.d, tt.frame, right, tt.right, err)
		}
	}
}
