package migrate

import (
	"encoding/binary"
	"encoding/json"
	"net/http"

	"landfall.dev/kit"
	"landfall.dev/kit/store/digest"
)

// Sums are a digest of a cluster's documents.
type Sums struct {
	// Side is "own", what the documents are here, or "origin", what they were
	// where they were pulled from.
	Side string
	// Position is where the cluster was.
	Position string
	// Documents is the number of documents, in all buckets.
	Documents int64
	// Buckets count all documents of the cluster. On the side "origin" a
	// document that was not pulled, or changed since, adds nothing to the sum.
	Buckets digest.Sums
}

// sumsJSON is the wire form: buckets are base64 of the count, 8 bytes, and the
// sum, 16 bytes, both big-endian, of each.
type sumsJSON struct {
	Side      string `json:"side"`
	Position  string `json:"position"`
	Documents int64  `json:"documents"`
	Buckets   []byte `json:"buckets"`
}

const bucketSize = 8 + 16

// MarshalJSON writes the wire form.
func (s Sums) MarshalJSON() ([]byte, error) {
	j := sumsJSON{Side: s.Side, Position: s.Position, Documents: s.Documents}
	for _, b := range s.Buckets {
		j.Buckets = binary.BigEndian.AppendUint64(j.Buckets, uint64(b.Count))
		j.Buckets = append(j.Buckets, b.Sum[:]...)
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads the wire form.
func (s *Sums) UnmarshalJSON(b []byte) error {
	var j sumsJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	if len(j.Buckets) != digest.Buckets*bucketSize {
		return kit.Errorf(kit.ErrInvalid, "", "sums have %d buckets of %d bytes, not %d bytes in all", digest.Buckets, bucketSize, len(j.Buckets))
	}
	*s = Sums{Side: j.Side, Position: j.Position, Documents: j.Documents, Buckets: make(digest.Sums, digest.Buckets)}
	for i := range s.Buckets {
		at := j.Buckets[i*bucketSize:]
		s.Buckets[i] = digest.Bucket{Count: int64(binary.BigEndian.Uint64(at)), Sum: [16]byte(at[8:bucketSize])}
	}
	return nil
}

// Compare returns how many documents blue has, and the numbers of the buckets
// in which green differs: none if it is a complete copy. Blue are sums of the
// side "own", green of the side "origin".
func Compare(blue, green Sums) (documents int64, different []int) {
	return blue.Documents, blue.Buckets.Differ(green.Buckets)
}

func (s *service) serveSums(w http.ResponseWriter, r *http.Request) error {
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	sums := Sums{Side: r.URL.Query().Get("side"), Position: s.store.Position().String()}
	own := s.store.Sums(digest.Own)
	switch sums.Side {
	case "own":
		sums.Buckets = own
	case "origin":
		sums.Buckets = s.store.Sums(digest.Origin)
	default:
		return kit.Errorf(kit.ErrInvalid, "", "side=%q: it is own or origin", sums.Side)
	}
	for i := range own {
		sums.Buckets[i].Count = own[i].Count
		sums.Documents += own[i].Count
	}
	return answer(w, sums)
}
