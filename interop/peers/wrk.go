package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed cycle.lua
var cycleScript string

// load is what wrk sent, and how it was answered.
type load struct {
	Requests     uint64  // that were answered
	Rate         float64 // of them in a second
	Refused      uint64  // answers of 400 and above
	SocketErrors uint64  // connections that failed, broke off or took too long
}

// errors returns nil if every request was answered well.
func (l load) errors() error {
	switch {
	case l.Requests == 0:
		return errors.New("no request was answered")
	case l.Refused > 0 || l.SocketErrors > 0:
		return fmt.Errorf("%d of %d requests were refused, %d failed", l.Refused, l.Requests, l.SocketErrors)
	}
	return nil
}

// generator runs wrk.
type generator struct {
	script      string // the path of cycle.lua
	connections int
}

// run loads url for a while, in whole seconds, with the tokens of a file from the one numbered first.
func (g generator) run(ctx context.Context, url, tokens string, first uint64, d time.Duration) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, d+15*time.Second)
	defer cancel()
	// One thread, so that the tokens come in the order of the file.
	cmd := exec.CommandContext(ctx, "wrk", "-t", "1", "-c", strconv.Itoa(g.connections), "-d", fmt.Sprintf("%ds", int(d.Seconds())),
		"-s", g.script, url, "--", tokens, strconv.FormatUint(first, 10))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %.500s", err, out)
	}
	return parseWrk(string(out))
}

// What wrk prints. The lines about errors are there only if there were any.
var (
	wrkRequests = regexp.MustCompile(`(?m)^ +(\d+) requests in `)
	wrkRate     = regexp.MustCompile(`(?m)^Requests/sec: +([0-9.]+)$`)
	wrkRefused  = regexp.MustCompile(`(?m)^ +Non-2xx or 3xx responses: (\d+)$`)
	wrkSockets  = regexp.MustCompile(`(?m)^ +Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)$`)
)

// parseWrk reads the output of wrk 4. Lines that it does not know have no meaning to it, but for
// those that look like errors: to miss one would make a table of wrong figures.
func parseWrk(out string) (load, error) {
	var l load
	requests, rate := wrkRequests.FindStringSubmatch(out), wrkRate.FindStringSubmatch(out)
	if requests == nil || rate == nil {
		return l, fmt.Errorf("wrk: got no result: %.500q", out)
	}
	var err error
	if l.Requests, err = strconv.ParseUint(requests[1], 10, 64); err != nil {
		return l, fmt.Errorf("wrk: requests: %w", err)
	}
	if l.Rate, err = strconv.ParseFloat(rate[1], 64); err != nil {
		return l, fmt.Errorf("wrk: requests in a second: %w", err)
	}
	for _, r := range []struct {
		mark string
		line *regexp.Regexp
		sum  *uint64
	}{
		{"Non-2xx", wrkRefused, &l.Refused},
		{"Socket errors", wrkSockets, &l.SocketErrors},
	} {
		m := r.line.FindStringSubmatch(out)
		if m == nil && strings.Contains(out, r.mark) {
			return l, fmt.Errorf("wrk: got a line of %q that cannot be read: %.500q", r.mark, out)
		}
		for i := 1; i < len(m); i++ {
			n, err := strconv.ParseUint(m[i], 10, 64)
			if err != nil {
				return l, fmt.Errorf("wrk: %s: %w", r.mark, err)
			}
			*r.sum += n
		}
	}
	return l, nil
}
