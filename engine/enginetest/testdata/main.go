// Command main is the program that the contract suite runs as an instance.
//
//	main              tells what it sees in DATA_DIR/seen, then runs until SIGTERM
//	main stubborn     the same, but SIGTERM does not end it
//	main crash CODE   exits with CODE
//	main lines N      writes N lines, then runs until SIGTERM
package main

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
)

func main() {
	log.SetFlags(0)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	mode, n := "serve", 0
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	if len(os.Args) > 2 {
		var err error
		if n, err = strconv.Atoi(os.Args[2]); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("started", mode)
	for i := range n {
		if mode == "lines" {
			fmt.Println("line", i+1)
		}
	}
	if mode == "crash" {
		os.Exit(n)
	}
	tell()
	for range terminate {
		fmt.Println("terminated")
		if mode != "stubborn" {
			return
		}
	}
}

// tell adds a line to the file "seen" of the data directory in one write.
func tell() {
	f, err := os.OpenFile(filepath.Join(os.Getenv("DATA_DIR"), "seen"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintf(f, "image=%s given=%s args=%q\n", os.Getenv("IMAGE_SAYS"), os.Getenv("GIVEN"), os.Args[1:])
}
