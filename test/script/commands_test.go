package script

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type command = func(ts *testscript.TestScript, neg bool, args []string)

// commands are those that the package's comment lists.
var commands map[string]command

func init() { // the map's functions use it
	commands = map[string]command{
		"landfall": program("landfall"), "git": program("git"), "curl": program("curl"), "run": runProgram,
		"background": positive(background),
		"hub":        positive(startHub), "ledger": positive(startLedger), "user": positive(makeUser),
		"runner": positive(startRunner), "agent": positive(startAgent),
		"crash": positive(send(syscall.SIGKILL)), "end": positive(send(syscall.SIGTERM)), "restart": positive(restart),
		"as": as, "await": await, "load": positive(runLoad), "readme": readme,
		"port": positive(port), "set": positive(set), "big": positive(big),
	}
}

// positive is a command that cannot be expected to fail.
func positive(do func(ts *testscript.TestScript, args []string)) command {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command cannot be negated")
		}
		do(ts, args)
	}
}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// program is a command that runs a program.
func program(name string) command {
	return func(ts *testscript.TestScript, neg bool, args []string) { execute(ts, neg, name, args...) }
}

// runProgram is for programs that are no commands, or mean others.
func runProgram(ts *testscript.TestScript, neg bool, args []string) {
	execute(ts, neg, args[0], args[1:]...)
}

// background starts a program whose output goes to a log.
func background(ts *testscript.TestScript, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: background NAME PROGRAM [ARGUMENTS]")
	}
	ts.Check(stageOf(ts).start(&role{
		name: args[0], program: filepath.Join(bin, args[1]), args: args[2:],
		env: environment(ts, "LANDFALL_URL="+ts.Getenv("LANDFALL_URL"), "LANDFALL_TOKEN="+ts.Getenv("LANDFALL_TOKEN")),
	}))
}

// execute runs a program, which must fail if neg, and print no trace.
func execute(ts *testscript.TestScript, neg bool, name string, args ...string) {
	err := run(ts, name, args...)
	if out := ts.ReadFile("stdout") + ts.ReadFile("stderr"); trace.MatchString(out) {
		ts.Fatalf("%s printed a trace:\n%s", name, out)
	}
	switch {
	case neg && err == nil:
		ts.Fatalf("unexpected success of %s %s", name, strings.Join(args, " "))
	case !neg && err != nil:
		ts.Fatalf("%s: %v", name, err)
	}
}

// run runs a program, which is ended if it does not end.
func run(ts *testscript.TestScript, name string, args ...string) error {
	limit := strconv.Itoa(int(patience.Seconds()))
	return ts.Exec("timeout", append([]string{limit, name}, args...)...)
}

// quiet runs landfall, which must succeed, and returns what it prints.
func quiet(ts *testscript.TestScript, args ...string) string {
	execute(ts, false, "landfall", args...)
	return strings.TrimSpace(ts.ReadFile("stdout"))
}

// named takes -as NAME from args; without it the name is that of the role.
func named(name string, args []string) (string, []string) {
	if len(args) > 1 && args[0] == "-as" {
		return args[1], args[2:]
	}
	return name, args
}

// environment is that of a process that the script starts.
func environment(ts *testscript.TestScript, more ...string) []string {
	return append([]string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}, more...)
}

func startHub(ts *testscript.TestScript, args []string) {
	s := stageOf(ts)
	name, args := named("hub", args)
	address := freeAddress()
	data := filepath.Join(s.dir, name)
	r := &role{
		name: name, program: filepath.Join(bin, "landfall"), env: environment(ts),
		args: append([]string{"hub", "--data", data, "--listen", address}, args...),
	}
	ts.Check(s.start(r))
	url := "http://" + address
	ts.Check(s.waitFor(r, "/healthz", func() bool { return healthy(url) }))
	ts.Setenv("LANDFALL_URL", url)
	if ts.Getenv("LANDFALL_TOKEN") == "" {
		ts.Setenv("LANDFALL_TOKEN", s.token(ts, r, data))
	}
}

