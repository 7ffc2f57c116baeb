// Command frontload is what stands around a front door when it is measured.
//
//	frontload backend -listen A                      answer all requests with 204 bytes of JSON
//	frontload door -listen A -backend B -control C   run a front door, as the agent does; C holds and opens it
//	frontload wait -address A -requests N            send requests on a connection each, and wait for the answers
//
// Wait prints its result as JSON. The control of a door is
//
//	POST /hold    POST /open    GET /state    GET /debug/pprof/profile
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "frontload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: backend, door or wait")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "backend":
		listen := flags.String("listen", "127.0.0.1:0", "the address to serve on")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			return err
		}
		return serve(ctx, l, http.HandlerFunc(answer))
	case "door":
		return door(ctx, flags, args[1:])
	case "wait":
		w, err := wait(ctx, flags, args[1:])
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(w)
	}
	return fmt.Errorf("there is no command %q: use backend, door or wait", args[0])
}

// body is what the backend answers: 204 bytes.
var body = []byte(`{"link":"` + strings.Repeat("x", 193) + `"}`)

func answer(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// serve serves h at l until ctx ends. What runs then is cut.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// descriptors sees to it that the process may have that many files open.
func descriptors(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur >= need {
		return nil
	}
	err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: need, Max: max(need, limit.Max)})
	if err != nil {
		return fmt.Errorf("%d open files are needed, and the limit is %d: raise it by ulimit -n (%w)", need, limit.Max, err)
	}
	return nil
}
