package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// crossed are the states of an upgrade without trouble.
const crossed = "planned provision copying ready holding fenced final verified committed released soak"

func TestUpgradeGoesInItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := start(t, w, nil)
		r.create(wanted())
		u := r.await(api.UpgradeSoak)
		want := []string{
			"stateless blue", "start green in standby", "stateless green", "irreversible", "cycle", "cycle",
			"cycle", "hold", "fence blue 11", "position blue", "final cycle", "verify", "position green",
			"lift green 11", "open green 11",
		}
		if got := w.made(); !slices.Equal(got[:min(len(got), len(want))], want) {
			t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := states(u); got != crossed {
			t.Errorf("states %s\nwant   %s", got, crossed)
		}
		w.serving("green")
		if !w.fences["blue"].on || !w.groups["blue"] {
			t.Errorf("in soak blue runs %t, fence %+v, want it kept and fenced", w.groups["blue"], w.fences["blue"])
		}
		if u.Final != "3.500" || u.Base != "3.700" || u.Verified == nil || u.Attempts != 1 || u.Epoch != 11 {
			t.Errorf("final %s, base %s, verified %v, attempts %d, epoch %d", u.Final, u.Base, u.Verified, u.Attempts, u.Epoch)
		}
		if p := u.Pause.Std(); p < 15*time.Millisecond || p > 100*time.Millisecond {
			t.Errorf("pause %v, want what the calls within the hold took", p)
		}
		if n := len(u.Cycles); n != 4 || !u.Cycles[3].Final || u.Cycles[3].Number != 4 || u.Predicted == 0 {
			t.Errorf("cycles %+v, predicted %v, want three and the final one", u.Cycles, u.Predicted)
		}
	})
}

func TestFirstDeploymentAndStatelessPlatformsAreNotCopied(t *testing.T) {
	for _, test := range []struct {
		name  string
		alter func(*api.Upgrade, *world)
		calls []string
	}{
		{"the first deployment", func(u *api.Upgrade, w *world) {
			u.Blue, w.to, w.fences, w.groups = api.Side{}, "", map[string]fence{}, map[string]bool{}
		}, []string{"start green", "open green 10"}},
		{"no documents", func(_ *api.Upgrade, w *world) { w.stateless["blue"], w.stateless["green"] = true, true },
			[]string{"stateless blue", "start green", "hold", "open green 11"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, u := newWorld(t), wanted()
				test.alter(&u, w)
				r := start(t, w, nil)
				r.create(u)
				r.await(api.UpgradeSoak)
				if got := w.made(); !slices.Equal(got, test.calls) {
					t.Errorf("calls %q, want %q", got, test.calls)
				}
				w.serving("green")
			})
		})
	}
}

func TestGreenMustKeepDocumentsIfBlueDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.stateless["green"] = true
		r := start(t, w, nil)
		r.create(wanted())
		if u := r.await(api.UpgradeAborted); !strings.Contains(u.Error, "would be lost") {
			t.Errorf("error %q", u.Error)
		}
		w.serving("blue")
	})
}

// nth makes a hook that does f at the nth call of all.
func nth(n int, f func(ctx context.Context) error) func(context.Context, string) error {
	var mu sync.Mutex
	return func(ctx context.Context, _ string) error {
		mu.Lock()
		n--
		now := n == 0
		mu.Unlock()
		if !now {
			return nil
		}
		return f(ctx)
	}
}

// hang tells that it was reached and blocks until ctx ends, as a process that
// is killed here does.
func hang(inside chan<- struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		close(inside)
		<-ctx.Done()
		return context.Cause(ctx)
	}
}

// callsOfOne is how many calls an upgrade without trouble makes.
const callsOfOne = 15

func TestResumesAfterACrashAtEachCall(t *testing.T) {
	for n := 1; n <= callsOfOne; n++ {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("call %d, done %t", n, done), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, inside := newWorld(t), make(chan struct{})
					hook := nth(n, hang(inside))
					if done {
						w.after = hook
					} else {
						w.before = hook
					}
					r := start(t, w, nil)
					r.create(wanted())
					<-inside
					r.stop()
					w.mu.Lock()
					w.holding = false // the gate died too, or was left open
					w.mu.Unlock()
					r.run()
					r.await(api.UpgradeSoak)
					w.serving("green")
				})
			})
		}
	}
}

