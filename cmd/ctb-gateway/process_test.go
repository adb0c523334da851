package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// process is the real program, running.
type process struct {
	t         *testing.T
	cmd       *exec.Cmd
	address   string
	exited    chan error
	listening chan string // the address where requests come

	mu     sync.Mutex
	log    strings.Builder
	others map[string]string // addresses of the other listeners
}

// startGateway runs the program on a free port, and waits until it listens.
func startGateway(t *testing.T, config string) *process {
	t.Helper()
	p := launch(t, config)
	p.listens()
	return p
}

// launch runs the program.
func launch(t *testing.T, config string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command("ctb-gateway", "-config", config), exited: make(chan error, 1), listening: make(chan string, 1), others: map[string]string{}}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			var line struct{ Msg, What, Address string }
			isDoor := json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening"
			if isDoor && line.What != "" {
				p.others[line.What] = line.Address
			}
			p.mu.Unlock()
			if isDoor && line.What == "" {
				p.listening <- line.Address
			}
		}
		p.exited <- p.cmd.Wait()
	}()
	return p
}

// listens waits until the program listens; the listener for requests is the last that it tells of.
func (p *process) listens() {
	p.t.Helper()
	select {
	case p.address = <-p.listening:
	case err := <-p.exited:
		p.t.Fatalf("the gateway ended before it listened: %v\n%s", err, p.output())
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the gateway does not listen\n%s", p.output())
	}
}

// at is the address of another listener.
func (p *process) at(what string) string {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.others[what] == "" {
		p.t.Fatalf("there is no listener for %s\n%s", what, p.log.String())
	}
	return p.others[what]
}

// get returns what a path of another listener answers.
func (p *process) get(what, path string) (status int, body string) {
	p.t.Helper()
	res, err := http.Get("http://" + p.at(what) + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// mark returns the length of the log, for waitSince.
func (p *process) mark() int { return len(p.output()) }

// waitSince waits until the log has the text behind a mark.
func (p *process) waitSince(mark int, text string) {
	p.t.Helper()
	for range 2000 {
		if strings.Contains(p.output()[mark:], text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Fatalf("the log lacks %q:\n%s", text, p.output()[mark:])
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// wait waits until the log has the text.
func (p *process) wait(text string) {
	p.t.Helper()
	p.waitSince(0, text)
}

// status asks for a path with a token.
func (p *process) status(client *http.Client, scheme, token string) int {
	p.t.Helper()
	req, err := http.NewRequest("GET", scheme+"://"+p.address+"/api", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)
	return res.StatusCode
}
