package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"lumos/backend/httpapi/wire"
	"lumos/backend/hub"
)

func refuse(code, text string) error { return &hub.Error{Code: code, Text: text} }

// The codes of the contract that only HTTP knows.
const (
	codeSessionID = "invalid_session_id"
	codeForbidden = "forbidden_origin"
	codeNothing   = "not_found"
	codeMethod    = "method_not_allowed"
	codeUpgrade   = "upgrade_required"
)

// statuses maps error codes to HTTP statuses.
var statuses = map[string]int{
	codeSessionID:            http.StatusBadRequest,
	codeForbidden:            http.StatusForbidden,
	codeNothing:              http.StatusNotFound,
	codeMethod:               http.StatusMethodNotAllowed,
	codeUpgrade:              http.StatusUpgradeRequired,
	hub.CodeUnauthorized:     http.StatusUnauthorized,
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

// writeError is the one place where an error becomes a response. It returns the error if it
// should be logged.
func writeError(w http.ResponseWriter, r *http.Request, err error) error {
	var tooLarge *http.MaxBytesError
	var e *hub.Error
	switch {
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		return nil // nobody is there to read it
	case errors.As(err, &tooLarge):
		e = &hub.Error{Code: hub.CodeTooLarge, Text: "The request is too large."}
	default:
		e = hub.Classify(err)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(hub.Seconds(e.RetryAfter)))
	}
	status := statuses[e.Code]
	writeJSON(w, status, map[string]any{"error": map[string]string{"code": e.Code, "message": e.Text}})
	if status == http.StatusInternalServerError {
		return err
	}
	return nil
}

// writeJSON answers with v. A client that is gone is no error of ours.
func writeJSON(w http.ResponseWriter, status int, v any) {
	text := append(wire.AppendJSON(nil, v), '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
