package proxies

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs until the test ends.
type process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	output output
	ended  chan struct{} // closed when it has ended
}

// output is what a program has written, which a test can read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a program, and waits until it listens at all the addresses.
func start(tb testing.TB, addresses []string, name string, args ...string) *process {
	tb.Helper()
	p := &process{tb: tb, cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + tb.TempDir()}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ends is of no interest, once it has run
	}()
	tb.Cleanup(p.stop)
	for _, address := range addresses {
		p.waitFor(address)
	}
	return p
}

// waitFor waits until somebody listens at an address.
func (p *process) waitFor(address string) {
	p.tb.Helper()
	for range 200 {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-p.ended:
			p.tb.Fatalf("%s has ended: %s", p.cmd, p.output.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	p.tb.Fatalf("%s does not listen at %s: %s", p.cmd, address, p.output.String())
}

// stop ends the program, kindly if it lets us. Its group is its own, and exists
// for as long as it has not been waited for: nobody else can be meant.
func (p *process) stop() {
	select {
	case <-p.ended:
		return
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may end by itself just now
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// installed returns a program's path, or skips the test.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		// Debian has nginx and haproxy where only root's PATH leads.
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil {
			t.Skipf("%s is not installed; tools/interop installs it", name)
		}
	}
	return path
}

// freeAddress returns an address of loopback where nobody listens.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shipped writes a configuration of deploy/ into a directory, with other
// addresses and files. Each text that is replaced must be there.
func shipped(tb testing.TB, dir, name string, replace ...string) (path string) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy", name))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			tb.Fatalf("deploy/%s lacks %q", name, replace[i])
		}
	}
	return write(tb, dir, name, strings.NewReplacer(replace...).Replace(string(text)))
}

func write(tb testing.TB, dir, name, text string) (path string) {
	tb.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// port is the port of an address.
func port(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(fmt.Sprintf("address %q: %v", address, err))
	}
	return port
}
