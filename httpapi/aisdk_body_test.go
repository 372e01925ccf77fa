package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"lumos/backend/hub"
)

// sdkShape is a body of POST /api/chat; %s stands for the conversation's id.
type sdkShape struct {
	name, body string
	status     int
	want       string // with status 200: what is stored as said
}

// testShapes posts each body to a server whose messages have at most 100 bytes.
func testShapes(t *testing.T, shapes []sdkShape) {
	t.Helper()
	for _, tt := range shapes {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withHub(func(c *hub.Config) { c.MaxMessageBytes = 100 }))
			id := r.newSession()
			body := strings.ReplaceAll(tt.body, "%s", id)
			switch tt.status {
			case 200:
				s := r.follow("POST", "/api/chat", body)
				s.rest()
				if !s.done {
					t.Error("the stream was cut")
				}
				if m := r.session(id).Messages; len(m) != 2 || m[0].Content != tt.want {
					t.Errorf("stored: %.300q, want %q", fmt.Sprint(m), tt.want)
				}
				return
			case 404:
				r.do("POST", "/api/chat", body).wantError(404, "session_not_found")
			case 413:
				r.do("POST", "/api/chat", body).wantError(413, "message_too_large")
			default:
				r.do("POST", "/api/chat", body).wantError(tt.status, "invalid_request")
			}
			if m := r.session(id).Messages; len(m) != 0 {
				t.Errorf("stored: %.300q, want nothing", fmt.Sprint(m))
			}
		})
	}
}

// says is a body with one user message of these parts.
func says(parts string) string {
	return `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[` + parts + `]}]}`
}

// TestSDKBodyOrder: the order of fields means nothing, and of a name that comes
// again the last value counts.
func TestSDKBodyOrder(t *testing.T) {
	const text = `{"type":"text","text":"right"}`
	testShapes(t, []sdkShape{
		{"messages first", `{"messages":[{"parts":[` + text + `],"role":"user","id":"m"}],"trigger":"submit-message","id":"%s"}`, 200, "right"},
		{"role behind parts", `{"id":"%s","trigger":"submit-message","messages":[{"id":"n","parts":[{"type":"text","text":"wrong"}],"role":"assistant"},{"id":"m","parts":[` + text + `],"role":"user"}]}`, 200, "right"},
		{"type behind text", says(`{"text":"ri","type":"text"},{"text":"wrong","type":"data-x"},{"text":"ght","type":"text"}`), 200, "right"},
		{"escaped names", `{"\u0069d":"%s","tr\u0069gger":"submit-message","m\u0065ssages":[{"id":"m","rol\u0065":"us\u0065r","parts":[` + text + `]}]}`, 200, "right"},
		{"white space", " \t\r\n{ \"id\" : \"%s\" ,\n\"trigger\"\t:\"submit-message\",\"messages\" : [ {\"id\":\"m\" , \"role\":\"user\",\"parts\":[ " + text + " ] } ] }\r\n ", 200, "right"},
		{"messages twice", `{"id":"%s","trigger":"submit-message","messages":[{"id":"a","role":"user","parts":[{"type":"text","text":"wrong"}]},{"id":"b","role":"user","parts":[]}],"messages":[{"id":"m","role":"user","parts":[` + text + `]}]}`, 200, "right"},
		{"messages, then none", `{"id":"%s","trigger":"submit-message","messages":[{"id":"a","role":"user","parts":[` + text + `]}],"messages":[]}`, 400, ""},
		{"messages, then null", `{"id":"%s","trigger":"submit-message","messages":[{"id":"a","role":"user","parts":[` + text + `]}],"messages":null}`, 400, ""},
		{"nothing of the first list is left", `{"id":"%s","trigger":"submit-message","messages":[{"id":"a","role":"user","parts":[` + text + `]}],"messages":[{"id":"m"}]}`, 400, ""},
		{"parts twice", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"wrong"},{"type":"text"}],"parts":[` + text + `]}]}`, 200, "right"},
		{"text twice", says(`{"type":"text","text":"wrong","text":"right"}`), 200, "right"},
		{"type twice", says(`{"type":"reasoning","text":"right","type":"text"},{"type":"text","text":"wrong","type":"data-file"}`), 200, "right"},
		{"role twice", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"assistant","parts":[` + text + `],"role":"user"},{"role":"user","id":"n","parts":[],"role":"system"}]}`, 200, "right"},
		{"too long, then not", says(`{"type":"text","text":"` + strings.Repeat("x", 200) + `","text":"right"}`), 200, "right"},
		{"id and trigger twice", `{"id":7e3,"id":"no","id":"%s","trigger":"submit-message","messages":[]}`, 400, ""},
		{"id twice", `{"id":"no","id":"%s","trigger":"no","trigger":"submit-message","messages":[{"id":"","id":"m","role":"user","parts":[` + text + `]}]}`, 200, "right"},
		{"null", `{"id":"%s","trigger":"submit-message","messageId":null,"messages":[null,{"id":"n","role":null,"parts":null},{"id":"m","role":"user","parts":[{"type":"text","text":null},` + text + `]}]}`, 200, "right"},
		{"a part that is null", says("null," + text), 400, ""},
		{"a type that is null", says(`{"type":null,"text":"x"},` + text), 400, ""},
	})
}

