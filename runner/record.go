package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"landfall.dev/api"
)

// phase is how far an attempt has come.
type phase int

// The phases of an attempt, in their order.
const (
	phaseFetch  phase = iota // sources, script and copies are being made
	phaseSteps               // they are at work
	phaseChoose              // they have ended; those for afterwards are chosen
	phaseLast                // these are at work
	phaseKeep                // reports, artifacts, image
)

// record is what a runner leaves about an attempt to the one that follows it if
// it is killed. It is written before each phase.
type record struct {
	Build   string    `json:"build"` // id
	Attempt int       `json:"attempt"`
	Image   string    `json:"image"`
	Begun   time.Time `json:"begun"` // the time limit counts from here
	Phase   phase     `json:"phase"`
	// Log is the size of the log when the phase began: what the task at work has
	// written comes after it.
	Log int64 `json:"log"`
	// Whole tells that all that the task at work wrote has come.
	Whole bool `json:"whole,omitempty"`
	// Answered is the number of the last step that was carried out here.
	Answered int `json:"answered,omitempty"`
	// Masked is what must not be in the log: the values of the secrets that the
	// build was given, which may have other ones since.
	Masked []string `json:"masked,omitempty"`
	// Result and Ended are how the steps have ended.
	Result api.Result `json:"result,omitempty"`
	Ended  *outcome   `json:"ended,omitempty"`
}

// outcome is an error that outlives its process.
type outcome struct {
	Text  string `json:"text"`
	Exit  int    `json:"exit,omitempty"`
	Fault bool   `json:"fault,omitempty"` // of the build: it is a *failure
}

// outcomeOf returns err as an outcome, nil if it is nil.
func outcomeOf(err error) *outcome {
	if err == nil {
		return nil
	}
	var f *failure
	if errors.As(err, &f) {
		return &outcome{Text: f.text, Exit: f.exit, Fault: true}
	}
	return &outcome{Text: err.Error()}
}

// err is the error that o was made of.
func (o *outcome) err() error {
	switch {
	case o == nil:
		return nil
	case o.Fault:
		return &failure{text: o.Text, exit: o.Exit}
	}
	return errors.New(o.Text)
}

// reach notes that a phase begins.
func (a *attempt) reach(p phase) error {
	a.record.Whole = false
	a.record.Phase, a.record.Log, a.record.Image, a.record.Masked = p, a.log.Length(), a.image, a.masked
	if err := a.space.write(a.record); err != nil {
		return fmt.Errorf("note how far the build has come: %w", err)
	}
	return nil
}

// whole notes that all that the task at work wrote has come. What is not written
// down is so for this runner at least.
func (a *attempt) whole() {
	a.record.Whole = true
	if err := a.space.write(a.record); err != nil {
		a.logger.Warn("could not note that the log is whole", "err", err)
	}
}

func (w workspace) record() string { return filepath.Join(w.dir, "attempt.json") }

// write replaces the record in one step.
func (w workspace) write(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	next := w.record() + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, w.record())
}

// read returns the record of the workspace.
func (w workspace) read() (record, error) {
	var r record
	data, err := os.ReadFile(w.record())
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}
