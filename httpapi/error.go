package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"lumos/backend/hub"
)

// statusError is an error for which the status is known where it arises.
type statusError struct {
	status int
	err    hub.Error
}

func (e *statusError) Error() string { return e.err.Error() }

func refuse(status int, code, text string) error {
	return &statusError{status: status, err: hub.Error{Code: code, Text: text}}
}

func invalid(text string) error { return refuse(http.StatusBadRequest, hub.CodeInvalid, text) }

// errHandled: the response was written already.
var errHandled = errors.New("httpapi: response written")

// statuses has the status for each code that comes from below.
var statuses = map[string]int{
	hub.CodeInvalid:          http.StatusBadRequest,
	hub.CodeNotFound:         http.StatusNotFound,
	hub.CodeBusy:             http.StatusConflict,
	hub.CodeReused:           http.StatusConflict,
	hub.CodeLong:             http.StatusConflict,
	hub.CodeChanged:          http.StatusConflict,
	hub.CodeTooLarge:         http.StatusRequestEntityTooLarge,
	hub.CodeRateLimited:      http.StatusTooManyRequests,
	hub.CodeInternal:         http.StatusInternalServerError,
	hub.CodeUpstream:         http.StatusBadGateway,
	hub.CodeUpstreamAuth:     http.StatusBadGateway,
	hub.CodeUpstreamBusy:     http.StatusServiceUnavailable,
	hub.CodeDraining:         http.StatusServiceUnavailable,
	hub.CodeStoreUnavailable: http.StatusServiceUnavailable,
	hub.CodeUpstreamTimeout:  http.StatusGatewayTimeout,
}

// writeError is the one place where an error becomes a response. It returns
// the error if an operator should see it.
func writeError(w http.ResponseWriter, r *http.Request, err error) error {
	var known *statusError
	var tooLarge *http.MaxBytesError
	var status int
	var e hub.Error
	switch {
	case errors.Is(err, errHandled):
		return nil
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		return nil // nobody is there to read it
	case errors.As(err, &known):
		status, e = known.status, known.err
	case errors.Is(err, errKeysAway):
		status = http.StatusServiceUnavailable
		e = hub.Error{Code: hub.CodeStoreUnavailable, Text: "The keys that tokens are checked with cannot be reached. Try again in a moment."}
	case errors.As(err, &tooLarge):
		status, e = http.StatusRequestEntityTooLarge, hub.Error{Code: hub.CodeTooLarge, Text: "The request is too large."}
	default:
		e = *hub.Classify(err)
		status = statuses[e.Code]
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(hub.Seconds(e.RetryAfter)))
	}
	var body struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message = e.Code, e.Text
	writeJSON(w, status, body)
	if status == http.StatusInternalServerError {
		return err
	}
	return nil
}

// writeJSON answers with v. A client that is gone is no error of ours.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // cannot fail: the types are ours
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}
