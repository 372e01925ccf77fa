package httpapi_test

import (
	"regexp"
	"strings"
	"testing"

	"lumos/backend/hub"
	"lumos/backend/llm/mistralsim"
)

// TestLogOfEverything reads the log of a whole run, at its most talkative: what an operator
// needs is there, and nothing that would let a reader of the log into a
// conversation, or tell what was said.
func TestLogOfEverything(t *testing.T) {
	r := newRig(t, withSecret(t), withLimits(hub.Limits{MessagesPerMinute: 9}), withHub(func(c *hub.Config) { c.MaxMessageBytes = 1000 }))
	const said, answered, injected = "Xylophone-was-said", "Zeppelin-was-answered", "Quokka"
	r.answer(said, mistralsim.Answer{Text: answered})
	r.answer(said+" refused", mistralsim.Answer{Status: 422, Body: `{"message":"no ` + said + ` ` + rigKey + `"}`})
	r.answer(said+" unauthorized", mistralsim.Answer{Status: 401, Body: `{"message":"bad key ` + rigKey + `"}`})
	r.answer(said+" broken", mistralsim.Answer{Tokens: strings.SplitAfter(answered, "-"), CutBytes: 1})
	token := tokenOf(t, "Subject-of-the-token")
	auth := authorized(token)

	p := r.join("/ws", offering("chathub.v1", "bearer."+token))
	id := p.ready.Conversation
	p.say("", said)
	p.reply()
	p.send(`{"type":"message","content":` + said) // malformed
	p.want("error")
	r.do("POST", "/chat", `{"message":"`+said+`","conversation_id":"`+id+`"}`, auth, header("X-Request-Id", "my-name.1")).want(200)
	r.do("POST", "/chat", `{"message":"`+said+` refused"}`, auth).want(502)
	r.do("POST", "/chat", `{"message":"`+said+` unauthorized"}`, auth).want(502)
	r.follow("POST", "/chat", `{"message":"`+said+` broken"}`, auth).rest()
	r.do("POST", "/chat", `{"message":"`+said+`","conversation_id":"`+said+`"}`, auth).want(400)
	r.do("POST", "/chat", `{"message":`+said, auth).want(400)
	r.do("POST", "/chat", `{"message":"`+strings.Repeat(said, 100)+`"}`, auth).want(413)
	for range 5 { // until it is too much
		r.do("POST", "/chat", `{"message":"`+said+`"}`, auth)
	}
	r.do("GET", "/sessions/"+id+"?secret="+injected, "", auth, header("X-Request-Id", injected+"\tlevel=ERROR")).want(200)
	r.do("GET", "/sessions/"+strings.ToUpper(id)+"/stream", "", auth, header("Last-Event-ID", id+":0")).want(204)
	bare := strings.ReplaceAll(id, "-", "")
	for _, odd := range []string{bare, "{" + id + "}", "urn:uuid:" + id, id[:35], strings.ReplaceAll(id, "-", "%252d"), strings.Repeat("x", 170) + "/" + id} {
		if a := r.do("GET", "/sessions/"+odd, "", auth); a.StatusCode < 400 {
			t.Errorf("GET /sessions/%s: %s", odd, a.Status)
		}
	}
	r.do("GET", "/"+id+id+"%0alevel=ERROR%20"+id, "").want(404)
	r.do("DELETE", "/sessions/"+id, "", auth).want(200)
	p.wantClose(4404)
	r.do("POST", "/sessions", "", authorized(token+"x")).want(401)
	r.stop()

	log := r.log.String()
	for what, text := range map[string]string{
		"the key": rigKey, "what was said": said, "what was answered": answered, "a query or a made-up request id": injected,
		"a token": token[:30], "the end of a token": token[len(token)-10:], "a subject": "Subject-of-the-token",
		"a session's id": id[:9], "a session's id in capitals": strings.ToUpper(id)[:9], "a session's id without dashes": bare[:9], "the end of one": bare[24:], "the end of one, with dashes": id[20:], "a stack": "goroutine ",
	} {
		if at := strings.Index(log, text); at >= 0 {
			t.Errorf("the log has %s: …%.200s", what, log[max(0, at-100):])
		}
	}
	for _, pattern := range []string{
		`level=INFO msg=request method=POST path=/chat status=200 bytes=\d+ took_s=[\d.e-]+ request_id=my-name\.1\n`,
		`msg="reply ended" session=` + id[:8] + ` end=stop bytes=` + "21" + ` took_s=[\d.e-]+ first_text_s=[\d.e-]+ prompt_tokens=\d+ completion_tokens=\d+ request_id=my-name\.1\n`,
		`level=WARN msg="reply ended" session=\S{8} end=error `,
		`msg=request method=GET path=/sessions/` + id[:8] + `… status=200 `,
		`msg=request method=GET path=/ws status=101 `,
		`msg="connection ended" session=` + id[:8] + ` took_s=[\d.e-]+ request_id=\S{36}\n`,
		`path=/sessions status=401 `, `path=/chat status=413 `, `path=/chat status=429 `,
	} {
		if !regexp.MustCompile(pattern).MatchString(log) {
			t.Errorf("the log has no line %s", pattern)
		}
	}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "level=ERROR msg") {
			t.Errorf("the log has the line %s", line)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}
