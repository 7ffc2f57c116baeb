package job

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func TestABuildOfASilentRunnerIsLeasedToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		h.define("c1", "true", "gate")
		b := h.send(h.build("gate", queued), "lease", api.LeaseArgs{Runner: "r1"})
		began := b.Started
		time.Sleep(Lease - time.Second)
		b = h.send(b, "heartbeat", api.HeartbeatArgs{Attempt: 1, Engine: "near"})
		if b.Engine != "near" {
			t.Errorf("after a heartbeat from near the build is on %q", b.Engine)
		}
		b = h.await(b.Link.ID(), queued)
		if silent := time.Since(began); silent < 2*Lease-time.Second || silent > 2*Lease+time.Second {
			t.Errorf("the lease ended after %s, want %s after the heartbeat", silent, Lease)
		}
		b = h.send(b, "lease", api.LeaseArgs{Runner: "r2"})
		if b.Engine != "" {
			t.Errorf("leased anew it is still on %q", b.Engine)
		}
		_, err := api.Builds.Send(t.Context(), h.admin, b.Link.ID(), "finish", api.FinishArgs{Attempt: 1, State: api.BuildPassed})
		if !errors.Is(err, kit.ErrConflict) || b.Attempt != 2 || b.Runner != "r2" {
			t.Errorf("the first runner ends %+v: %v, want a refusal", b, err)
		}
		h.send(b, "finish", api.FinishArgs{Attempt: 2, State: api.BuildFailed})
		h.await(b.Link.ID(), func(b api.Build) bool { return b.State == api.BuildFailed && b.LogDigest != "" })
	})
}
