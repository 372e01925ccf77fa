package httpapi

import (
	"errors"
	"net/http"
	"time"

	"lumos/backend/hub"
	"lumos/backend/hub/jsonread"
)

// bodyTimeout is how long a client may take to send a request's body.
const bodyTimeout = 30 * time.Second

// maxBody is the most that a request or a frame may have for a message of so
// many bytes: JSON may write a byte as \u00xx.
func maxBody(message int) int { return 6*message + 4<<10 }

// readBody reads the one JSON object that the request's body is, of at most so
// many bytes, by read. It keeps nothing that read does not. Behind an error the
// rest of the body may still be coming.
func readBody(w http.ResponseWriter, r *http.Request, most int, optional bool, read func(*jsonread.Reader) error) error {
	in := jsonread.New(http.MaxBytesReader(w, r.Body, int64(most)))
	if optional {
		if empty, err := in.Empty(); empty || err != nil {
			return bodyError(w, err)
		}
	}
	kind, err := in.Kind()
	switch {
	case err != nil:
	case kind != jsonread.Object:
		err = hub.Invalid("The body must be one JSON object.")
	default:
		err = read(in)
	}
	if err == nil {
		err = in.End()
	}
	return bodyError(w, err)
}

// bodyError returns what a client is told of an error of readBody's.
func bodyError(w http.ResponseWriter, err error) error {
	var known *hub.Error
	var tooLarge *http.MaxBytesError
	var syntax *jsonread.SyntaxError
	switch {
	case err == nil, errors.As(err, &known), errors.As(err, &tooLarge):
		return err
	case errors.As(err, &syntax):
		return hub.Invalid("The body must be one JSON object: " + syntax.Error() + ".")
	}
	w.Header().Set("Connection", "close") // the rest of it may come at any time
	return hub.Invalid("The request's body could not be read.")
}

// fieldError names the field, and what it is in, whose value has the wrong type.
// Other errors stay as they are.
func fieldError(in, name string, err error) error {
	if err == nil { // a million fields: nothing is allocated for each
		return nil
	}
	var typ *jsonread.TypeError
	if errors.As(err, &typ) {
		return hub.Invalid(`The field "` + in + name + `" has the wrong type: it ` + typ.Error() + ".")
	}
	return err
}
