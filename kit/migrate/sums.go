package migrate

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/door"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
)

// Sums are a digest of a cluster's documents.
type Sums struct {
	// Side is "own", what the documents are here, or "origin", what they were
	// where they were pulled from. On the way back the successor has "copied",
	// its documents as they were at the predecessor unless they changed since, and
	// the predecessor "returned", its own but those that came back as they are at
	// the successor.
	Side string
	// Position is where the cluster was.
	Position string
	// Documents is the number of documents, in all buckets.
	Documents int64
	// Buckets count all documents of the cluster. On the side "origin" a
	// document that was not pulled, or changed since, adds nothing to the sum.
	Buckets digest.Sums
}

// The sides of sums.
const (
	sideOwn      = "own"
	sideOrigin   = "origin"
	sideCopied   = "copied"
	sideReturned = "returned"
)

// sumsJSON is the wire form: buckets are base64 of their bytes.
type sumsJSON struct {
	Side      string `json:"side"`
	Position  string `json:"position"`
	Documents int64  `json:"documents"`
	Buckets   []byte `json:"buckets"`
}

// MarshalJSON writes the wire form.
func (s Sums) MarshalJSON() ([]byte, error) {
	return json.Marshal(sumsJSON{s.Side, s.Position, s.Documents, s.Buckets.Bytes()})
}

// UnmarshalJSON reads the wire form.
func (s *Sums) UnmarshalJSON(b []byte) error {
	var j sumsJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	buckets, err := digest.ParseSums(j.Buckets)
	*s = Sums{j.Side, j.Position, j.Documents, buckets}
	return err
}

// Compare returns how many documents blue has, and the numbers of the buckets
// in which green differs: none if it is a complete copy. Blue are sums of the
// side "own", green of the side "origin"; on the way back blue are those of the
// side "copied" of the one that is left, and green "returned".
func Compare(blue, green Sums) (documents int64, different []int) {
	return blue.Documents, blue.Buckets.Differ(green.Buckets)
}

// sumsRequest is which sums are asked for.
type sumsRequest struct {
	side    string
	schemas map[string]int // if any, kinds without one do not count
	buckets map[int]bool   // if any, these documents are listed
}

func parseSums(q url.Values) (sumsRequest, error) {
	r := sumsRequest{side: q.Get("side")}
	switch r.side {
	case sideOwn, sideOrigin, sideCopied, sideReturned:
	default:
		return r, kit.Errorf(kit.ErrInvalid, "", "side=%q: it is own, origin, copied or returned", r.side)
	}
	var err error
	if q.Has("schemas") {
		if r.schemas, err = transform.ParseSchemas(q.Get("schemas")); err != nil {
			return r, err
		}
	}
	for _, b := range q["bucket"] {
		n, err := strconv.Atoi(b)
		if err != nil || n < 0 || n >= digest.Buckets {
			return r, kit.Errorf(kit.ErrInvalid, "", "bucket=%q: it is a number from 0 to %d", b, digest.Buckets-1)
		}
		if r.buckets == nil {
			r.buckets = map[int]bool{}
		}
		r.buckets[n] = true
	}
	return r, nil
}

func (s *service) serveSums(w http.ResponseWriter, r *http.Request) error {
	req, err := parseSums(r.URL.Query())
	if err != nil {
		return err
	}
	if err := s.lead(r.Context()); err != nil {
		return err
	}
	of, err := s.summing(req)
	if err != nil {
		return err
	}
	if req.buckets != nil {
		listed, err := of.list(req.buckets)
		if err != nil {
			return err
		}
		return door.Answer(w, listed)
	}
	sums, err := of.sums()
	if err != nil {
		return err
	}
	return door.Answer(w, sums)
}

// summing is how the documents of a side are summed up.
type summing struct {
	*service
	sumsRequest
	stream string      // on the sides copied and returned, of what was imported
	waived *quarantine // of the way that the documents came here, nil on the side own
}

