package enginetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Daemon is a Docker daemon of a test's own, with a directory of its own, and
// neither bridge nor rules for the network of the machine.
type Daemon struct {
	Socket string // "unix:///…"
	TCP    string // "tcp://127.0.0.1:…"
	Certs  string // has ca.pem, cert.pem and key.pem, for TCP
	// Args are those of dockerd.
	Args []string
}

// NewDaemon returns a daemon that is still to be started, to be reached at the
// address too, and removes its directory at the end of t.
func NewDaemon(t testing.TB, address string) Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "landfall-dockerd") // t.TempDir's are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pid := range (Daemon{Certs: dir}).Shims(t) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // or it has just ended
		}
		unmount(t, dir)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	writeCerts(t, dir)
	d := Daemon{Socket: "unix://" + filepath.Join(dir, "docker.sock"), TCP: "tcp://" + address, Certs: dir}
	d.Args = []string{"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--bridge", "none", "--iptables=false",
		"-H", d.Socket, "-H", d.TCP, "--tlsverify", "--tlscacert", filepath.Join(dir, "ca.pem"),
		"--tlscert", filepath.Join(dir, "server.pem"), "--tlskey", filepath.Join(dir, "server-key.pem")}
	return d
}

// StartDaemon starts a daemon, which is stopped at the end of t. It needs the
// rights of root and dockerd.
func StartDaemon(t testing.TB) Daemon {
	t.Helper()
	d := NewDaemon(t, freeAddress(t))
	var log bytes.Buffer
	cmd := exec.Command("dockerd", d.Args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("this test needs dockerd, and to be root: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	Eventually(t, func() string {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("dockerd ended: %v\n%s", err, log.String())
		default:
		}
		c, err := net.Dial("unix", strings.TrimPrefix(d.Socket, "unix://"))
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
	return d
}

// Bury waits until containerd has ended with the daemon, which was killed, and
// removes its notice: while nobody has reaped it, another daemon takes it for
// alive and does not start one.
func (d Daemon) Bury(t testing.TB) {
	t.Helper()
	notice := filepath.Join(d.Certs, "exec", "containerd", "containerd.pid")
	pid, err := os.ReadFile(notice)
	if err != nil {
		return // it was killed before it had one
	}
	Eventually(t, func() string {
		command, err := os.ReadFile(filepath.Join("/proc", string(pid), "cmdline"))
		if err == nil && strings.Contains(string(command), d.Certs) { // that of a zombie is empty
			return "containerd lives on"
		}
		return ""
	})
	if err := os.Remove(notice); err != nil {
		t.Error(err)
	}
}

// Shims are the processes that have, or had, a container of the daemon each as
// their child. A daemon that was killed while it started a container leaves that
// one's, and never finds it again.
func (d Daemon) Shims(t testing.TB) (pids []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		command, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(command, []byte("containerd-shim")) || !bytes.Contains(command, []byte(d.Certs)) {
			continue // another's, or it has ended
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// unmount unmounts what daemons that were killed have left mounted below dir.
func unmount(t testing.TB, dir string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if at := strings.Fields(line)[1]; strings.HasPrefix(at, dir+"/") {
			_ = syscall.Unmount(at, syscall.MNT_DETACH) // or it went with another
		}
	}
}

// Address is TCP with the files for it.
func (d Daemon) Address() string {
	return d.TCP + "?ca=" + filepath.Join(d.Certs, "ca.pem") + "&cert=" + filepath.Join(d.Certs, "cert.pem") + "&key=" + filepath.Join(d.Certs, "key.pem")
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// writeCerts makes an authority, a server's and a client's certificate.
func writeCerts(t testing.TB, dir string) {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := writeCert(t, dir, "ca.pem", "ca-key.pem", authority, authority, nil)
	writeCert(t, dir, "server.pem", "server-key.pem", &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, key)
	writeCert(t, dir, "cert.pem", "key.pem", &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "client"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority, key)
}

// writeCert makes a key and a certificate that the authority has signed, with
// its own key if there is none of an authority.
func writeCert(t testing.TB, dir, certFile, keyFile string, c, authority *x509.Certificate, by *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	signed, err := x509.CreateCertificate(rand.Reader, c, authority, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: signed},
		keyFile:  {Type: "EC PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key
}