// token returns the administrator's token that a platform writes.
func (s *stage) token(ts *testscript.TestScript, r *role, data string) string {
	var b []byte
	ts.Check(s.waitFor(r, "the administrator's token", func() bool {
		b, _ = os.ReadFile(filepath.Join(data, "admin.token"))
		return len(b) > 0
	}))
	return strings.TrimSpace(string(b))
}

func startLedger(ts *testscript.TestScript, args []string) {
	s := stageOf(ts)
	name, args := named("ledger", args)
	address := freeAddress()
	data := filepath.Join(s.dir, name)
	r := &role{
		name: name, program: filepath.Join(bin, "ledger"),
		env: environment(ts, append(args, "KIT_LISTEN="+address, "DATA_DIR="+data)...),
	}
	ts.Check(s.start(r))
	url := "http://" + address
	ts.Check(s.waitFor(r, "/healthz", func() bool { return healthy(url) }))
	ts.Setenv("LEDGER_URL", url)
	if ts.Getenv("LEDGER_TOKEN") == "" {
		ts.Setenv("LEDGER_TOKEN", s.token(ts, r, data))
	}
}

func makeUser(ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: user NAME GROUP")
	}
	name, group := args[0], args[1]
	quiet(ts, "user", "create", name, "--name", strings.ToUpper(name[:1])+name[1:], "--email", name+"@example.com", "--group", group)
	token := quiet(ts, "token", "create", "users/"+name)
	ts.Setenv(variable(name, "TOKEN"), token)
	ts.Setenv(variable(name, "GIT"), strings.Replace(ts.Getenv("LANDFALL_URL"), "://", "://"+name+":"+token+"@", 1)+"/git")
}

func variable(name, what string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_" + what
}

// accountToken makes an account, and a file with its token.
func accountToken(ts *testscript.TestScript, name string, flags ...string) string {
	quiet(ts, append([]string{"account", "create", name}, flags...)...)
	path := filepath.Join(stageOf(ts).dir, name+".token")
	ts.Check(os.WriteFile(path, []byte(quiet(ts, "token", "create", "accounts/"+name)+"\n"), 0o600))
	return path
}

func startRunner(ts *testscript.TestScript, args []string) {
	s := stageOf(ts)
	token := accountToken(ts, "runner", "--role", "runner")
	ts.Check(s.start(&role{
		name: "runner", program: filepath.Join(bin, "landfall"), env: environment(ts),
		args: append([]string{
			"runner", "--hub", ts.Getenv("LANDFALL_URL"), "--token", "@" + token, "--data", filepath.Join(s.dir, "runner"),
			"--engine", "process", "--mount", "BIN=" + bin,
		}, args...),
	}))
}

func startAgent(ts *testscript.TestScript, args []string) {
	s := stageOf(ts)
	if len(args) == 0 {
		ts.Fatalf("usage: agent ENVIRONMENT [FLAGS]")
	}
	name := "agent-" + args[0]
	token := accountToken(ts, name, "--role", "agent", "--environment", args[0])
	front, api, data := freeAddress(), freeAddress(), filepath.Join(s.dir, name)
	r := &role{
		name: name, program: filepath.Join(bin, "landfall"), env: environment(ts), agent: true,
		args: append([]string{
			"agent", "--hub", ts.Getenv("LANDFALL_URL"), "--token", "@" + token, "--name", fmt.Sprintf("%s-%d", args[0], os.Getpid()),
			"--data", data, "--engine", "process", "--front", front, "--listen", api,
		}, args[1:]...),
	}
	ts.Check(s.start(r))
	ts.Setenv(variable(args[0], "FRONT"), "http://"+front)
	ts.Setenv(variable(args[0], "API"), "http://"+api)
	ts.Setenv(variable(args[0], "API_TOKEN"), s.token(ts, r, filepath.Join(data, "node")))
}

// send ends a role by a signal.
func send(sig syscall.Signal) func(ts *testscript.TestScript, args []string) {
	return func(ts *testscript.TestScript, args []string) { ts.Check(roleOf(ts, args).signal(sig)) }
}

