package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"landfall.dev/api"
)

// pythonNote asks the service of examples/notes behind the front door.
func (s *site) pythonNote(method, id, body string) (note map[string]any, err error) {
	req, err := http.NewRequest(method, "http://"+s.front+"/notes/"+id, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, text)
	}
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	return note, err
}

// writesNotes changes notes over and over until the returned function is called,
// which returns by id the number of the last change that was acknowledged, and
// the version that it was told. A write that fails fails t. What it sends both
// versions take.
func (s *site) writesNotes() (end func() map[string][2]int) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var g sync.WaitGroup
	var mu sync.Mutex
	written := map[string][2]int{}
	for w := range 4 {
		g.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("w%d-%d", w, n%50)
				text := fmt.Sprint("change ", n)
				note, err := s.pythonNote("PUT", id, fmt.Sprintf(`{"text": %q, "title": %q, "body": "", "n": %d}`, text, text, n))
				if err != nil {
					s.t.Errorf("a write failed: %v", err)
					return
				}
				mu.Lock()
				written[id] = [2]int{n, int(note["version"].(float64))}
				mu.Unlock()
			}
		})
	}
	return func() map[string][2]int {
		cancel()
		g.Wait()
		return written
	}
}

// keeps compares the notes behind the front door with what was acknowledged.
func (s *site) keeps(written map[string][2]int) {
	s.t.Helper()
	for id, want := range written {
		note, err := s.pythonNote("GET", id, "")
		if err != nil {
			s.t.Errorf("a note that was acknowledged: %v", err)
			continue
		}
		if got := [2]int{int(note["n"].(float64)), int(note["version"].(float64))}; got != want {
			s.t.Errorf("%s has change and version %v, want %v", id, got, want)
		}
	}
}

func TestAServiceThatIsNotMadeOfKitIsUpgradedLiveAndBack(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(imageOf(t, "notes", "v1")))
	h.passes("first")
	if _, err := s.pythonNote("PUT", "old", `{"text": "Title\nbody"}`); err != nil {
		t.Fatal(err)
	}

	end := s.writesNotes()
	h.deploy("second", h.push(imageOf(t, "notes", "v2")))
	second := h.passes("second")
	written := end()
	u, err := api.Upgrades.Read(t.Context(), h.Admin(), second.Upgrade.ID())
	if err != nil || u.Stateless || len(u.OneWay) > 0 || u.Verified == nil || u.Verified.Different != 0 {
		t.Fatalf("the upgrade is %+v, %v; want it verified, with a way back", u, err)
	}
	t.Logf("%d notes, cycles %d, pause %v", len(written), len(u.Cycles), u.Pause.Std())
	s.keeps(written)
	if old, err := s.pythonNote("GET", "old", ""); err != nil || old["title"] != "Title" || old["body"] != "body" {
		t.Errorf("the note is %v, %v; want it in version 2", old, err)
	}

	end = s.writesNotes()
	err = s.goesBack(second)
	written = end()
	if err != nil {
		t.Fatal(err)
	}
	s.keeps(written)
	if old, err := s.pythonNote("GET", "old", ""); err != nil || old["text"] != "Title\nbody" {
		t.Errorf("the note is %v, %v; want it in version 1", old, err)
	}
}

func TestANoteThatCannotBeTransformedStopsTheUpgradeBeforeTheHold(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(imageOf(t, "notes", "v1")))
	h.passes("first")
	if _, err := s.pythonNote("PUT", "bad", `{"text": ""}`); err != nil {
		t.Fatal(err)
	}
	h.deploy("second", h.push(imageOf(t, "notes", "v2")))
	second := h.await("second", ended)
	if second.State != api.DeploymentFailed || !strings.Contains(second.Error, "notes/bad: text:") {
		t.Errorf("the deployment is %s, %q; want it failed, naming notes/bad and its field", second.State, second.Error)
	}
	if _, err := s.pythonNote("PUT", "bad", `{"text": "blue goes on"}`); err != nil {
		t.Error(err)
	}
	u, err := api.Upgrades.Read(t.Context(), h.Admin(), second.Upgrade.ID())
	if err != nil || u.State != api.UpgradeAborted || u.Attempts != 0 {
		t.Errorf("the upgrade is %s with %d attempts, %v; want it aborted before any", u.State, u.Attempts, err)
	}
	s.nothingLeft("program-1")
}