func (s *service) summing(r sumsRequest) (*summing, error) {
	of := &summing{service: s, sumsRequest: r}
	if r.side == sideOwn {
		return of, nil
	}
	w := forth
	if r.side == sideReturned {
		w = wayBack
	}
	p, at, err := s.progress(w)
	if err != nil {
		return nil, err
	}
	var from kit.Position
	if at != "" {
		if from, err = kit.ParsePosition(at); err != nil {
			return nil, err
		}
	}
	of.stream = p.stream(w, from.Epoch)
	of.waived, err = s.quarantine(w, p)
	return of, err
}

// sums takes the same time for any number of documents, but for those of kinds
// that do not count.
func (s *summing) sums() (Sums, error) {
	sums := Sums{Side: s.side, Position: s.store.Position().String()}
	own := s.store.Sums(digest.Own)
	switch s.side {
	case sideOwn:
		sums.Buckets = own
	case sideOrigin:
		sums.Buckets = s.store.Sums(digest.Origin)
		for i := range own { // what was changed here counts, but adds nothing
			sums.Buckets[i].Count = own[i].Count
		}
	default:
		sums.Buckets = s.store.SumsOf(s.stream)
	}
	if err := s.leaveOut(sums.Buckets); err != nil {
		return sums, err
	}
	s.giveUp(sums.Buckets)
	for _, b := range sums.Buckets {
		sums.Documents += b.Count
	}
	return sums, nil
}

// leaveOut takes the documents away of kinds that do not count.
func (s *summing) leaveOut(sums digest.Sums) error {
	if s.schemas == nil {
		return nil
	}
	kinds, _ := s.exported()
	for kind := range kinds {
		if s.schemas[kind] > 0 {
			continue
		}
		const Page = 1000
		var from kit.Position
		for more := true; more; {
			var changes []kit.Change
			var err error
			if changes, more, err = s.store.Since(kind, from, Page); err != nil {
				return err
			}
			for _, c := range changes {
				if from = c.Position; !c.Record.Deleted {
					b := digest.BucketOf(c.Record.Link)
					sums[b] = sums[b].Change(digest.Hash(c.Record), -1)
				}
			}
		}
	}
	return nil
}

// giveUp counts waived documents as they are at the source, unless they were
// changed here since.
func (s *summing) giveUp(sums digest.Sums) {
	if s.waived == nil {
		return
	}
	for _, f := range s.waived.entries {
		here, ok := s.store.Find(f.Link)
		if f.WaivedBy == "" || here.Record.Seq != f.Here {
			continue
		}
		b := digest.BucketOf(f.Link)
		if ok && !here.Record.Deleted {
			sums[b] = sums[b].Change(s.hash(here), -1)
		}
		sums[b] = sums[b].Change(f.hash(), 1)
	}
}

// hash returns what the document counts by.
func (s *summing) hash(f frame.Frame) [16]byte {
	switch {
	case s.side == sideOrigin:
		return f.Origin.Hash
	case s.side != sideOwn && f.Origin.Stream == s.stream && f.Origin.Hash != [16]byte{}:
		return f.Origin.Hash
	}
	return digest.Hash(f.Record)
}

// listing is the documents of some buckets, by their links with what they count
// by, in hexadecimal digits.
type listing struct {
	Documents map[kit.Link]string `json:"documents"`
}

// list goes through all documents.
func (s *summing) list(buckets map[int]bool) (listing, error) {
	l := listing{Documents: map[kit.Link]string{}}
	frames, err := s.store.Snapshot().Frames(kit.Position{}, kit.Position{})
	if err != nil {
		return l, err
	}
	exported, _ := s.exported()
	for f := range frames {
		r := f.Record
		if r.Deleted || !buckets[digest.BucketOf(r.Link)] || exported[r.Kind] == 0 || s.schemas != nil && s.schemas[r.Kind] == 0 {
			continue
		}
		h := s.hash(f)
		l.Documents[r.Link] = hex.EncodeToString(h[:])
	}
	if s.waived == nil {
		return l, nil
	}
	for _, f := range s.waived.entries {
		here, _ := s.store.Find(f.Link)
		if f.WaivedBy != "" && here.Record.Seq == f.Here && buckets[digest.BucketOf(f.Link)] {
			l.Documents[f.Link] = f.Hash
		}
	}
	return l, nil
}
