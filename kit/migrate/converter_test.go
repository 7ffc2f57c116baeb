package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
)

type raw = json.RawMessage

// item is a document of schema 3; in schema 1 it had owner and amount.
type item struct {
	kit.Meta
	Holder   string `json:"holder"`
	Currency string `json:"currency"`
}

var items = kit.Define[item]("items", kit.Schema(3,
	[]kit.Transform{kit.Rename("owner", "holder"), kit.Default("currency", "EUR")},
	[]kit.Transform{kit.Drop("amount")}))

func itemKinds() *store.Kinds { return store.NewKinds(kit.Own(items, nil)) }

func TestDocumentsGoBackWithAllThatTheyWaitFor(t *testing.T) {
	c := newReverter(itemKinds(), map[string]int{"items": 1})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := kit.Record{
		Meta: kit.Meta{
			Link: "items/1", Kind: "items", Schema: 3, Version: 7, Created: at, Updated: at, Source: "orders/1",
			Pending: []kit.Op{
				{ID: "create items/2", Do: kit.OpCreate, Link: "items/2", Data: raw(`{"holder":"b","currency":"USD"}`)},
				{ID: "create others/2", Do: kit.OpCreate, Link: "others/2", Data: raw(`{"holder":"b"}`)},
				{ID: "send", Do: kit.OpSend, Link: "items/3", Event: "e", Data: raw(`{"holder":"b"}`)},
			},
		},
		Body: raw(`{"holder":"a","u":1.0,"currency":"CHF"}`), Seq: 9,
	}
	want := r
	want.Schema, want.Body = 1, raw(`{"owner":"a","u":1.0,"currency":"CHF"}`)
	want.Pending = append([]kit.Op(nil), r.Pending...)
	want.Pending[0].Data = raw(`{"owner":"b","currency":"USD"}`)
	before := fmt.Sprintf("%+v", r)
	got, err := c.reverted(r)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("it went back as\n%+v, %v, want\n%+v", got, err, want)
	}
	if after := fmt.Sprintf("%+v", r); after != before {
		t.Errorf("the document here became\n%s, it was\n%s", after, before)
	}
	keeps, err := c.keeps()
	if err != nil || !reflect.DeepEqual(keeps, map[string]transform.Keep{"items": {Fields: []string{"amount"}, Defaults: map[string]json.RawMessage{"currency": raw(`"EUR"`)}}}) {
		t.Errorf("the source keeps %+v, %v", keeps, err)
	}
}

func TestADocumentThatDoesNotGoBackNamesItsField(t *testing.T) {
	c := newReverter(itemKinds(), map[string]int{"items": 1})
	r := kit.Record{Meta: kit.Meta{Link: "items/1", Kind: "items"}, Body: raw(`{"holder":"a","owner":"b"}`)}
	var field *transform.FieldError
	if _, err := c.reverted(r); !errors.As(err, &field) || field.Field != "holder" {
		t.Errorf("error %v, want the field holder", err)
	}
	r.Body, r.Pending = raw(`{}`), []kit.Op{{ID: "create", Do: kit.OpCreate, Link: "items/2", Data: raw(`{"holder":"a","owner":"b"}`)}}
	if _, err := c.reverted(r); !errors.As(err, &field) || field.Field != "pending" || !strings.Contains(err.Error(), "items/2") {
		t.Errorf("error %v, want the operation that creates items/2", err)
	}
}

// came is the frame of a document as it comes.
func came(t testing.TB, r kit.Record) frame.Raw {
	t.Helper()
	p, err := frame.NewPiece(frame.Frame{Record: r})
	if err != nil {
		t.Fatal(err)
	}
	return frame.Raw{Type: p.Type, Bytes: p.Raw}
}

func TestTheBodiesOfABatchDoNotTouchEachOther(t *testing.T) {
	b := &batch{}
	for i := range 100 {
		body := raw(fmt.Sprintf(`{"owner":"o%d","amount":%d}`, i, i))
		if i == 50 {
			body = raw(`{"owner":1,"holder":2}`)
		}
		link := kit.Link(fmt.Sprintf("items/%d", i))
		b.frames = append(b.frames, came(t, kit.Record{Meta: kit.Meta{Link: link, Kind: "items", Schema: 1, Version: 1}, Body: body, Seq: int64(i) + 1}))
	}
	c := newConverter(itemKinds(), "s", map[string]int{"items": 1})
	c.batch(b)
	if b.err != nil || len(b.out) != 99 || len(b.failed) != 1 || b.failed[0].Link != "items/50" || b.failed[0].Field != "owner" {
		t.Fatalf("%d documents, failed %+v, %v", len(b.out), b.failed, b.err)
	}
	for i := range b.out {
		b.out[i].Record.Body = append(b.out[i].Record.Body, "more"...)
	}
	for _, o := range b.out {
		want := fmt.Sprintf(`{"holder":"o%s","currency":"EUR"}more`, o.Record.Link.ID())
		if string(o.Record.Body) != want || o.Record.Schema != 3 {
			t.Errorf("%s of schema %d became %s, want %s", o.Record.Link, o.Record.Schema, o.Record.Body, want)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	body := raw(`{"owner":"a name of some length","number":"1200","note":"","address":{"street":"Main Street 5","city":"Springfield","zip":"12345"},"tags":["new","priority"],"reference":"9f86d081884c7d65","weight":17}`)
	frames := make([]frame.Raw, 1000)
	for i := range frames {
		frames[i] = came(b, kit.Record{Meta: kit.Meta{Link: kit.NewLink("items", fmt.Sprint(i)), Kind: "items", Schema: 1, Version: 1}, Body: body, Seq: int64(i) + 1})
	}
	c := newConverter(itemKinds(), "s", map[string]int{"items": 1})
	b.ReportAllocs()
	for b.Loop() {
		x := &batch{frames: frames}
		if c.batch(x); x.err != nil || len(x.out) != len(frames) {
			b.Fatal(x.err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/document")
}
