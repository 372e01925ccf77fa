package httpapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// bodyTimeout is how long a client may take to send a request's body.
const bodyTimeout = 30 * time.Second

// maxBody is the most that a request or a frame may have for a message of so
// many bytes: JSON may write a byte as \u00xx.
func maxBody(message int) int { return 6*message + 4<<10 }

// readBody reads the one JSON object that the request's body is, of at most so
// many bytes. Fields that are not known are ignored.
func readBody(w http.ResponseWriter, r *http.Request, v any, most int, optional bool) error {
	rc := http.NewResponseController(w)
	// Not every ResponseWriter has deadlines; the server's has.
	_ = rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		w.Header().Set("Connection", "close") // the rest of it may come at any time
		return invalid("The request's body could not be read.")
	}
	_ = rc.SetReadDeadline(time.Time{})
	if len(strings.TrimSpace(string(body))) == 0 && optional {
		return nil
	}
	if !utf8.Valid(body) {
		return invalid("The body is not UTF-8.")
	}
	if trimmed := strings.TrimLeft(string(body), " \t\r\n"); trimmed == "" || trimmed[0] != '{' {
		return invalid("The body must be one JSON object.")
	}
	if err := json.Unmarshal(body, v); err != nil {
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) {
			return invalid(`The field "` + typ.Field + `" has the wrong type: it is a ` + typ.Value + `, and must be a ` + typ.Type.String() + ".")
		}
		return invalid("The body must be one JSON object: " + err.Error() + ".")
	}
	return nil
}
