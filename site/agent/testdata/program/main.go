// Command program is what the tests of the agent deploy.
//
//	program           serves on KIT_LISTEN and says its VERSION
//	program check     asks LANDFALL_TARGET for its version and says it
//	program fail      ends with exit code 3
//	program wait FILE waits until the file is there
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	switch strings.Join(os.Args[1:min(2, len(os.Args))], "") {
	case "check":
		check()
	case "fail":
		fmt.Println("something is wrong")
		os.Exit(3)
	case "wait":
		fmt.Println("waiting")
		for {
			if _, err := os.Stat(os.Args[2]); err == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	default:
		serve()
	}
}

func check() {
	res, err := http.Get(os.Getenv("LANDFALL_TARGET") + "/version")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("the version is %s, the token is %q\n", b, os.Getenv("LANDFALL_TOKEN"))
}

func serve() {
	if os.Getenv("VERSION") == "broken" {
		log.Fatal("cannot start")
	}
	if os.Getenv("KIT_JOIN") == "" {
		if err := os.WriteFile(os.Getenv("DATA_DIR")+"/admin.token", []byte("secret of "+os.Getenv("VERSION")+"\n"), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	http.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/version", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, os.Getenv("VERSION"))
	})
	http.HandleFunc("POST /crash", func(http.ResponseWriter, *http.Request) { os.Exit(1) })
	log.Fatal(http.ListenAndServe(os.Getenv("KIT_LISTEN"), nil))
}