// slowClient hangs at the nth event that the service sends to an upgrade.
type slowClient struct {
	kit.Client
	before, after func(context.Context, string) error
}

func (c *slowClient) Do(ctx context.Context, l kit.Link, method string, args []byte, o ...kit.WriteOption) (kit.Record, error) {
	if c.before != nil {
		if err := c.before(ctx, method); err != nil {
			return kit.Record{}, err
		}
	}
	r, err := c.Client.Do(ctx, l, method, args, o...)
	if err == nil && c.after != nil {
		err = c.after(ctx, method)
	}
	return r, err
}

func TestResumesAfterACrashAroundEachStateThatIsWritten(t *testing.T) {
	written := []string{"holding", "fenced", "final", "verified", "committed", "released"}
	for n, state := range written {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, written %t", state, done), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, inside := newWorld(t), make(chan struct{})
					r := start(t, w, func(c kit.Client) kit.Client {
						if done {
							return &slowClient{Client: c, after: nth(n+1, hang(inside))}
						}
						return &slowClient{Client: c, before: nth(n+1, hang(inside))}
					})
					r.create(wanted())
					<-inside
					r.stop()
					committed := state == "released" || state == "committed" && done
					r.run()
					u := r.await(api.UpgradeSoak)
					w.serving("green")
					attempts := 2
					if committed || state == "holding" && !done {
						attempts = 1
					}
					if u.Attempts != attempts {
						t.Errorf("%d attempts, want %d: %s", u.Attempts, attempts, states(u))
					}
					if u.Pause <= 0 {
						t.Errorf("pause %v, want one", u.Pause)
					}
				})
			})
		}
	}
}

func TestFailureOfEachCallOnceIsOvercome(t *testing.T) {
	for n := 1; n <= callsOfOne; n++ {
		t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.after = nth(n, func(context.Context) error { return errors.New("the network is down") })
				r := start(t, w, nil)
				r.create(wanted())
				r.await(api.UpgradeSoak)
				w.serving("green")
			})
		})
	}
}

func TestFailureThatLastsBeforeTheCommitEndsWithBlue(t *testing.T) {
	for _, call := range []string{
		"start green in standby", "stateless blue", "cycle", "hold", "fence blue",
		"position blue", "final cycle", "verify", "position green",
	} {
		for _, way := range []string{"fails", "hangs"} {
			within := !slices.Contains([]string{"start green in standby", "stateless blue", "cycle"}, call)
			if way == "hangs" && !within {
				continue // it ends when somebody aborts
			}
			t.Run(call+" "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.before = func(ctx context.Context, c string) error {
						if !strings.HasPrefix(c, call) {
							return nil
						}
						if way == "hangs" {
							<-ctx.Done()
							return context.Cause(ctx)
						}
						return errors.New("the network is down")
					}
					r := start(t, w, nil)
					r.create(wanted())
					u := r.await(api.UpgradeAborted)
					w.serving("blue")
					if w.groups["green"] {
						t.Error("green still runs")
					}
					want := maxAttempts
					if slices.Contains([]string{"hold", "fence blue", "position blue"}, call) {
						want = maxHolds
					}
					if within && u.Attempts != want {
						t.Errorf("%d attempts, want %d", u.Attempts, want)
					}
					reason := map[string]string{"fails": "the network is down", "hangs": errOverrun.Error()}[way]
					if !strings.Contains(u.Error, reason) {
						t.Errorf("error %q, want %q in it", u.Error, reason)
					}
				})
			})
		}
	}
}

func TestADoorThatIsSilentForAWhileIsWaitedFor(t *testing.T) {
	for _, stateless := range []bool{false, true} {
		t.Run(fmt.Sprintf("stateless %t", stateless), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.stateless["blue"], w.stateless["green"] = stateless, stateless
				if stateless {
					w.written = map[string]int64{}
				}
				var first time.Time
				var cycles int
				var holds []time.Duration
				w.before = func(_ context.Context, call string) error {
					if call != "hold" {
						return nil
					}
					if first.IsZero() {
						first, cycles = time.Now(), w.count("cycle")
					}
					holds = append(holds, time.Since(first))
					if time.Since(first) < time.Minute {
						return errors.New("the door is silent")
					}
					return nil
				}
				r := start(t, w, nil)
				r.create(wanted())
				u := r.await(api.UpgradeSoak)
				w.serving("green")
				if u.Attempts != len(holds) || len(holds) != 7 {
					t.Errorf("%d attempts after %v, want 7", u.Attempts, holds)
				}
				for i := 1; i < len(holds); i++ {
					if d, least := holds[i]-holds[i-1], firstAside<<(i-1); d < min(least, longestAside) || d > least+aside {
						t.Errorf("attempt %d began %v after the one before, want %v", i+1, d, least)
					}
				}
				if n := w.count("cycle") - cycles; !stateless && n < int(holds[6]/aside) {
					t.Errorf("%d cycles in %v, want one at least every %v", n, holds[6], aside)
				}
			})
		})
	}
}

