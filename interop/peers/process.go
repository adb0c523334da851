package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that was started. Its output goes to /dev/null, as an open file and
// not as a pipe: what it logs costs the program what it costs, and this one nothing.
type process struct {
	name string
	pid  int
	end  func()
	done chan struct{} // closed when it has ended
}

// start runs a program until the context ends or it is ended.
func start(ctx context.Context, name string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second // then it is killed
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	p := &process{name: name, pid: cmd.Process.Pid, end: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // it was ended, or ready and cpu find out
	}()
	return p, nil
}

// stop ends the program and waits until it has gone.
func (p *process) stop() {
	p.end()
	<-p.done
}

// ready waits until the program accepts connections.
func (p *process) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it listened at %s", p.name, address)
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen at %s: %w", p.name, address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cpu returns the processor time that the program has used so far, all its threads together.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(stat))
}

// tick is the unit of /proc: USER_HZ, which is 100 on everything that Go runs on.
const tick = time.Second / 100

// parseStat returns utime and stime, fields 14 and 15 of proc(5), together. The name in
// field 2 may have spaces and parentheses, so fields are counted from its end.
func parseStat(stat string) (time.Duration, error) {
	_, rest, found := cutLast(stat, ")")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat: got %.200q, want 15 fields or more", stat)
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.ParseUint(f, 10, 48)
		if err != nil {
			return 0, fmt.Errorf("/proc/PID/stat: %w", err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// freeAddresses returns addresses of this machine at which nobody listens now.
func freeAddresses(n int) ([]string, error) {
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at the end, so that no two are the same
		all = append(all, l.Addr().String())
	}
	return all, nil
}

// tell runs a program to its end and returns what it printed, also as the reason of its failure.
func tell(ctx context.Context, name string, args ...string) (string, error) {
	text, err := combined(ctx, name, args...)
	if err != nil {
		err = fmt.Errorf("%s: %w: %.1000s", name, err, text)
	}
	return text, err
}

// combined is what a program prints on both streams.
func combined(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // a build with nothing in the cache
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
