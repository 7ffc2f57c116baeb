// Package postgres is the peer of the benchmarks of upgrades: a PostgreSQL that
// moves the documents of package items from one database to another.
package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"landfall.dev/test/bench/items"
)

// Server is a cluster with two databases, blue and green, each with a table of
// documents. Only this machine's users can reach it, over a socket in its
// directory.
type Server struct {
	// Version is PostgreSQL's.
	Version string

	bin    string   // where PostgreSQL's programs are
	dir    string   // of all that it keeps
	as     []string // what makes a command run as a user who is not root
	cmd    *exec.Cmd
	exited chan struct{}
}

// ErrMissing tells that there is no PostgreSQL.
var ErrMissing = errors.New("PostgreSQL is missing: sh test/setup.sh bench installs it")

// Spent is what a copy took; CPU is that of all processes that had part in it.
type Spent struct {
	Took, CPU time.Duration
}

// Start makes a cluster as initdb makes it and starts it. It ends with ctx, or
// by Close.
func Start(ctx context.Context) (*Server, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return nil, ErrMissing
	}
	slices.Sort(found)
	s := &Server{bin: filepath.Dir(found[len(found)-1])}
	if s.dir, err = os.MkdirTemp("", "landfall-bench-postgres-"); err != nil {
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	if err := s.unprivileged(); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	if out, err := s.program(ctx, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	version, err := s.program(ctx, "postgres", "--version").Output()
	if err != nil {
		return err
	}
	if words := strings.Fields(string(version)); len(words) > 2 {
		s.Version = words[2] // of "postgres (PostgreSQL) 15.18 (Debian ...)"
	}
	if err := s.start(ctx, data); err != nil {
		return err
	}
	for _, name := range []string{"blue", "green"} {
		if err := s.sql(ctx, "postgres", "CREATE DATABASE "+name); err != nil {
			return err
		}
	}
	if err := s.sql(ctx, "blue", "CREATE TABLE items (id bigint PRIMARY KEY, doc jsonb NOT NULL, seq bigint NOT NULL)", "CREATE INDEX ON items (seq)"); err != nil {
		return err
	}
	return s.sql(ctx, "green", "CREATE TABLE items (id bigint PRIMARY KEY, doc jsonb NOT NULL)")
}

// start starts the server and waits until it takes connections.
func (s *Server) start(ctx context.Context, data string) error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = s.program(ctx, "postgres", "-D", data, "-k", s.dir, "-c", "listen_addresses=")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	// It ends what it is at, and without its clients.
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGINT) }
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // what it said is in the log
	}()
	limit := time.After(time.Minute)
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for s.sql(ctx, "postgres", "SELECT 1") != nil {
		select {
		case <-poll.C:
			continue
		case <-s.exited:
		case <-limit:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("PostgreSQL does not come up: %s", said)
	}
	return nil
}

// Close ends the server and deletes its data.
func (s *Server) Close() {
	if s.exited != nil {
		_ = s.cmd.Process.Signal(syscall.SIGINT) // an error means that it has ended
		<-s.exited
	}
	_ = os.RemoveAll(s.dir)
}

// unprivileged gives the directory to a user whom PostgreSQL runs as: it does
// not run as root.
func (s *Server) unprivileged() error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return fmt.Errorf("PostgreSQL does not run as root, and there is no other user: %w", err)
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	s.as = []string{"setpriv", "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups"}
	return os.Chown(s.dir, uid, gid)
}

// program is a command of a server's program, as the user that it needs.
func (s *Server) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := slices.Concat(s.as, []string{filepath.Join(s.bin, name)}, args)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = s.dir
	return cmd
}

// psql runs the commands one after the other in one session.
func (s *Server) psql(ctx context.Context, database string, commands ...string) *exec.Cmd {
	args := []string{"-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", s.dir, "-U", "postgres", "-d", database}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return exec.CommandContext(ctx, filepath.Join(s.bin, "psql"), args...)
}

func (s *Server) sql(ctx context.Context, database string, commands ...string) error {
	if out, err := s.psql(ctx, database, commands...).CombinedOutput(); err != nil {
		return fmt.Errorf("psql %s: %w: %s", database, err, out)
	}
	return nil
}