func TestOverrunIsBoundedAndTriedAgainAfterAnotherCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var held []time.Duration
		var began time.Time
		w.before = func(ctx context.Context, call string) error {
			switch {
			case call == "hold":
				began = time.Now()
			case call == "verify" && len(held) < 2:
				<-ctx.Done()
				held = append(held, time.Since(began))
				return context.Cause(ctx)
			}
			return nil
		}
		r := start(t, w, nil)
		r.create(wanted())
		u := r.await(api.UpgradeSoak)
		for _, d := range held {
			if d < leastLimit-10*time.Millisecond || d > leastLimit {
				t.Errorf("held for %v, want %v", d, leastLimit)
			}
		}
		w.serving("green")
		if u.Attempts != 3 || u.Error != "" {
			t.Errorf("%d attempts, error %q, want 3 and none", u.Attempts, u.Error)
		}
		around := "holding fenced final reopening copying ready holding"
		if !strings.Contains(states(u), around) {
			t.Errorf("states %s, want %s among them", states(u), around)
		}
		calls := strings.Join(w.made(), ", ")
		if want := "lift blue 12, open blue 12, cycle"; !strings.Contains(calls, want) {
			t.Errorf("calls %s, want %s among them", calls, want)
		}
	})
}

func TestCopyingThatDoesNotConvergeIsGivenUpWithoutAHold(t *testing.T) {
	for _, test := range []struct {
		name   string
		copied Copied
	}{
		{"the lag stays too large", Copied{Documents: 1000, Left: 1000, Took: time.Second}},
		{"too much is copied", Copied{Documents: 200_000, Left: 200_000, Took: 100 * time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.cycles = func(bool) Copied { return test.copied }
				r := start(t, w, nil)
				r.create(wanted())
				u := r.await(api.UpgradeAborted)
				for _, part := range []string{"does not converge", "writes/s against", "docs/s"} {
					if !strings.Contains(u.Error, part) {
						t.Errorf("error %q, want %q in it", u.Error, part)
					}
				}
				if w.count("hold") != 0 {
					t.Error("traffic was held")
				}
				w.serving("blue")
			})
		})
	}
}

func TestDocumentsThatCannotBeTransformedEndTheUpgrade(t *testing.T) {
	failed := []string{"accounts/1", "accounts/2", "accounts/3", "accounts/4", "accounts/5", "accounts/6"}
	for _, test := range []struct {
		name string
		in   int // the cycle
		held bool
	}{
		{"in the first cycle", 1, false},
		{"right before the hold", 3, false},
		{"in the final cycle", 4, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				n := 0
				w.cycles = func(bool) Copied {
					c := Copied{Documents: 100, Took: time.Millisecond}
					if n++; n == test.in {
						c.Failed = failed
					}
					return c
				}
				r := start(t, w, nil)
				r.create(wanted())
				u := r.await(api.UpgradeAborted)
				want := "6 documents could not be transformed: accounts/1, accounts/2, accounts/3, accounts/4, accounts/5 and 1 more"
				if u.Error != want {
					t.Errorf("error %q, want %q", u.Error, want)
				}
				if held := w.count("hold") > 0; held != test.held {
					t.Errorf("held %t, want %t", held, test.held)
				}
				w.serving("blue")
			})
		})
	}
}

func TestSidesThatDifferAreNotSwitched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.different = 2
		r := start(t, w, nil)
		r.create(wanted())
		u := r.await(api.UpgradeAborted)
		if want := "the sides differ in 2 of 4096 buckets"; u.Error != want || strings.Contains(states(u), "committed") {
			t.Errorf("error %q, states %s, want %q and no commit", u.Error, states(u), want)
		}
		if u.Attempts != 1 || w.count("open green") != 0 {
			t.Errorf("%d attempts, calls %q, want one and no way to green", u.Attempts, w.made())
		}
		w.serving("blue")
	})
}

