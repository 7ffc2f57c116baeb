package lines

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"landfall.dev/api"
)

// buckets is the number of the parts that sums have.
const buckets = 256

// sums are a digest of a service's documents.
type sums struct {
	Documents int64 `json:"documents"`
	// Buckets have, by their names, the number of their lines and the sum of
	// their hashes.
	Buckets map[string]string `json:"buckets"`
}

// differ returns the names of the buckets in which s and o differ.
func (s sums) differ(o sums) []string {
	var names []string
	for b := range buckets {
		if name := fmt.Sprintf("%02x", b); s.Buckets[name] != o.Buckets[name] {
			names = append(names, name)
		}
	}
	return names
}

// verification compares what a side has with what the other was given.
func verification(source, destination sums) api.Verification {
	v := api.Verification{Documents: source.Documents, Buckets: buckets, Different: len(source.differ(destination))}
	if v.Different == 0 && source.Documents != destination.Documents {
		v.Different = 1 // it has others besides
	}
	return v
}

// digests returns what the source's lines for q add up to, and what those do
// that the destination was given.
func digests(ctx context.Context, source, destination service, q url.Values) (has, given sums, err error) {
	q.Set("side", "own")
	if has, err = call[sums](ctx, source, http.MethodGet, "checksum", q, nil); err != nil {
		return has, given, err
	}
	given, err = call[sums](ctx, destination, http.MethodGet, "checksum", url.Values{"side": {"taken"}}, nil)
	return has, given, err
}