// TestSDKBodyExact: names are compared letter by letter, upper and lower case
// apart, and nothing else is looked at.
func TestSDKBodyExact(t *testing.T) {
	const text = `{"type":"text","text":"right"}`
	const other = `{"type":"text","text":"wrong"}`
	testShapes(t, []sdkShape{
		{"a text in capitals", says(`{"type":"text","text":"right","Text":"wrong","TEXT":"wrong","te\u017ft":"wrong"}`), 200, "right"},
		{"a role in capitals", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[` + text + `]},{"id":"n","Role":"user","parts":[` + other + `]}]}`, 200, "right"},
		{"an id in capitals", `{"id":"%s","Id":"` + someID + `","ID":7,"trigger":"submit-message","Trigger":"none","messages":[{"id":"m","iD":"","role":"user","parts":[` + text + `]}]}`, 200, "right"},
		{"messages in capitals", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[` + text + `],"Parts":[` + other + `]}],"Messages":[{"id":"n","role":"user","parts":[` + other + `]}]}`, 200, "right"},
		{"messages in other letters", "{\"id\":\"%s\",\"trigger\":\"submit-message\",\"messages\":[{\"id\":\"m\",\"role\":\"user\",\"parts\":[" + text + "]}],\"me\u017f\u017fages\":[]}", 200, "right"},
		{"nothing but capitals", `{"ID":"%s","TRIGGER":"submit-message","MESSAGES":[{"ID":"m","ROLE":"user","PARTS":[{"TYPE":"text","TEXT":"x"}]}]}`, 404, ""},
		{"an edit in capitals", `{"id":"%s","trigger":"submit-message","MessageID":"m","messages":[{"id":"m","role":"user","parts":[` + text + `]}]}`, 200, "right"},
		{"a value in capitals", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[` + text + `,{"type":"data-Text","text":"wrong"}]},{"id":"n","role":"User","parts":[` + other + `]}]}`, 200, "right"},
		{"a longer name", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[` + text + `]}],"messages` + strings.Repeat("s", 100) + `":[],"messages\u0000":[]}`, 200, "right"},
		{"a wrong type in a part of another message", `{"id":"%s","trigger":"submit-message","messages":[{"id":"a","role":"assistant","parts":[{"type":7,"text":{}}]},{"id":"b","role":"user","parts":"x"},{"id":"m","role":"user","parts":[` + text + `]}]}`, 200, "right"},
		{"wrong types in what nobody reads", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","content":[1],"metadata":"x","parts":[{"type":"text","text":"right","state":[{}],"providerMetadata":7}]}],"body":[[]],"n":-0.5e+3,"t":true,"f":false}`, 200, "right"},
	})
}

