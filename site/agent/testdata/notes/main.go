// Command notes is the service of examples/notes, in the version that VERSION
// names, for the engine that runs processes: it becomes this machine's python3.
package main

import (
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

func main() {
	python, err := exec.LookPath("python3")
	if err != nil {
		log.Fatal(err)
	}
	_, file, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(file), "../../../../examples/notes", os.Getenv("VERSION")+".py")
	log.Fatal(syscall.Exec(python, []string{"python3", "-B", script}, os.Environ()))
}
