package field

import (
	"encoding/json"
	"math/big"
	"reflect"
	"testing"
	"time"

	"landfall.dev/kit"
)

// manyFields has a field of each kind that documents may have.
type manyFields struct {
	kit.Meta
	Text   string             `json:"text"`
	Count  int8               `json:"count"`
	Size   uint16             `json:"size"`
	Share  float32            `json:"share"`
	On     *bool              `json:"on"`
	At     time.Time          `json:"at"`
	List   []map[string]int   `json:"list"`
	Bytes  []byte             `json:"bytes"`
	Any    any                `json:"any"`
	Raw    json.RawMessage    `json:"raw"`
	Big    *big.Int           `json:"big"`
	Number json.Number        `json:"number"`
	Quoted int                `json:"quoted,string"`
	Inner  struct{ City int } `json:"inner"`
	Self   *manyFields        `json:"self"`
	Pair   [2]int             `json:"pair"`
}

// order is a kind as most are.
type order struct {
	kit.Meta
	Title  string            `json:"title,omitempty"`
	Amount int               `json:"amount,omitempty"`
	Rush   bool              `json:"rush,omitempty"`
	Tags   []string          `json:"tags,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Due    time.Time         `json:"due,omitzero"`
	Buyer  *struct {
		Name string `json:"name"`
	} `json:"buyer,omitempty"`
}

// FuzzFits checks that what is taken without decoding it can be decoded.
func FuzzFits(f *testing.F) {
	for _, s := range []string{
		`{}`, ` {"text" : "x" , "count":-128, "size":65535,"share":1e3,"on":null,"at":"2026-01-01T00:00:00Z"} `,
		`{"list":[ {"a":1} , {} , null],"bytes":"aGk=","any":[1,{"x":2}],"raw":{"y":[]},"big":12345678901234567890,"number":1.5}`,
		`{"quoted":"7","inner":{"City":3},"self":{"text":"y","self":{}},"pair":[1,2,3],"pending":[{"id":"a","at":"2026-01-01T00:00:00Z"}]}`,
		`{"count":128}`, `{"count":1.0}`, `{"inner":{"city":3}}`, `{"inner":{"city":"x"}}`, `{"Text":5}`, `{"te\u0078t":5}`, `{"share":1e99}`,
	} {
		f.Add([]byte(s))
	}
	plain := NewMould(reflect.TypeFor[order]())
	all := NewMould(reflect.TypeFor[manyFields]())
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		for _, m := range []*Mould{plain, all} {
			if err := json.Unmarshal(body, reflect.New(m.of).Interface()); err != nil && m.take(trimSpace(body)) {
				t.Fatalf("%q fits %s, but: %v", body, m.of, err)
			}
		}
	})
}

func TestMostDocumentsFitAtOnce(t *testing.T) {
	m := NewMould(reflect.TypeFor[order]())
	for body, want := range map[string]bool{
		`{}`: true,
		`{"title":"Ink","amount":5,"rush":true,"tags":["blue", "red" ],"due":"2026-03-01T00:00:00Z","buyer":{"name":"Ada"},"more":[1]}`: true,
		`{"labels":{"a":"b"},"tags":[],"buyer":null,"due":null}`:                                                                        true,
		`{"amount":"5"}`: false,
		`{"Amount":5}`:   false,
		`{"tags":[1]}`:   false,
		`{"due":"soon"}`: false,
		`[]`:             false,
	} {
		if got := m.take([]byte(body)); got != want {
			t.Errorf("%s: fits at once is %t, want %t", body, got, want)
		}
	}
}