// TestSDKBodyText: what counts as the text of a message, and when it is too long.
func TestSDKBodyText(t *testing.T) {
	part := func(text string) string { return `{"type":"text","text":"` + text + `"}` }
	full, over := strings.Repeat("x", 100), strings.Repeat("x", 101)
	list := func(others string) string {
		return `{"id":"%s","trigger":"submit-message","messages":[` + others + `,{"id":"m","role":"user","parts":[` + part("right") + `]}]}`
	}
	testShapes(t, []sdkShape{
		{"as long as it may be", says(part(full)), 200, full},
		{"as long as it may be, in parts", says(strings.TrimSuffix(strings.Repeat(part("x")+",", 100), ",")), 200, full},
		{"as long as it may be, escaped", says(part(strings.Repeat(`\u0078`, 100))), 200, full},
		{"as long as it may be, of wide letters", says(part(strings.Repeat("é", 25) + strings.Repeat(`\u00e9`, 25))), 200, strings.Repeat("é", 50)},
		{"too long", says(part(over)), 413, ""},
		{"too long, in parts", says(strings.TrimSuffix(strings.Repeat(part("x")+",", 101), ",")), 413, ""},
		{"too long, escaped", says(part(strings.Repeat(`\u0078`, 101))), 413, ""},
		{"too long by half a letter", says(part(full[1:] + "é")), 413, ""},
		{"too long by an emoji", says(part(full[1:] + `\ud83d\ude00`)), 413, ""},
		{"much too long", says(part(strings.Repeat(over, 10000)) + "," + part("x")), 413, ""},
		{"what was refused before stays in the page's list", list(`{"id":"a","role":"user","parts":[` + part(over) + `]}`), 200, "right"},
		{"a long answer before", list(`{"id":"a","role":"assistant","parts":[` + part(strings.Repeat(over, 1000)) + `]}`), 200, "right"},
		{"a long part of another kind", says(`{"type":"data-a","text":"` + over + `"},` + part("right") + `,{"text":"` + over + `","type":"data-b"}`), 200, "right"},
		{"data with a text of its own", says(`{"type":"data-a","text":7},{"text":{"type":"file"},"type":"data-b"},{"type":"data-c","text":["x"],"data":null},` + part("right")), 200, "right"},
		{"data with a text of its own, and a wrong text", says(`{"type":"text","text":7},{"type":"data-a","text":7},` + part("x")), 400, ""},
		{"surrogates", says(part(`\ud83d\ude00`) + "," + part(`\ud83d`) + "," + part(`\ude00x\ud83d\u0041\ud83d\ud83d\ude00`)), 200, "😀\ufffd\ufffdx\ufffdA\ufffd😀"},
		{"escapes", says(part(`\"\\\/\b\f\n\r\t\u0000\u2028`)), 200, "\"\\/\b\f\n\r\t\x00\u2028"},
		{"wide letters", says(part("é€👋")), 200, "é€👋"},
		{"a file", says(part("x") + `,{"type":"file","mediaType":"image/png","url":"data:image/png;base64,AA=="}`), 400, ""},
		{"a part in capitals", says(part("x") + `,{"type":"Text","text":"y"}`), 400, ""},
		{"reasoning", says(`{"type":"reasoning","text":"x"},` + part("x")), 400, ""},
		{"a source", says(part("x") + `,{"type":"source-url","url":"x"}`), 400, ""},
		{"a tool", says(part("x") + `,{"type":"tool-data-x"}`), 400, ""},
		{"no type", says(part("x") + `,{"text":"y"}`), 400, ""},
		{"data alone", says(`{"type":"data-x","data":{"text":"no"}}`), 400, ""},
		{"a wrong type", says(part("x") + `,{"type":"text","text":7}`), 400, ""},
		{"a part that is none", says(part("x") + `,"text"`), 400, ""},
		{"no parts", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user"}]}`, 400, ""},
	})
}

// TestSDKBodyRefused: what is no JSON, in whatever part of it, and ids that
// cannot be right.
func TestSDKBodyRefused(t *testing.T) {
	const message = `{"id":"m","role":"user","parts":[{"type":"text","text":"right"}]}`
	with := func(more string) string {
		return `{"id":"%s","trigger":"submit-message","messages":[` + message + `]` + more + `}`
	}
	user := func(id string) string {
		return `{"id":"%s","trigger":"submit-message","messages":[{"id":"` + id + `","role":"user","parts":[{"type":"text","text":"right"}]}]}`
	}
	testShapes(t, []sdkShape{
		{"nothing", "", 400, ""},
		{"white space", " \n", 400, ""},
		{"null", "null", 400, ""},
		{"a list", "[" + with("") + "]", 400, ""},
		{"a text", `"x"`, 400, ""},
		{"a byte order mark", "\ufeff" + with(""), 400, ""},
		{"two values", with("") + with(""), 400, ""},
		{"something behind it", with("") + " x", 400, ""},
		{"a zero byte behind it", with("") + "\x00", 400, ""},
		{"no UTF-8 behind it", with("") + "\xff", 400, ""},
		{"no UTF-8 in the text", says(`{"type":"text","text":"` + "\xc3\x28" + `"}`), 400, ""},
		{"half a letter in the text", says(`{"type":"text","text":"` + "\xe2\x82" + `"}`), 400, ""},
		{"a surrogate in UTF-8", says(`{"type":"text","text":"` + "\xed\xa0\x80" + `"}`), 400, ""},
		{"no UTF-8 in what nobody reads", with(`,"x":{"y":["` + "\xff" + `"]}`), 400, ""},
		{"no UTF-8 in a name", with(`,"` + "\xff" + `":1`), 400, ""},
		{"no UTF-8 far into a text that is too long", says(`{"type":"text","text":"` + strings.Repeat("x", 10000) + "\xff" + `"}`), 400, ""},
		{"a control character in a text", says("{\"type\":\"text\",\"text\":\"a\nb\"}"), 400, ""},
		{"an unknown escape", with(`,"x":"\x41"`), 400, ""},
		{"half an escape", with(`,"x":"\u12"`), 400, ""},
		{"a comma too many", with(`,"x":[1,]`), 400, ""},
		{"a comma too many in an object", with(`,"x":{"a":1,}`), 400, ""},
		{"no comma", with(`,"x":[1 2]`), 400, ""},
		{"no colon", with(`,"x" 1`), 400, ""},
		{"no name", with(`,1:1`), 400, ""},
		{"a bracket of the other kind", with(`,"x":[1}`), 400, ""},
		{"a number with a zero before it", with(`,"x":01`), 400, ""},
		{"a number without digits", with(`,"x":-`), 400, ""},
		{"a number that ends in a point", with(`,"x":1.`), 400, ""},
		{"a number without an exponent", with(`,"x":1e+`), 400, ""},
		{"a plus", with(`,"x":+1`), 400, ""},
		{"no literal", with(`,"x":nul`), 400, ""},
		{"a longer literal", with(`,"x":truee`), 400, ""},
		{"NaN", with(`,"x":NaN`), 400, ""},
		{"a comment", with(`/**/`), 400, ""},
		{"single quotes", with(`,'x':1`), 400, ""},
		{"cut off", strings.TrimSuffix(with(""), "}"), 400, ""},
		{"cut off in a text", `{"id":"%s","trigger":"submit-message","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"ri`, 400, ""},
		{"deep, and not closed", with(`,"x":` + strings.Repeat("[", 20000)), 400, ""},
		{"too deep", with(`,"x":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001)), 400, ""},
		{"deep", with(`,"x":` + strings.Repeat(`{"a":[`, 4000) + strings.Repeat("]}", 4000)), 200, "right"},
		{"a message that is none", `{"id":"%s","trigger":"submit-message","messages":["x",` + message + `]}`, 400, ""},
		{"a role that is none", `{"id":"%s","trigger":"submit-message","messages":[{"role":["user"]},` + message + `]}`, 400, ""},
		{"a message's id that is a number", `{"id":"%s","trigger":"submit-message","messages":[{"id":7,"role":"user","parts":[]}]}`, 400, ""},
		{"an id that is a number", `{"id":7,"trigger":"submit-message","messages":[` + message + `]}`, 400, ""},
		{"a trigger that is a list", `{"id":"%s","trigger":[],"messages":[` + message + `]}`, 400, ""},
		{"messageId as an object", with(`,"messageId":{}`), 400, ""},
		{"an id of the user's message that is too long", user(strings.Repeat("m", 1025)), 400, ""},
		{"a long id of the user's message", user(strings.Repeat("m", 1024)), 200, "right"},
		{"a long id of another message", `{"id":"%s","trigger":"submit-message","messages":[{"id":"` + strings.Repeat("a", 10000) + `","role":"user","parts":[]},` + message + `]}`, 200, "right"},
		{"a long trigger", `{"id":"%s","trigger":"submit-message` + strings.Repeat("e", 10000) + `","messages":[` + message + `]}`, 400, ""},
		{"a long messageId", with(`,"messageId":"` + strings.Repeat("m", 10000) + `"`), 200, "right"},
		{"a long id", `{"id":"%s` + strings.Repeat("0", 10000) + `","trigger":"submit-message","messages":[` + message + `]}`, 404, ""},
		{"the nil UUID as the message's id", user(uuid.Nil.String()), 400, ""},
		{"the nil UUID as the conversation's", `{"id":"` + uuid.Nil.String() + `","trigger":"submit-message","messages":[` + message + `]}`, 404, ""},
	})
}

// TestLongList: of a long list at least the last 1024 messages before the user's are
// looked at.
func TestLongList(t *testing.T) {
	r := newRig(t)
	id := newID()
	r.submit(id, "u1", "one").rest()
	reply := r.session(id).Messages[1]
	list := []sdkMessage{sdkSays("user", "u1", "one"), sdkSays("assistant", reply.ID, reply.Content)}
	for i := range 1023 { // which were refused
		list = append(list, sdkSays("user", fmt.Sprint("x", i), "x"))
	}
	for i := range 200 {
		list = append([]sdkMessage{sdkSays("user", fmt.Sprint("y", i), "y")}, list...)
	}
	list = append(list, sdkSays("user", "u2", "two"))
	r.follow("POST", "/api/chat", sdkBody(t, id, "submit-message", "", list...)).rest()
	r.wantSaid(id, "one", "You said: one", "two", "You said: two")
}
