package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// describeMachine says on what was measured: ratios travel from machine to machine, rates do not.
func describeMachine(ctx context.Context) string {
	text := func(path string) string {
		data, _ := os.ReadFile(path) // what cannot be read is left out
		return strings.TrimSpace(string(data))
	}
	load, _, _ := strings.Cut(text("/proc/loadavg"), " ")
	return fmt.Sprintf("%s, %d processors, Linux %s, load %s at the beginning; %s; %s",
		processor(text("/proc/cpuinfo")), runtime.NumCPU(), text("/proc/sys/kernel/osrelease"), load, runtime.Version(), versions(ctx))
}

// processor is the model's name in /proc/cpuinfo, which not all architectures have.
func processor(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// versions are those of other people's programs, in their own words.
func versions(ctx context.Context) string {
	var all []string
	for _, name := range []string{"haproxy", "nginx", "wrk"} {
		text, _ := combined(ctx, name, "-v") // wrk exits with 1 here
		line, _, _ := strings.Cut(text, "\n")
		line, _, _ = strings.Cut(line, " - ")
		line, _, _ = strings.Cut(line, " Copyright")
		all = append(all, strings.TrimSpace(line))
	}
	return strings.Join(all, "; ")
}
