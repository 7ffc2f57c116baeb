package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"landfall.dev/kit"
)

// The error codes of the specification.
const (
	codeBlobUnknown         = "BLOB_UNKNOWN"
	codeUploadInvalid       = "BLOB_UPLOAD_INVALID"
	codeUploadUnknown       = "BLOB_UPLOAD_UNKNOWN"
	codeDigestInvalid       = "DIGEST_INVALID"
	codeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	codeManifestInvalid     = "MANIFEST_INVALID"
	codeManifestUnknown     = "MANIFEST_UNKNOWN"
	codeNameInvalid         = "NAME_INVALID"
	codeNameUnknown         = "NAME_UNKNOWN"
	codeSizeInvalid         = "SIZE_INVALID"
	codeUnauthorized        = "UNAUTHORIZED"
	codeDenied              = "DENIED"
	codeUnsupported         = "UNSUPPORTED"
	codeTooManyRequests     = "TOOMANYREQUESTS"
)

// The codes that docker's registry uses where the specification has none.
const (
	codePageInvalid = "PAGINATION_NUMBER_INVALID"
	codeTagInvalid  = "TAG_INVALID"
	codeUnavailable = "UNAVAILABLE"
	codeUnknown     = "UNKNOWN"
)

// problem is one error in an answer's body.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Detail  any    `json:"detail,omitempty"`
}

// refusal is an answer that tells the client what is wrong with its request.
type refusal struct {
	status   int
	problems []problem
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%d %s: %s", r.status, r.problems[0].Code, r.problems[0].Message)
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status, []problem{{Code: code, Message: fmt.Sprintf(format, args...)}}}
}

// asRefusal returns the answer that err stands for. The causes of internal
// errors are not in it.
func asRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	fault := kit.FaultOf(err)
	message := fault.Error()
	var e *kit.Error
	if errors.As(err, &e) && e.Detail != "" && fault != kit.ErrInternal {
		message = e.Detail
		if e.Hint != "" {
			message += " (" + e.Hint + ")"
		}
	}
	code := codeUnknown
	switch fault {
	case kit.ErrUnauthenticated:
		code = codeUnauthorized
	case kit.ErrForbidden:
		code = codeDenied
	case kit.ErrTooMany:
		code = codeTooManyRequests
	case kit.ErrTooLarge:
		code = codeSizeInvalid
	case kit.ErrUnavailable, kit.ErrTimeout:
		code = codeUnavailable
	}
	return refuse(int(fault), code, "%s", message)
}

// fail answers r with err.
func (s registry) fail(w http.ResponseWriter, r *http.Request, err error) {
	refused := asRefusal(err)
	if refused.status == http.StatusInternalServerError && r.Context().Err() == nil {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if refused.status == http.StatusServiceUnavailable || refused.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, refused.status, "application/json", map[string]any{"errors": refused.problems})
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, mediaType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("registry: " + err.Error()) // all that is answered has a JSON form
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