func roleOf(ts *testscript.TestScript, args []string) *role {
	if len(args) != 1 {
		ts.Fatalf("name one role")
	}
	r := stageOf(ts).find(args[0])
	if r == nil {
		ts.Fatalf("the script has started no %s", args[0])
	}
	return r
}

func restart(ts *testscript.TestScript, args []string) { ts.Check(stageOf(ts).start(roleOf(ts, args))) }

// as runs a command with somebody's token, and that name in commits.
func as(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: as NAME COMMAND")
	}
	token := ts.Getenv(variable(args[0], "TOKEN"))
	if token == "" {
		ts.Fatalf("nobody is called %s: write user %s GROUP first", args[0], args[0])
	}
	before := ts.Getenv("LANDFALL_TOKEN")
	ts.Setenv("LANDFALL_TOKEN", token)
	defer ts.Setenv("LANDFALL_TOKEN", before)
	dispatch(ts, neg, args[1:])
}

// dispatch runs one of the commands, or a program.
func dispatch(ts *testscript.TestScript, neg bool, args []string) {
	if c, ok := commands[args[0]]; ok {
		c(ts, neg, args[1:])
		return
	}
	execute(ts, neg, args[0], args[1:]...)
}

// await repeats a program until it succeeds, or fails if neg. With "-out
// REGEXP" in front its output must match too.
func await(ts *testscript.TestScript, neg bool, args []string) {
	want := regexp.MustCompile("")
	if len(args) > 2 && args[0] == "-out" {
		want, args = regexp.MustCompile(args[1]), args[2:]
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		err := run(ts, args[0], args[1:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if trace.MatchString(out) {
			ts.Fatalf("%s printed a trace:\n%s", args[0], out)
		}
		if (err != nil) == neg && want.MatchString(out) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			ts.Fatalf("waited in vain for %s: %v, and no %s in:\n%s", strings.Join(args, " "), err, want, out)
		}
	}
}

func runLoad(ts *testscript.TestScript, args []string) {
	s := stageOf(ts)
	if len(args) != 1 {
		ts.Fatalf("usage: load URL, load -stop")
	}
	if args[0] != "-stop" {
		s.load = startLoad(args[0])
		return
	}
	s.load.end()
	fmt.Fprintf(ts.Stdout(), "%d requests, %d failed\n", s.load.sent, len(s.load.failed))
	if len(s.load.failed) > 0 || s.load.sent == 0 {
		ts.Fatalf("%d of %d requests failed: %s", len(s.load.failed), s.load.sent, s.load.failed[:min(3, len(s.load.failed))])
	}
}

// readme runs a line of README.md.
func readme(ts *testscript.TestScript, neg bool, args []string) {
	s := stageOf(ts)
	if len(args) == 3 && args[0] == "-with" {
		s.readme = slices.Insert(s.readme, 0, args[1], args[2]) // the latest word counts
		return
	}
	line := strings.NewReplacer(s.readme...).Replace(args[0])
	ts.Logf("$ %s", line)
	if len(args) == 2 && args[1] == "&" {
		words := strings.Fields(line)
		ts.Check(s.start(&role{
			name: strings.Join(words[:2], "-"), program: filepath.Join(bin, words[0]), args: words[1:],
			dir: ts.MkAbs("."), agent: words[1] == "agent",
			env: environment(ts, "LANDFALL_URL="+ts.Getenv("LANDFALL_URL"), "LANDFALL_TOKEN="+ts.Getenv("LANDFALL_TOKEN")),
		}))
		return
	}
	execute(ts, neg, "sh", "-ec", line)
}

func port(ts *testscript.TestScript, args []string) {
	for _, name := range args {
		ts.Setenv(name, freeAddress())
	}
}

func set(ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: set NAME REGEXP")
	}
	out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	m := regexp.MustCompile(args[1]).FindStringSubmatch(out)
	if len(m) < 2 {
		ts.Fatalf("there is no %s in:\n%s", args[1], out)
	}
	ts.Setenv(args[0], m[1])
}

func big(ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: big FILE SIZE")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	const frame = `{"text":""}`
	text := `{"text":"` + string(bytes.Repeat([]byte("x"), size-len(frame))) + `"}`
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
