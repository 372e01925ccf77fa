package filestore

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"lumos/backend/session"
)

// fill gives every field of v a value that is not its zero one, so that a field
// that is new, and that the log does not know, fails the test.
func fill(v reflect.Value, n int64) {
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.Unix(1_700_000_000+n, 123_000_000).UTC()
		return
	case *uuid.UUID:
		*x = uuid.NewSHA1(uuid.Nil, []byte{byte(n)})
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("x", int(n%5)+1) + "\xff\x81é")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(n + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n+1)
		fill(v.Index(1), n+20)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n+int64(i))
		}
	default:
		panic(v.Kind())
	}
}

// plain has what JSON would change be as JSON leaves it: only contents have bytes
// that are not UTF-8.
func plain(h session.Head) session.Head {
	h.Owner, h.Running.Model, h.Running.Client, h.Born = "ann é", "m \"", "client", "born"
	return h
}

// TestNothingIsLeftOut holds the log to all fields that there are.
func TestNothingIsLeftOut(t *testing.T) {
	var h session.Head
	var m session.Message
	fill(reflect.ValueOf(&h).Elem(), 1)
	fill(reflect.ValueOf(&m).Elem(), 1)
	h = plain(h)
	m.Role = session.Assistant
	user := session.Message{Role: session.User, Content: "hi", ID: uuid.New(), Seq: 1, Version: h.Version}
	for name, messages := range map[string][]session.Message{
		"none": nil, "one": {m}, "of two changes": {user, m}, "without a time": {user, {Role: session.Assistant, Version: "v"}},
	} {
		t.Run(name, func(t *testing.T) {
			h.Count = len(messages)
			r := &replay{found: map[uuid.UUID]*found{}, strings: map[string]string{}}
			id := uuid.New()
			frame, err := appendState(nil, 77, id, h.Version, h, messages, "text \xff\x80")
			if err != nil {
				t.Fatal(err)
			}
			payload, n := nextFrame(frame)
			if n != len(frame) || !r.frame(payload) {
				t.Fatal("the frame cannot be read")
			}
			got, err := r.found[id].restore()
			if err != nil {
				t.Fatal(err)
			}
			want := h
			want.Conn = nil // it ends with the process
			if diff := cmp.Diff(want, got.Head); diff != "" {
				t.Errorf("head (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(append([]session.Message{}, messages...), append([]session.Message{}, got.Log...)); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if string(got.Text) != "text \xff\x80" || got.Used.Unix() != 77 {
				t.Errorf("text %q, used %v", got.Text, got.Used)
			}
		})
	}
}

// TestChangesKeepWhatNeverChanges: a change's head has only what can change.
func TestChangesKeepWhatNeverChanges(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir, Config{})
	got, err := s.Create(t.Context(), session.Creation{ID: uuid.New(), Owner: "ann", Key: uuid.New()})
	if err != nil {
		t.Fatal(err)
	}
	c := &script{s, map[string]session.Ref{"x": got.Ref()}, map[string]*session.Text{}, map[string]session.Turn{}}
	for _, step := range []step{say("x", "hi"), write("x", "ho"), finish("x", "!")} {
		if err := step.do(c); err != nil {
			t.Fatal(err)
		}
	}
	want, err := s.Get(t.Context(), got.Ref(), session.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := opened(t, dir, Config{}).Get(t.Context(), got.Ref(), session.Position{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Error(diff)
	}
}