func TestLagThatHasGrownSinceReadyIsCopiedBeforeTheHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := 0
		w.cycles = func(bool) Copied {
			c := Copied{Documents: 1000, Took: 10 * time.Millisecond}
			if n++; n == 3 {
				c.Left = 1_000_000 // right before the hold
			}
			return c
		}
		r := start(t, w, nil)
		r.create(wanted())
		u := r.await(api.UpgradeSoak)
		if want := strings.Replace(crossed, "ready", "ready copying ready", 1); states(u) != want {
			t.Errorf("states %s, want %s", states(u), want)
		}
		if w.count("hold") != 1 {
			t.Errorf("held %d times, want once", w.count("hold"))
		}
	})
}

func TestAbortEndsWithBlueAtAnyTimeBeforeTheCommit(t *testing.T) {
	for n := 1; n <= callsOfOne-2; n++ {
		t.Run(fmt.Sprintf("during call %d", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var r *rig
				w.before = nth(n, func(ctx context.Context) error {
					if err := r.send("abort", nil); err != nil {
						t.Errorf("abort: %v", err)
					}
					select {
					case <-ctx.Done(): // a long action notices
						return context.Cause(ctx)
					case <-time.After(100 * time.Millisecond):
						return nil
					}
				})
				r = start(t, w, nil)
				r.create(wanted())
				u := r.await(api.UpgradeAborted)
				if u.Error != "aborted by users/admin" || strings.Contains(states(u), "committed") {
					t.Errorf("error %q, states %s", u.Error, states(u))
				}
				w.serving("blue")
				if w.groups["green"] {
					t.Error("green still runs")
				}
			})
		})
	}
}

func TestAbortIsRefusedAfterTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := start(t, w, nil)
		r.create(wanted())
		r.await(api.UpgradeSoak)
		if err := r.send("abort", nil); !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), "rolled back") {
			t.Errorf("abort in soak: %v, want a conflict that names the rollback", err)
		}
		w.serving("green")
	})
}

func TestStaleEpochNeverMovesTraffic(t *testing.T) {
	t.Run("another upgrade has a higher one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := start(t, w, nil)
			r.create(wanted())
			r.await(api.UpgradeSoak)
			old := wanted()
			old.Green.Group = "other"
			if _, err := api.Upgrades.Create(t.Context(), r.Admin(), "2", old); err != nil {
				t.Fatal(err)
			}
			u, err := api.Upgrades.Await(t.Context(), r.Admin(), "2", func(u api.Upgrade) bool { return u.State == api.UpgradeAborted })
			if err != nil || !strings.Contains(u.Error, "upgrades/1") {
				t.Errorf("error %q, %v, want upgrades/1 named", u.Error, err)
			}
			w.serving("green")
		})
	})
	t.Run("blue has seen a higher one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.fences["blue"] = fence{50, false}
			r := start(t, w, nil)
			r.create(wanted())
			u := r.await(api.UpgradeAborted)
			if !strings.Contains(u.Error, "older than 50") {
				t.Errorf("error %q", u.Error)
			}
			w.serving("blue")
		})
	})
}

func TestLongCycleTellsHowFarItHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var cycles int
		w.cycles = func(bool) Copied {
			cycles++
			c := Copied{Documents: 1000, Took: 10 * time.Millisecond}
			if cycles == 1 {
				c.Took = 90 * time.Second
			}
			return c
		}
		r := start(t, w, nil)
		r.create(wanted())
		time.Sleep(45 * time.Second)
		synctest.Wait()
		during, err := api.Upgrades.Read(t.Context(), r.Admin(), "1")
		if err != nil {
			t.Fatal(err)
		}
		if during.Copying == nil || *during.Copying != (api.Copying{Documents: 400, Of: 1000}) {
			t.Errorf("in the middle of a cycle it has come to %+v, want 400 of 1000", during.Copying)
		}
		if u := r.await(api.UpgradeSoak); u.Copying != nil {
			t.Errorf("after the cycles it still copies: %+v", u.Copying)
		}
	})
}
