package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"landfall.dev/kit"
)

// typeJSON is the media type of documents.
const typeJSON = "application/json"

// answer writes the document r with its version as the ETag.
func answer(w http.ResponseWriter, status int, r *kit.Record) error {
	w.Header().Set("ETag", `"`+strconv.FormatInt(r.Version, 10)+`"`)
	return encodeRecord(w, status, r)
}

// encodeRecord writes the document r.
func encodeRecord(w http.ResponseWriter, status int, r *kit.Record) error {
	b, err := r.AppendJSON(make([]byte, 0, envelopeSize+len(r.Body)))
	if err != nil {
		return &kit.Error{Op: "encode", Err: err}
	}
	send(w, status, append(b, '\n'))
	return nil
}

// envelopeSize is about how many bytes the envelope of a document takes.
const envelopeSize = 256

// encodePage writes what encode would of p, without the detour of each document
// over bytes of its own.
func encodePage(w http.ResponseWriter, status int, p kit.Page) error {
	size := 0
	for _, r := range p.Items {
		size += envelopeSize + len(r.Body)
	}
	items := append(make([]byte, 0, size), `{"items":[`...)
	var err error
	for i, r := range p.Items {
		if i > 0 {
			items = append(items, ',')
		}
		if items, err = r.AppendJSON(items); err != nil {
			return &kit.Error{Op: "encode", Err: err}
		}
	}
	p.Items = []kit.Record{} // the first field; the others are few
	rest, err := marshal(p)
	if err != nil {
		return err
	}
	send(w, status, append(items, rest[len(`{"items":[`):]...))
	return nil
}

// encode writes v.
func encode(w http.ResponseWriter, status int, v any) error {
	b, err := marshal(v)
	if err == nil {
		send(w, status, b)
	}
	return err
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, &kit.Error{Op: "encode", Err: err}
	}
	return b.Bytes(), nil
}

// send writes an answer; where that is not possible the client is gone.
func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
