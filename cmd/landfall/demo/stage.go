package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// stage is where the demo plays: its directory, processes and screen.
type stage struct {
	Config
	out     io.Writer
	started time.Time

	mu        sync.Mutex
	processes []*process
}

// process is a role that the demo has started.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// say prints a heading with the seconds since the start.
func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(s.out, "\n[%5.1f s] %s\n", time.Since(s.started).Seconds(), fmt.Sprintf(format, args...))
}

// plain is a word that a shell takes as it is.
var plain = regexp.MustCompile(`^[\w@%+=:,./~^-]+$`)

// typed returns args as one would type them.
func typed(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a; !plain.MatchString(a) {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// person is who runs a command: a token for landfall, a name for git.
type person struct {
	name, token string
}

// landfall runs a client command as p, printing both, and returns what it
// printed. A failure is returned with the output.
func (s *stage) landfall(ctx context.Context, p person, args ...string) (string, error) {
	fmt.Fprintf(s.out, "  %s $ landfall %s\n", p.name, typed(args))
	cmd := exec.CommandContext(ctx, s.Landfall, args...)
	cmd.Env = append(os.Environ(), "LANDFALL_URL="+s.hubURL(), "LANDFALL_TOKEN="+p.token)
	return s.run(cmd, true)
}

// watch is landfall for a command that shows progress: it gets the terminal,
// if there is one.
func (s *stage) watch(ctx context.Context, p person, args ...string) error {
	if !s.terminal() {
		_, err := s.landfall(ctx, p, args...)
		return err
	}
	fmt.Fprintf(s.out, "  %s $ landfall %s\n", p.name, typed(args))
	cmd := exec.CommandContext(ctx, s.Landfall, args...)
	cmd.Env = append(os.Environ(), "LANDFALL_URL="+s.hubURL(), "LANDFALL_TOKEN="+p.token)
	cmd.Stdout, cmd.Stderr = s.out, s.out
	return cmd.Run()
}

// terminal tells whether the demo is played on a terminal.
func (s *stage) terminal() bool {
	f, ok := s.out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// quiet is landfall without printing, for what only the demo wants to know.
func (s *stage) quiet(ctx context.Context, p person, into any, args ...string) error {
	cmd := exec.CommandContext(ctx, s.Landfall, append(args, "-o", "json")...)
	cmd.Env = append(os.Environ(), "LANDFALL_URL="+s.hubURL(), "LANDFALL_TOKEN="+p.token)
	out, err := s.run(cmd, false)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// secret is landfall for a command that prints a secret, which is not shown.
func (s *stage) secret(ctx context.Context, p person, args ...string) (string, error) {
	fmt.Fprintf(s.out, "  %s $ landfall %s\n", p.name, typed(args))
	cmd := exec.CommandContext(ctx, s.Landfall, args...)
	cmd.Env = append(os.Environ(), "LANDFALL_URL="+s.hubURL(), "LANDFALL_TOKEN="+p.token)
	out, err := s.run(cmd, false)
	return strings.TrimSpace(out), err
}

// git runs git in dir as p.
func (s *stage) git(ctx context.Context, p person, dir string, args ...string) (string, error) {
	fmt.Fprintf(s.out, "  %s $ git %s\n", p.name, strings.ReplaceAll(typed(args), p.token, "TOKEN"))
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME="+p.name, "GIT_AUTHOR_EMAIL="+p.name+"@example.com",
		"GIT_COMMITTER_NAME="+p.name, "GIT_COMMITTER_EMAIL="+p.name+"@example.com")
	return s.run(cmd, true)
}

// run runs cmd and returns its output, shown line by line as it comes.
func (s *stage) run(cmd *exec.Cmd, shown bool) (string, error) {
	var all bytes.Buffer
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if !shown {
		return s.silent(cmd)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			all.WriteString(lines.Text() + "\n")
			fmt.Fprintf(s.out, "      %s\n", lines.Text())
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	err := cmd.Run()
	w.Close()
	<-finished
	return all.String(), err
}

// silent runs cmd and returns its standard output. What it says beside that is
// for the error only, so that a warning does not get into what is parsed.
func (s *stage) silent(cmd *exec.Cmd) (string, error) {
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[1:], " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), err
}

// start starts a role in the background; its output goes to a file.
func (s *stage) start(name string, env []string, program string, args ...string) (*process, error) {
	fmt.Fprintf(s.out, "  %s $ %s %s &\n", name, filepath.Base(program), typed(args))
	log, err := os.Create(filepath.Join(s.Dir, "logs", name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	return p, nil
}

// stop ends a role: politely, then not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// clear ends all roles, the latest first, and all that the agents run.
func (s *stage) clear(ctx context.Context) {
	s.mu.Lock()
	processes := s.processes
	s.processes = nil
	s.mu.Unlock()
	for i := len(processes) - 1; i >= 0; i-- {
		processes[i].stop()
	}
	for _, e := range environments {
		cmd := exec.CommandContext(ctx, s.Landfall, "agent", "clear", "--data", s.path("agent-"+e.name), "--name", e.name, "--engine", s.Engine)
		_, _ = s.run(cmd, false) // an agent that never came to start anything has nothing to clear
	}
}

func (s *stage) path(name string) string { return filepath.Join(s.Dir, name) }

// freeAddress returns a loopback address that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// await calls ready every 50 ms until it returns true. It fails as soon as a
// role has ended by itself.
func (s *stage) await(ctx context.Context, what string, ready func() bool) error {
	for {
		if ready() {
			return nil
		}
		if err := s.ended(); err != nil {
			return fmt.Errorf("waited for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ended says which role is there no more, with the end of its log.
func (s *stage) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		select {
		case <-p.done:
			b, err := os.ReadFile(filepath.Join(s.Dir, "logs", p.name+".log"))
			if err != nil {
				return err
			}
			lines := strings.Split(strings.TrimSpace(string(b)), "\n")
			return fmt.Errorf("%s has ended: %s", p.name, strings.Join(lines[max(0, len(lines)-3):], "\n"))
		default:
		}
	}
	return nil
}

// fileText waits for a file and returns its text.
func (s *stage) fileText(ctx context.Context, pattern string) (string, error) {
	text := ""
	err := s.await(ctx, pattern, func() bool {
		found, _ := filepath.Glob(pattern) // the pattern is constant
		for _, path := range found {
			if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
				text = strings.TrimSpace(string(b))
				return true
			}
		}
		return false
	})
	return text, err
}

// chat is what people's Slack would be: it prints the notices.
func (s *stage) chat() (url string, notices chan string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	notices = make(chan string, 100)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			Text string `json:"text"`
		}
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&m); err != nil {
			http.Error(w, "no JSON", http.StatusBadRequest)
			return
		}
		select {
		case notices <- m.Text:
		default:
		}
	})}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(s.out, "the demo's chat ended:", err)
		}
	}()
	return "http://" + l.Addr().String(), notices, nil
}
