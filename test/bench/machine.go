package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"landfall.dev/test/bench/server"
)

// machine describes what the measurements ran on.
func machine() string {
	var parts []string
	cpu := fmt.Sprintf("%d cores", runtime.NumCPU())
	if model := server.Field("/proc/cpuinfo", "model name"); model != "" {
		cpu += " (" + model + ")"
	}
	parts = append(parts, cpu)
	var kilobytes int
	if _, err := fmt.Sscan(server.Field("/proc/meminfo", "MemTotal"), &kilobytes); err == nil {
		parts = append(parts, fmt.Sprintf("%.1f GB of memory", float64(kilobytes)/(1<<20)))
	}
	if out, err := exec.Command("uname", "-sr").Output(); err == nil {
		parts = append(parts, strings.TrimSpace(string(out)))
	}
	return strings.Join(append(parts, runtime.Version()), ", ")
}
