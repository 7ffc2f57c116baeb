package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tokenVariable is in the environment of every process that the engine
// starts, and by inheritance of its descendants.
const tokenVariable = "LANDFALL_PROCESS"

const (
	pollEvery = 10 * time.Millisecond // a process that is not our child can only be polled
	killWait  = 10 * time.Second      // for the kernel to end what got SIGKILL
)

// mark is how a process that leads its own session is known again, also
// after its engine has died, and never confused with another that got its
// number later. It is recorded twice: with the token alone before the process
// is started, and in full afterwards. So if the engine dies in between, the
// process is found by its token.
type mark struct {
	Token string // unique, in the process's environment
	PID   int    // 0 if it is not known that the process has been started
	Start uint64 // clock ticks from boot to its start (proc_pid_stat(5), field 22)
	Boot  string // id of the boot that Start is relative to
}

func newMark() mark { return mark{Token: rand.Text()} }

// variable is the entry for the environment of the marked process.
func (m mark) variable() string { return tokenVariable + "=" + m.Token }

// start starts cmd as the leader of a session of its own and returns m with
// the process filled in.
func (m mark) start(cmd *exec.Cmd) (mark, error) {
	cmd.Env = append(cmd.Env, m.variable())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	boot, err := bootID()
	if err != nil {
		return m, err
	}
	if err := cmd.Start(); err != nil {
		return m, err
	}
	m.PID, m.Boot = cmd.Process.Pid, boot
	// Until Wait is called, the process is there, if only as a zombie.
	s, err := readStat(m.PID)
	m.Start = s.start
	return m, err
}

// alive reports whether the marked process runs. A zombie does not.
func (m mark) alive() bool {
	if m.PID == 0 {
		return false
	}
	s, err := readStat(m.PID)
	if err != nil || s.dead || s.start != m.Start {
		return false
	}
	boot, err := bootID()
	return err == nil && boot == m.Boot
}

// find fills in the process of a mark that was recorded before its start, if
// it is there.
func (m mark) find() (mark, error) {
	boot, err := bootID()
	if err != nil {
		return m, err
	}
	pids, err := m.members(0)
	for _, pid := range pids {
		if s, err := readStat(pid); err == nil && s.session == pid {
			m.PID, m.Start, m.Boot = pid, s.start, boot
		}
	}
	return m, err
}

// signal sends sig to the marked process if it is alive.
func (m mark) signal(sig os.Signal) error {
	if !m.alive() {
		return nil
	}
	p, err := os.FindProcess(m.PID) // a pidfd: from here on no other process can be hit
	if err != nil {
		return err
	}
	defer p.Release()
	if !m.alive() {
		return nil
	}
	if err := p.Signal(sig); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// kill ends the marked process and all its descendants with SIGKILL, and
// returns once they are gone. owned says that the process is a child of the
// caller which has just been waited for, so that its session's number cannot
// mean another yet.
func (m mark) kill(owned bool) error {
	deadline := time.Now().Add(killWait)
	for {
		session := 0
		if owned || m.alive() {
			session = m.PID
		}
		pids, err := m.members(session)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := m.signalMember(pid, session, os.Kill); err != nil {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not end: SIGKILL was sent %s ago", pids[0], killWait)
		}
		time.Sleep(pollEvery)
	}
}

// end asks the marked process and all its descendants to end, and kills those
// that are left after the grace.
func (m mark) end(grace time.Duration) {
	deadline := time.Now().Add(grace)
	for asked := false; time.Now().Before(deadline); asked = true {
		session := 0
		if m.alive() {
			session = m.PID
		}
		pids, err := m.members(session)
		if err != nil || len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			if !asked {
				// One that cannot be asked is killed.
				_ = m.signalMember(pid, session, syscall.SIGTERM)
			}
		}
		time.Sleep(pollEvery)
	}
	_ = m.kill(false) // follow tries it again, and tells
}

func (m mark) signalMember(pid, session int, sig os.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer p.Release()
	if !m.member(pid, session) {
		return nil
	}
	if err := p.Signal(sig); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// wait returns when the marked process is not alive, or when ctx ends.
func (m mark) wait(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for m.alive() {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// members returns the living processes that belong to the marked one.
func (m mark) members(session int) ([]int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil && m.member(pid, session) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// member reports whether pid lives and has m's token or is in session,
// unless that is 0. The environment of another user's process cannot be read,
// and such a process is none of ours.
func (m mark) member(pid, session int) bool {
	s, err := readStat(pid)
	if err != nil || s.dead {
		return false
	}
	if session != 0 && s.session == session {
		return true
	}
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && bytes.Contains(env, []byte(m.variable()))
}

// stat is what the engine needs of /proc/PID/stat.
type stat struct {
	dead    bool
	session int
	start   uint64
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	return parseStat(string(data))
}

// parseStat reads the format of proc_pid_stat(5). The second field is the
// program's name in parentheses, which may itself hold spaces and parentheses.
func parseStat(line string) (stat, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("process status %q: want at least 22 fields", line)
	}
	session, err := strconv.Atoi(fields[3])
	if err != nil {
		return stat{}, fmt.Errorf("process status %q: session: %w", line, err)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("process status %q: start: %w", line, err)
	}
	state := fields[0]
	return stat{dead: state == "Z" || state == "X", session: session, start: start}, nil
}

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}
