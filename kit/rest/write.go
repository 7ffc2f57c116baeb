package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/local"
)

// headerKey makes a write happen once: see kit.Once.
const headerKey = local.HeaderKey

// decodeWrite reads the one write that req is.
func (req *request) decodeWrite(w http.ResponseWriter) error {
	if err := req.checkType(); err != nil {
		return err
	}
	body, err := readAll(w, req.http, req.Link, kit.MaxDocument)
	if err != nil {
		return err
	}
	wr := kit.Write{Verb: req.Verb, Link: req.Link}
	if wr.Body, err = local.CheckBody(body, req.Link); err != nil {
		return err
	}
	if wr.IfMatch, err = req.ifMatch(); err != nil {
		return err
	}
	if req.Verb == kit.VerbCreate {
		if wr.Link, err = local.CreateLink(req.Link.Kind(), req.parameters.Get("id"), wr.Body); err != nil {
			return err
		}
	}
	req.setWrites(wr)
	return nil
}

// decodeBatch reads the writes of a batch.
func (req *request) decodeBatch(w http.ResponseWriter) error {
	body, err := readAll(w, req.http, req.Link, local.MaxBatch)
	if err != nil {
		return err
	}
	var b struct {
		Writes []kit.Write `json:"writes"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		if broken := local.CheckJSON(body, ""); broken != nil {
			return broken
		}
		return &kit.Error{Fault: kit.ErrInvalid, Op: "batch", Detail: err.Error(), Hint: `send {"writes": [{"verb": "update", "link": "kind/id", "body": {}}]}`}
	}
	req.setWrites(b.Writes...)
	return nil
}

// setWrites sets the writes, and when they are acknowledged and what makes them
// happen once, as req says.
func (req *request) setWrites(writes ...kit.Write) {
	req.Writes = writes
	req.Options = kit.WriteOptions{Durability: kit.Durability(req.parameters.Get("durability")), Key: req.http.Header.Get(headerKey)}
}

func (req *request) checkType() error {
	given := req.http.Header.Get("Content-Type")
	if given == "" || given == typeJSON {
		return nil
	}
	t, _, err := mime.ParseMediaType(given)
	if err == nil && (t == typeJSON || t == "application/merge-patch+json") {
		return nil
	}
	return &kit.Error{Fault: kit.ErrInvalid, Link: req.Link, Detail: fmt.Sprintf("the body's type %q is not understood", given), Hint: "send application/json"}
}

// ifMatch returns the version in the If-Match header, 0 if there is none.
func (req *request) ifMatch() (int64, error) {
	given := req.http.Header.Get("If-Match")
	if given == "" || given == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(given, `"`), 10, 64)
	if err != nil || n < 1 {
		return 0, &kit.Error{Fault: kit.ErrInvalid, Link: req.Link, Detail: fmt.Sprintf("If-Match: %s names no version", given), Hint: `write it as the ETag was: "3"`}
	}
	return n, nil
}

// maxTrust is how many bytes of a body there is room for before it comes: as
// many as it is said to have, up to this.
const maxTrust = 64 << 10

// readAll returns r's body of at most limit bytes.
func readAll(w http.ResponseWriter, r *http.Request, l kit.Link, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	b := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), maxTrust)+bytes.MinRead))
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, local.TooLarge(l, limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, kit.Errorf(kit.ErrInvalid, l, "the body has not come within %s: nothing was done", bodyTime)
	}
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Link: l, Detail: "the body could not be read to its end", Err: err}
	}
	untimed(w)
	return b.Bytes(), nil
}
