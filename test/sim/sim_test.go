package sim

import (
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/upgrade"
)

var update = flag.Bool("update", false, "write what is decided into the traces")

// trace is a file in testdata.
type trace struct {
	About   string          `json:"about"`
	Upgrade json.RawMessage `json:"upgrade"` // as it is created
	Steps   []step          `json:"steps"`
}

// step is an event, and what was decided on it.
type step struct {
	After string          `json:"after,omitempty"`
	Event string          `json:"event"`
	By    string          `json:"by,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
	decision
}

type decision struct {
	State api.UpgradeState `json:"state,omitempty"`
	Text  string           `json:"text,omitempty"`
	Ops   []string         `json:"ops,omitempty"`
	// Predicts is the pause in seconds that the cycle that has ended predicts.
	Predicts api.Duration   `json:"predicts,omitempty"`
	Fields   map[string]any `json:"fields,omitempty"`
	Refused  string         `json:"refused,omitempty"`
}

// told are the fields that a trace tells when they change.
var told = []string{"epoch", "attempts", "predicted", "pause", "slowed", "error", "oneWay", "final", "base", "back", "rehearsal", "health", "paused"}

func TestTracesAreAsTheyWere(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no traces: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want trace
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			got := replay(t, want)
			if *update {
				out, err := json.MarshalIndent(got, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for i, s := range got.Steps {
				if !reflect.DeepEqual(normal(t, s), normal(t, want.Steps[i])) {
					t.Errorf("%s, step %d, %s: decided\n%s\nwant\n%s", file, i+1, s.Event, indent(s.decision), indent(want.Steps[i].decision))
				}
			}
		})
	}
}

// normal returns v as JSON has it.
func normal(t *testing.T, v any) (n any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func indent(v any) []byte {
	b, _ := json.MarshalIndent(v, "", "  ")
	return b
}

// replay returns the trace with what is decided now.
func replay(t *testing.T, in trace) trace {
	t.Helper()
	life := upgrade.Service(nil, nil, nil, nil, nil, slog.New(slog.DiscardHandler)).Owns[0]
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := kit.Record{Meta: kit.Meta{Link: "upgrades/1", Kind: "upgrades", Schema: 1, Version: 1, Created: now}, Body: in.Upgrade}
	out := in
	out.Steps = nil
	for _, s := range in.Steps {
		if s.After != "" {
			d, err := time.ParseDuration(s.After)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(d)
		}
		before := normal(t, r.Body).(map[string]any)
		body, ops, err := life.Step(r, kit.Event{Name: s.Event, By: s.By, Data: s.Data}, now)
		s.decision = decision{}
		if err != nil {
			var e *kit.Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			s.Refused = e.Detail
			out.Steps = append(out.Steps, s)
			continue
		}
		r.Body, r.Version, r.Updated = body, r.Version+1, now
		u, err := api.Upgrades.Decode(r)
		if err != nil {
			t.Fatal(err)
		}
		s.decision = decided(u, ops, now, before, normal(t, body).(map[string]any))
		out.Steps = append(out.Steps, s)
	}
	return out
}

// decided tells what has become of an upgrade.
func decided(u api.Upgrade, ops []kit.Op, now time.Time, before, after map[string]any) decision {
	d := decision{State: u.State}
	if m := u.History[len(u.History)-1]; m.At.Equal(now) {
		d.Text = m.Text
	}
	for _, op := range ops {
		text := op.ID
		if op.Do == kit.OpCancel {
			text = "not " + text
		}
		if op.At.After(now) {
			text += " in " + op.At.Sub(now).String()
		}
		d.Ops = append(d.Ops, text)
	}
	for _, name := range told {
		if !reflect.DeepEqual(before[name], after[name]) {
			if d.Fields == nil {
				d.Fields = map[string]any{}
			}
			d.Fields[name] = after[name]
		}
	}
	if n := len(u.Cycles); n > 0 && grown(before, after) {
		d.Predicts = u.Cycles[n-1].Predicted
	}
	return d
}

// grown tells whether a cycle has ended.
func grown(before, after map[string]any) bool {
	b, _ := before["cycles"].([]any)
	a, _ := after["cycles"].([]any)
	return len(a) > len(b)
}
