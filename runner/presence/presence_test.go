package presence

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine/fleet"
	"landfall.dev/engine/process"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// engines are as a test says.
type engines struct {
	mu  sync.Mutex
	all []fleet.Health
}

func (e *engines) Health() []fleet.Health {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]fleet.Health(nil), e.all...)
}

func (e *engines) set(h fleet.Health) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h.Member = fleet.Member{Name: "far", Engine: new(process.Engine), Slots: 2, Labels: []string{"big"}}
	e.all = []fleet.Health{h}
}

// next takes every report.
func next(r api.Runner, e kit.Event, now time.Time) (api.Runner, []kit.Op) {
	r.Reported = now
	if err := e.Into(&r.RunnerReport); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	return r, nil
}

func TestWhatChangesIsReportedSoonAndAllOfItNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := kittest.Start(t, kit.Service{Name: "job", Owns: []kit.Owned{kit.Own(api.Runners, next, "report")}})
		e := new(engines)
		e.set(fleet.Health{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		r := Reporter{Name: "r1", Client: h.Admin(), Engines: e, Dir: t.TempDir(), Logger: kittest.Log(t, slog.LevelWarn)}
		go func() { ended <- r.Run(ctx) }()
		reported := func(after time.Duration) api.Runner {
			t.Helper()
			time.Sleep(after) // in the bubble's time
			synctest.Wait()
			doc, err := api.Runners.Read(t.Context(), h.Admin(), "r1")
			if err != nil {
				t.Fatal(err)
			}
			return doc
		}
		first := reported(0)
		if x := first.Engines[0]; x.Health != api.EngineAnswers || x.Slots != 2 || x.Labels[0] != "big" || first.DiskFree == 0 {
			t.Errorf("at the beginning: got %+v", first)
		}
		if again := reported(lookEvery); again.Version != first.Version {
			t.Errorf("nothing has changed, but it was reported: %+v", again)
		}
		began := time.Now().UTC()
		e.set(fleet.Health{Used: 1, Suspect: true, Since: began, Err: errors.New("no route to host")})
		if x := reported(lookEvery).Engines[0]; x.Health != api.EngineSuspect || x.Used != 1 || !x.Since.Equal(began) || x.Error != "no route to host" {
			t.Errorf("an engine that does not answer: got %+v", x)
		}
		e.set(fleet.Health{Used: 1, Suspect: true, Lost: true, Since: began, Err: errors.New("no route to host")})
		changed := reported(lookEvery)
		if changed.Engines[0].Health != api.EngineLost {
			t.Errorf("an engine that is lost: got %+v", changed.Engines[0])
		}
		if later := reported(reportEvery + lookEvery); later.Version == changed.Version {
			t.Error("nothing was reported for too long")
		}
		stop()
		<-ended
	})
}