// Fill puts the documents into blue.
func (s *Server) Fill(ctx context.Context, documents int) error {
	r, w := io.Pipe()
	go func() {
		b := bufio.NewWriterSize(w, 64<<10)
		w.CloseWithError(errors.Join(items.Rows(b, documents), b.Flush()))
	}()
	cmd := s.psql(ctx, "blue", "COPY items FROM STDIN", "VACUUM ANALYZE items")
	cmd.Stdin = r
	out, err := cmd.CombinedOutput()
	r.Close()
	if err != nil {
		return fmt.Errorf("filling PostgreSQL: %w: %s", err, out)
	}
	return nil
}

// transformed selects documents as the next schema has them: a field renamed,
// another added.
const transformed = `SELECT id, (doc - 'note') || jsonb_build_object('text', doc->'note', 'active', true) FROM items`

// Copy moves all documents to an empty green.
func (s *Server) Copy(ctx context.Context) (Spent, error) {
	if err := s.sql(ctx, "green", "TRUNCATE items"); err != nil {
		return Spent{}, err
	}
	return s.move(ctx, transformed, "COPY items FROM STDIN")
}

// Change changes some of blue's documents, and numbers these changes after all
// others.
func (s *Server) Change(ctx context.Context, documents, changes, turn int) error {
	return s.sql(ctx, "blue", fmt.Sprintf(
		`UPDATE items SET doc = doc || jsonb_build_object('value', lpad(to_hex(id + %d), 16, '0')), seq = %d + id
		WHERE id IN (SELECT (i * %d + %d) %% %d FROM generate_series(0, %d) i)`,
		turn, turn*documents, documents/changes, turn, documents, changes-1))
}

// Delta takes the turn's changes over into green.
func (s *Server) Delta(ctx context.Context, documents, turn int) (Spent, error) {
	return s.move(ctx, fmt.Sprintf("%s WHERE seq >= %d", transformed, turn*documents),
		"CREATE TEMP TABLE delta (LIKE items)", "COPY delta FROM STDIN",
		"INSERT INTO items SELECT * FROM delta ON CONFLICT (id) DO UPDATE SET doc = EXCLUDED.doc")
}

// move copies what the query has from blue through a pipe to green, by
// commands of which one reads it.
func (s *Server) move(ctx context.Context, query string, commands ...string) (Spent, error) {
	from, to := s.psql(ctx, "blue", "COPY ("+query+") TO STDOUT"), s.psql(ctx, "green", commands...)
	var errs [2]strings.Builder
	from.Stderr, to.Stderr = &errs[0], &errs[1]
	r, w, err := os.Pipe()
	if err != nil {
		return Spent{}, err
	}
	from.Stdout, to.Stdin = w, r
	before, began := s.cpu(), time.Now()
	started := errors.Join(from.Start(), to.Start())
	started = errors.Join(started, r.Close(), w.Close()) // the programs have them
	if started != nil {
		return Spent{}, started
	}
	if err := errors.Join(from.Wait(), to.Wait()); err != nil {
		return Spent{}, fmt.Errorf("PostgreSQL's copy: %w: %s%s", err, &errs[0], &errs[1])
	}
	spent := Spent{Took: time.Since(began), CPU: s.cpu() - before}
	for _, c := range []*exec.Cmd{from, to} {
		spent.CPU += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	return spent, nil
}

// Count returns how many documents green has.
func (s *Server) Count(ctx context.Context) (int, error) {
	out, err := s.psql(ctx, "green", "COPY (SELECT count(*) FROM items) TO STDOUT").Output()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// cpu returns the CPU time so far of the server and all its processes, whether
// or not they have ended.
func (s *Server) cpu() time.Duration {
	pid := s.cmd.Process.Pid
	sum, _ := cpuOf(pid)
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		child, _ := strconv.Atoi(filepath.Base(d))
		if used, parent := cpuOf(child); parent == pid {
			sum += used
		}
	}
	return sum
}

// cpuOf returns the CPU time of a process and its children that have ended,
// and its parent; 0 if it is not there.
func cpuOf(pid int) (used time.Duration, parent int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// proc(5): the name in parentheses is the second field; the 4th is the
	// parent, the 14th to 17th are ticks of a hundredth of a second.
	_, after, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(after)
	if len(f) < 15 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(f[1])
	for _, ticks := range f[11:15] {
		n, _ := strconv.Atoi(ticks)
		used += time.Duration(n) * 10 * time.Millisecond
	}
	return used, parent
}
