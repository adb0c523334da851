package blackbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/internal/devidp"
)

// world is what a script runs in: a folder, an upstream, the gateway and its clients.
type world struct {
	t       testing.TB
	dir     string
	profile string
	line    int // of the script
	vars    map[string]string
	env     []string
	secrets []string // that nobody must see

	up      *upstream
	gateway *process
	keys    map[string]*devidp.Key
	signer  string // the key that was made first
	issuers map[string]*issuer

	listener string
	clients  map[string]*client
	current  string  // name of the connection that requests go over; empty: one of its own each
	asked    *client // that waits for an answer
	output   string  // of the last check
	read     int     // of the log
}

// newWorld writes the files.
func newWorld(t testing.TB, s *script, profile string) *world {
	t.Helper()
	up := newUpstream(t)
	w := &world{
		t: t, dir: t.TempDir(), profile: profile, up: up,
		vars: map[string]string{"upstream": up.address(), "profile": profile, "long": strings.Repeat("x", 100<<10)},
		keys: map[string]*devidp.Key{}, issuers: map[string]*issuer{}, clients: map[string]*client{}, listener: "main",
	}
	for _, f := range s.files {
		w.write(f.Name, f.Data)
	}
	return w
}

// play runs the steps. Those that need a file with variables find it expanded, as of when it is used.
func (w *world) play(s *script) {
	w.t.Helper()
	for i := 0; i < len(s.steps); i++ {
		st := s.steps[i]
		w.line = st.line
		var err error
		switch lines := st.of(w.profile); {
		case st.mark == "":
			if st.profile != "" && st.profile != w.profile {
				break
			}
			if repeat := repeats[st.words[0]]; repeat != nil {
				err = repeat(w, st, s.steps[i+1], s.steps[i+2])
				i += 2
			} else {
				err = commands[st.words[0]](w, st)
			}
		case len(lines) == 0: // of the other profile
		case st.mark == ">" || st.mark == ">>":
			err = w.ask(st)
		case st.mark == "<":
			err = w.answer(lines, !s.looks(i+1, w.profile))
		case st.mark == "|":
			err = w.saw(lines)
		}
		if err != nil {
			w.fatal("%v", err)
		}
	}
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	text := fmt.Sprintf("line %d: ", w.line) + fmt.Sprintf(format, args...)
	if w.gateway != nil {
		text += "\n" + w.gateway.logged()
	}
	w.t.Fatal(text)
}

// path is a file in the script's folder.
func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

func (w *world) write(name string, data []byte) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// expanded is a file with the variables that are known by now.
func (w *world) expanded(name string) ([]byte, error) {
	data, err := os.ReadFile(w.path(name))
	return []byte(expand(w.vars, string(data))), err
}

// on is the connection for the next request.
func (w *world) on() *client {
	if c := w.clients[w.current]; c != nil {
		return c
	}
	if w.gateway == nil {
		w.fatal("the gateway is not started")
	}
	return dial(w.t, w.gateway.address(w.listener))
}

// request completes a request, and sends it.
func (w *world) request(lines []string) error {
	var missing []string
	for i, text := range lines {
		lines[i] = expand(w.vars, text)
		missing = append(missing, variable.FindAllString(lines[i], -1)...)
	}
	if missing != nil {
		return fmt.Errorf("unknown variables %v", missing)
	}
	if strings.Count(lines[0], " ") == 1 {
		lines[0] += " HTTP/1.1"
	}
	head, body, has := lines, "", map[string]bool{}
	for i, text := range lines {
		if text == "" {
			head, body = lines[:i], strings.Join(lines[i+1:], "\n")
			break
		}
		name, _, _ := strings.Cut(text, ":")
		has[strings.ToLower(name)] = true
	}
	if !has["host"] {
		head = append(head[:len(head):len(head)], "Host: notary.example")
	}
	if strings.HasPrefix(body, "{") && !has["content-type"] {
		head = append(head[:len(head):len(head)], "Content-Type: application/json")
	}
	if body != "" && !has["content-length"] && !has["transfer-encoding"] {
		head = append(head[:len(head):len(head)], fmt.Sprint("Content-Length: ", len(body)))
	}
	w.send(strings.Join(head, "\r\n") + "\r\n\r\n" + body)
	return nil
}

