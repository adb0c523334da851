package blackbox

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is no measure of speed: what is waited for
// comes at once on a machine that is not busy.
const patience = 60 * time.Second

// process is the gateway, running.
type process struct {
	t   testing.TB
	cmd *exec.Cmd

	mu        sync.Mutex
	changed   *sync.Cond // of what follows
	log       strings.Builder
	addresses map[string]string // of its listeners; the first is "main"
	ended     bool
	err       error // how it ended
}

// run starts the program on a configuration, and waits until it listens.
func run(t testing.TB, dir, config string, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(executable, "-config", config), addresses: map[string]string{}}
	p.changed = sync.NewCond(&p.mu)
	p.cmd.Dir = dir
	p.cmd.Env = environment(env)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.await("its end", func() bool { return p.ended })
		for _, bad := range []string{"DATA RACE", "panic"} {
			if strings.Contains(p.log.String(), bad) {
				t.Errorf("the log has %q in it\n%s", bad, p.log.String())
			}
		}
	})
	go p.follow(stderr)
	p.await("that it listens", func() bool { return len(p.addresses) > 0 })
	return p
}

// environment is ours, without the variables that configure gateways, and with more.
func environment(more []string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "NS_") && !strings.HasPrefix(v, "CTB_GATEWAY_") {
			env = append(env, v)
		}
	}
	env = append(env, "GORACE=atexit_sleep_ms=0") // the race detector waits a second at the end of each process
	return append(env, more...)
}

// follow reads the log until the program ends.
func (p *process) follow(stderr io.Reader) {
	lines := bufio.NewReader(stderr)
	for {
		text, err := lines.ReadString('\n')
		var line struct{ Msg, What, Address string }
		p.mu.Lock()
		p.log.WriteString(text)
		if json.Unmarshal([]byte(text), &line) == nil && strings.HasPrefix(line.Msg, "listening") && line.Address != "" {
			name := line.What
			if name == "" {
				name = "main"
			}
			p.addresses[name] = line.Address
		}
		p.changed.Broadcast()
		p.mu.Unlock()
		if err != nil {
			break
		}
	}
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.err = true, err
	p.changed.Broadcast()
}

// await waits until done holds, which is called with p.mu held. That the program has ended before is a failure.
func (p *process) await(what string, done func() bool) {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer timer.Stop()
	start := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !done() {
		if p.ended {
			p.t.Fatalf("waiting for %s: the gateway has ended: %v\n%s", what, p.err, p.log.String())
		}
		if time.Since(start) >= patience {
			p.t.Fatalf("waited in vain for %s\n%s", what, p.log.String())
		}
		p.changed.Wait()
	}
}

// awaitLog waits until the log has the text, from some byte on, and returns where the log ends then.
func (p *process) awaitLog(text string, from int) (end int) {
	p.t.Helper()
	p.await("a log line with "+text, func() bool {
		end = p.log.Len()
		return strings.Contains(p.log.String()[from:], text)
	})
	return end
}

// logged is the log so far.
func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// address is that of a listener.
func (p *process) address(name string) string {
	p.t.Helper()
	p.await("the listener "+name, func() bool { return p.addresses[name] != "" })
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addresses[name]
}

// hangUp asks for a reload.
func (p *process) hangUp() { p.signal(syscall.SIGHUP) }

// stop ends the program as an operator does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.await("its end", func() bool { return p.ended })
	if p.err != nil {
		p.t.Errorf("SIGTERM: %v, want exit 0\n%s", p.err, p.logged())
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}
