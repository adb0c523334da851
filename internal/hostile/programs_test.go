package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/internal/built"
)

// programs is the folder of the real programs. The tag lets ctb-broker run on simulated hardware.
var (
	programs          string
	all               = []string{"cmd/ctb", "cmd/ctb-broker", "cmd/ctb-gateway"}
	simulatedHardware = []string{"-tags", "simulated"}
)

// TestProgramsAreFollowed: the results of this package are forgotten when the programs' sources change.
func TestProgramsAreFollowed(t *testing.T) { built.Follow(t, simulatedHardware, all...) }

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := built.Programs(dir, simulatedHardware, all...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	programs = dir
	// Most visits wait for another process, so more of them than there are processors may be under way.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// patience bounds everything that is waited for.
const patience = 30 * time.Second

// exits are the exit codes that a refusal may have.
type exits []int

// call runs a program to its end.
func call(t *testing.T, stdin []byte, refusal exits, name string, args ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	got := command.ProcessState.ExitCode()
	a := answer{got == 0, reasons(stdout.Bytes()) + stderr.String()}
	if got != 0 && !slices.Contains(refusal, got) {
		t.Errorf("%s %q: got exit code %d, want 0 or one of %v: %s", name, args[:min(2, len(args))], got, refusal, clip(a.text))
	}
	if got != 0 && strings.TrimSpace(a.text) == "" {
		t.Errorf("%s %q: refused without a word", name, args[:min(2, len(args))])
	}
	return a
}

// reasons takes the reasons out of what a program says with --json; anything else stays as it is.
func reasons(stdout []byte) string {
	var says struct {
		Error   string   `json:"error"`
		Reasons []string `json:"reasons"`
		Keys    []struct {
			Reasons []string `json:"reasons"`
		} `json:"keys"`
	}
	if json.Unmarshal(stdout, &says) != nil {
		return string(stdout)
	}
	all := append(says.Reasons, says.Error)
	for _, k := range says.Keys {
		all = append(all, k.Reasons...)
	}
	return strings.Join(all, "\n") + "\n"
}

// server is a program that runs, with what it logs.
type server struct {
	command *exec.Cmd
	ended   chan struct{}

	mu   sync.Mutex
	log  bytes.Buffer
	more chan struct{} // is closed, and made anew, when something was logged
}

// start starts a program that logs JSON lines to its standard error, and stops it with the test.
func start(t *testing.T, name string, args ...string) *server {
	t.Helper()
	s := &server{command: exec.Command(filepath.Join(programs, name), args...), ended: make(chan struct{}), more: make(chan struct{})}
	stderr, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go s.follow(stderr)
	t.Cleanup(s.kill)
	return s
}

func (s *server) follow(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(strings.ReplaceAll(lines.Text(), `\"`, `"`) + "\n") // quotes as the reasons have them
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
	}
	_ = s.command.Wait() // what it ended with is in the log
	close(s.ended)
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// wait returns the first line behind from bytes of the log that has these
// words, or false if the program ends without it.
func (s *server) wait(t *testing.T, from int, words string) (string, bool) {
	t.Helper()
	limit := time.After(patience)
	for ended := false; ; {
		s.mu.Lock()
		log, more := s.log.String()[from:], s.more
		s.mu.Unlock()
		for line := range strings.Lines(log) {
			if strings.Contains(line, words) {
				return line, true
			}
		}
		if ended {
			return "", false
		}
		select {
		case <-more:
		case <-s.ended:
			ended = true // one more look
		case <-limit:
			t.Fatalf("no line with %q in\n%s", words, clip(log))
		}
	}
}

// address waits until the server listens.
func (s *server) address(t *testing.T, words string) (string, bool) {
	t.Helper()
	line, ok := s.wait(t, 0, words)
	if !ok {
		return "", false
	}
	_, rest, _ := strings.Cut(line, `"address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	return address, address != ""
}

// stop lets the server end, and returns its whole log.
func (s *server) stop() string {
	_ = s.command.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-s.ended:
	case <-time.After(patience):
		s.kill()
	}
	return s.logged()
}

func (s *server) kill() {
	_ = s.command.Process.Kill() // it may have ended by itself
	<-s.ended
}
