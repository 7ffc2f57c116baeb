package docker

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

func TestServicesRunBesideATaskInANetworkOfItsOwn(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	task := shell(t, tools, `cat < /dev/null; wget -q -O - http://web:8000/page; ls /sys/class/net; wget -T 2 -q -O - http://192.0.2.1/ 2>&1 || exit 7`)
	task.Services = []engine.Service{{
		Name: "web", Image: tools, Env: map[string]string{"TEXT": "served"},
		Command: []string{"sh", "-c", `mkdir /www; sleep 0.3; echo $TEXT > /www/page; echo begun; exec httpd -f -p 8000 -h /www`},
		Ready:   "wget -q -O - http://127.0.0.1:8000/page",
	}}
	var out bytes.Buffer
	result, err := e.Run(t.Context(), task, &out)
	if err != nil || result.Exit != 7 || !strings.HasPrefix(out.String(), "served\neth0\nlo\n") || !strings.HasSuffix(out.String(), "--- the last lines of service web\nbegun\n") {
		t.Errorf("got %+v, error %v, output\n%s", result, err, out.String())
	}
	nothingLeft(t, e)
}

func TestAServiceThatIsNotReadyFailsTheTask(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	task := shell(t, tools, "echo never")
	task.Services = []engine.Service{{Name: "db", Image: tools, Command: []string{"sh", "-c", "echo no disk; exit 4"}, Ready: "true"}}
	var out bytes.Buffer
	_, err := e.Run(t.Context(), task, &out)
	want := "service db is not ready: it ended with exit code 4"
	if !errors.Is(err, engine.ErrNotReady) || !strings.Contains(err.Error(), want) || out.String() != "--- the last lines of service db\nno disk\n" {
		t.Errorf("got error %v, output %q; want %q and the log", err, out.String(), want)
	}
	nothingLeft(t, e)
}

// nothingLeft fails t if a container or a network of e's is there.
func nothingLeft(t *testing.T, e *Engine) {
	t.Helper()
	filters := client.Filters{}.Add("label", labelOwner+"="+e.owner)
	networks, err := e.client.NetworkList(t.Context(), client.NetworkListOptions{Filters: filters})
	if err != nil || len(networks.Items) > 0 {
		t.Errorf("networks are left: %v, error %v", networks.Items, err)
	}
	containers, err := e.client.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil || len(containers.Items) > 0 {
		t.Errorf("containers are left: %v, error %v", containers.Items, err)
	}
}
