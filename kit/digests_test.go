package kit_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
)

type scan struct {
	Parts    []*scan     `json:"parts,omitempty"`
	Original kit.Digest  `json:"original"`
	Preview  *kit.Digest `json:"preview,omitempty"`
}

type stamped struct{ Seal kit.Digest }

// opaque reads its JSON by itself.
type opaque struct{ Inside kit.Digest }

func (o *opaque) UnmarshalText([]byte) error { return nil }

type dossier struct {
	kit.Meta
	stamped
	Cover  kit.Digest            `json:"cover,omitempty"`
	Pages  [2][]scan             `json:"pages,omitempty"`
	Named  map[string]kit.Digest `json:"named,omitempty"`
	Sizes  map[kit.Digest]int    `json:"sizes,omitempty"`
	Hidden kit.Digest            `json:"-"`
	Opaque opaque                `json:"opaque"`
	Text   string                `json:"text"`
	When   time.Time             `json:"when"`
	Raw    json.RawMessage       `json:"raw,omitempty"`
}

func TestDigestsThatADocumentNames(t *testing.T) {
	dossiers := kit.Define[dossier]("dossiers")
	a, b := kit.DigestOf([]byte("a")), kit.DigestOf([]byte("b"))
	escaped := strings.Replace(string(a), "sha", `\u0073ha`, 1)
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"nothing", `{}`, nil},
		{"a field", `{"cover":"A"}`, []string{"cover=A"}},
		{"a field that is null", `{"cover":null,"pages":null}`, nil},
		{"a field of an embedded struct", `{"Seal":"A"}`, []string{"Seal=A"}},
		{"another case", `{"COVER":"A"}`, []string{"COVER=A"}},
		{"lists in lists", `{"pages":[[{"original":"A"}],[{"original":"x","preview":"B"}]]}`, []string{"pages[0][0].original=A", "pages[1][0].preview=B"}},
		{"a struct that contains itself", `{"pages":[[{"parts":[{"parts":[{"original":"B"}]}]}]]}`, []string{"pages[0][0].parts[0].parts[0].original=B"}},
		{"values of a map", `{"named":{"x":"A","y":"B"}}`, []string{"named.x=A", "named.y=B"}},
		{"keys of a map", `{"sizes":{"A":1}}`, []string{"sizes.A=A"}},
		{"no digest", `{"cover":"sha256:12","named":{"x":7}}`, nil},
		{"other types", `{"text":"A","raw":{"cover":"A"},"Hidden":"A","opaque":"A","unknown":"A"}`, nil},
		{"escaped", `{"cover":"` + escaped + `"}`, []string{"cover=A"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fill := strings.NewReplacer(`"A"`, `"`+string(a)+`"`, `"B"`, `"`+string(b)+`"`)
			var got []string
			for _, n := range dossiers.Digests(json.RawMessage(fill.Replace(c.body))) {
				short := strings.NewReplacer(string(a), "A", string(b), "B")
				got = append(got, short.Replace(fmt.Sprintf("%s=%s", n.Field, n.Digest)))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s names %q, want %q", c.body, got, c.want)
			}
		})
	}
	type plain struct {
		kit.Meta
		Text string
		Next []*plain
	}
	if !dossiers.NamesDigests() || kit.Define[plain]("plains").NamesDigests() {
		t.Error("a kind names digests only if its struct has some")
	}
}