// raw sends lines as they are.
func (w *world) raw(lines []string) error {
	var text strings.Builder
	for _, l := range lines {
		l, cut := strings.CutSuffix(expand(w.vars, l), `\c`)
		l, err := unescape(l)
		if err != nil {
			return err
		}
		text.WriteString(l)
		if !cut {
			text.WriteString("\r\n")
		}
	}
	w.send(text.String())
	return nil
}

func (w *world) send(text string) {
	if last := w.asked; last != nil && !w.named(last) {
		last.Close() // it had this one request
	}
	w.asked = w.on()
	w.asked.SetDeadline(time.Now().Add(patience))
	w.asked.send(text)
}

// named tells whether a connection is for several requests.
func (w *world) named(c *client) bool {
	for _, named := range w.clients {
		if named == c {
			return true
		}
	}
	return false
}

// answer reads what came back. What is refused must not have reached the upstream.
func (w *world) answer(lines []string, alone bool) error {
	if w.asked == nil {
		return fmt.Errorf("nothing was asked")
	}
	a := w.asked.receive()
	if err := matchStatus(w.vars, lines, a); err != nil {
		return err
	}
	for _, s := range w.secrets {
		if text := fmt.Sprint(a.header, a.body); strings.Contains(text, s) {
			return fmt.Errorf("the answer has a credential in it: %s", text)
		}
	}
	switch {
	case !alone:
	case a.err != nil || a.status >= 400:
		return w.saw([]string{"nothing"})
	default:
		w.up.taken() // nobody wants to see it
	}
	return nil
}

// repeats are the commands that take the request and the answer that follow.
var repeats = map[string]func(w *world, command, request, answer step) error{
	"until": (*world).until, "again": (*world).again,
}

// until asks on new connections, until the answer is the expected one.
func (w *world) until(_, request, answer step) error {
	current := w.current
	w.current = ""
	defer func() { w.current = current }()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err := w.ask(request); err != nil {
			return err
		}
		err := matchStatus(w.vars, answer.of(w.profile), w.asked.receive())
		w.asked.Close()
		if err == nil {
			w.up.taken()
			return nil
		}
		if time.Since(start) > patience {
			return fmt.Errorf("in vain: %w", err)
		}
	}
}

// again asks, on one connection, as long as the status is one that passes with time.
func (w *world) again(command, request, answer step) error {
	if w.current == "" {
		w.clients["again"] = w.on()
		w.current = "again"
		defer func() {
			delete(w.clients, "again")
			w.current = ""
		}()
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err := w.ask(request); err != nil {
			return err
		}
		got := w.asked.receive()
		if fmt.Sprint(got.status) != command.words[1] || time.Since(start) > patience {
			return matchStatus(w.vars, answer.of(w.profile), got)
		}
	}
}

func (w *world) ask(request step) error {
	if request.mark == ">>" {
		return w.raw(request.of(w.profile))
	}
	return w.request(request.of(w.profile))
}

// saw compares what the upstream saw since it was asked last.
func (w *world) saw(lines []string) error {
	seen := w.up.taken()
	if lines[0] == "nothing" {
		if len(seen) > 0 {
			return fmt.Errorf("the upstream saw %s %s, want nothing", seen[0].method, seen[0].target)
		}
		return nil
	}
	if what, ok := strings.CutPrefix(lines[0], "broken "); ok && len(seen) == 0 {
		w.up.mayBreak(what, 1)
		return nil
	}
	if lines[0] == "any" || lines[0] == "at most once" && len(seen) < 2 {
		return nil
	}
	if len(seen) != 1 {
		return fmt.Errorf("the upstream saw %d requests, want one", len(seen))
	}
	r := seen[0]
	if err := match(w.vars, lines[0], r.method+" "+r.target); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	if err := matchMessage(w.vars, lines[1:], r.header, r.body); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	return nil
}

// half is a connection whose end can be sent alone.
type half interface{ CloseWrite() error }

// connection is the one that is upgraded, or was asked on last.
func (w *world) connection() *client {
	if c := w.clients[w.current]; c != nil {
		return c
	}
	if w.asked == nil {
		w.fatal("there is no connection")
	}
	return w.asked
}

// reset ends a connection by RST.
func reset(c net.Conn) error {
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
	}
	return c.Close()
}
