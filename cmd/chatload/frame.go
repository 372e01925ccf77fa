package main

import (
	"bytes"
	"fmt"
)

// frame is what a load client needs of a frame from the hub (PROTOCOL.md,
// WebSocket). The slices are of the frame's bytes, as they stand there:
// strings without their quotes and still escaped.
type frame struct {
	kind         []byte // type
	id           []byte // id, or messageId in `start`
	delta        []byte
	escaped      bool // delta holds a backslash
	offset       int  // -1: none
	epoch        int  // -1: none
	conversation []byte
	after        []byte
	messages     []byte // the JSON array
	code         []byte
}

// parseFrame reads a frame of the hub's into f. It reads members in any order,
// skips unknown ones, and allocates nothing.
func parseFrame(f *frame, b []byte) error {
	*f = frame{offset: -1, epoch: -1}
	return members(b, func(key, value []byte, escaped bool) error {
		var err error
		switch string(key) {
		case "type":
			f.kind = value
		case "id", "messageId":
			f.id = value
		case "delta":
			f.delta, f.escaped = value, escaped
		case "offset":
			f.offset, err = number(value)
		case "epoch":
			f.epoch, err = number(value)
		case "conversation_id":
			f.conversation = value
		case "after":
			f.after = value
		case "messages":
			f.messages = value
		case "code":
			f.code = value
		}
		return err
	})
}

// parseEvent reads an event of Mistral's, as the floor forwards it, as if it
// were a frame of the hub's. An event's place in the reply is not told.
func parseEvent(f *frame, b []byte) error {
	*f = frame{offset: -1, epoch: -1, kind: []byte("text-delta")}
	if string(b) == "[DONE]" {
		f.kind = []byte("finish")
		return nil
	}
	const mark = `"delta":{`
	at := bytes.Index(b, []byte(mark))
	if at < 0 {
		return fmt.Errorf("event without a delta: %.80q", b)
	}
	delta, _, err := value(b[at+len(mark)-1:])
	if err != nil {
		return err
	}
	return members(delta, func(key, value []byte, escaped bool) error {
		if string(key) == "content" {
			f.delta, f.escaped = value, escaped
		}
		return nil
	})
}
