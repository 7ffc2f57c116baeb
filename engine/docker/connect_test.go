package docker

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
)

// actAsSSH makes the test's program connect its standard streams with a socket,
// as "docker system dial-stdio" does at the other end of ssh.
const actAsSSH = "LANDFALL_TEST_ACT_AS_SSH"

func init() { // before the flags are read: ssh has others
	if socket := os.Getenv(actAsSSH); socket != "" && filepath.Base(os.Args[0]) == "ssh" {
		os.Exit(dialStdio(socket))
	}
}

func dialStdio(socket string) int {
	if !strings.Contains(strings.Join(os.Args, " "), "-l builder -p 2222 -- there docker system dial-stdio") {
		os.Stderr.WriteString("unknown host\n")
		return 255
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return 1
	}
	go func() {
		_, _ = io.Copy(c, os.Stdin)
		_ = c.(*net.UnixConn).CloseWrite()
	}()
	_, _ = io.Copy(os.Stdout, c)
	return 0
}

func TestADaemonIsReachedOverTLSAndSSH(t *testing.T) {
	d := enginetest.StartDaemon(t)
	bin := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv(actAsSSH, strings.TrimPrefix(d.Socket, "unix://"))
	local, err := Open(t.Context(), "test-"+strconv.Itoa(os.Getpid()), d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	tools := loadTools(t, local)
	for name, address := range map[string]string{"TLS": d.Address(), "SSH": "ssh://builder@there:2222"} {
		t.Run(name, func(t *testing.T) {
			open := func() engine.Engine {
				e, err := Open(t.Context(), "test-"+strconv.Itoa(os.Getpid()), address)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { e.Close() })
				return e
			}
			if name == "TLS" {
				enginetest.Tasks(t, enginetest.Subject{Open: open, Tools: tools})
			}
			t.Run("the workspace goes there and comes back", func(t *testing.T) { workspaceElsewhere(t, open(), tools) })
		})
	}
	if _, err := Open(t.Context(), "test", "ssh://nobody@elsewhere"); err == nil || !strings.Contains(err.Error(), "unknown host") {
		t.Errorf("a host that ssh does not know: got error %v, want what ssh says", err)
	}
	if _, err := Open(t.Context(), "test", strings.Replace(d.Address(), "cert.pem", "server.pem", 1)); err == nil {
		t.Error("a certificate without its key was taken")
	}
}

// workspaceElsewhere compares a workspace with what a task on another machine
// made of it.
func workspaceElsewhere(t *testing.T, e engine.Engine, tools string) {
	task := shell(t, tools, `cat $SCRIPT/main; rm gone; echo more >> kept/file; ln -s /etc/passwd out; ln kept/file hard; echo x > $STATE/new; exit 3`)
	task.ID = "elsewhere"
	script, state := t.TempDir(), t.TempDir()
	if err := os.Chown(task.Dir, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	task.Mounts = []engine.Mount{
		{Host: script, Target: "/landfall/script", ReadOnly: true, Env: "SCRIPT", Own: true},
		{Host: state, Target: "/landfall/state", Env: "STATE", Own: true},
	}
	if err := os.Mkdir(filepath.Join(task.Dir, "kept"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{task.Dir + "/gone": "", task.Dir + "/kept/file": "a line\n", script + "/main": "the script\n"} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 1234, 1234); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	result, err := e.Run(t.Context(), task, &out)
	if err != nil || result.Exit != 3 || out.String() != "the script\n" {
		t.Fatalf("got %+v, error %v, output %q", result, err, out.String())
	}
	for path, want := range map[string]string{task.Dir + "/kept/file": "a line\nmore\n", task.Dir + "/hard": "a line\nmore\n", state + "/new": "x\n"} {
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s has %q, error %v; want %q", filepath.Base(path), text, err, want)
		}
	}
	if info, err := os.Stat(task.Dir + "/kept/file"); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("the file's mode came back as %v, error %v", info.Mode(), err)
	}
	if _, err := os.Stat(task.Dir + "/gone"); !os.IsNotExist(err) {
		t.Errorf("a file that was removed: got error %v, want that it does not exist", err)
	}
	if to, err := os.Readlink(task.Dir + "/out"); err != nil || to != "/etc/passwd" {
		t.Errorf("the link leads to %q, error %v", to, err)
	}
}

func TestAddressesThatAreRefused(t *testing.T) {
	for address, want := range map[string]string{
		"tcp://10.0.0.1:2375":               "open to everyone who can reach it: use a unix socket, ssh://, or TLS",
		"tcp://10.0.0.1:2376?ca=x":          "ca: stat x: no such file",
		"tcp://10.0.0.1:2376?cert=x&key=y":  "has no ca: TLS needs the files ca, cert and key",
		"tcp://10.0.0.1:2376?insecure=1":    `unknown part "insecure"`,
		"unix:///run/docker.sock?ca=x":      `unknown part "ca"`,
		"ssh://u:secret@host":               "has a password: use a key",
		"ssh://-oProxyCommand=x":            "is no address of a daemon",
		"ssh://host/run/docker.sock;reboot": "is no address of a daemon",
		"http://10.0.0.1:2375":              "is no address of a daemon: write unix:///PATH",
		"here":                              "is no address of a daemon",
	} {
		if _, err := Connect("test", address); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got error %v, want %q", address, err, want)
		}
	}
}
