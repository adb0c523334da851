package proxies

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/ctbtest"
)

// program is the gateway's, built once, into a directory that TestMain made and removes.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programDir, "ctb-gateway")
	out, err := exec.Command("go", "build", "-C", "../..", "-o", path, "./cmd/ctb-gateway").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

var programDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ctb-interop-proxies-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir) // never a path that somebody else named
	os.Exit(code)
}

// rig is the gateway beside or behind a proxy, and the service that both protect.
type rig struct {
	t       *testing.T
	dir     string
	issuer  *ctbtest.Issuer
	service *service
	gateway *process

	takesAway bool // the proxy that asks takes away from a request what the gateway says
	// Where the gateway listens.
	listen, authorize, extAuthz, admin string
}

// service is the upstream. It says what it got.
type service struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newService(t *testing.T) *service {
	s := new(service)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("service: %v", err)
		}
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		if r.Header.Get("Upgrade") == "websocket" {
			echo(t, w, r)
			return
		}
		fmt.Fprintf(w, "the service got %s", body)
	}))
	t.Cleanup(s.Close)
	return s
}

// reached returns the requests that came through since the last call.
func (s *service) reached() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// newBeside starts the gateway with the configuration for other proxies, which ask it.
func newBeside(t *testing.T) *rig {
	r := newRig(t)
	r.run(shipped(t, r.dir, "gateway-beside.example.yaml",
		"127.0.0.1:9998", r.authorize, "127.0.0.1:9997", r.extAuthz, "127.0.0.1:9996", r.admin,
		"# token_from:", "token_from:"))
	r.gateway.waitFor(r.authorize)
	r.gateway.waitFor(r.extAuthz)
	return r
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), issuer: ctbtest.NewIssuer(t), service: newService(t),
		listen: freeAddress(t), authorize: freeAddress(t), extAuthz: freeAddress(t), admin: freeAddress(t),
	}
	write(t, r.dir, "jwks.json", string(r.issuer.JWKS()))
	return r
}

// run starts the gateway's program.
func (r *rig) run(config string) {
	r.t.Helper()
	path, err := program()
	if err != nil {
		r.t.Fatal(err)
	}
	r.gateway = start(r.t, []string{r.admin}, path, "-config", config)
}

// claims of the tokens in the tests.
var (
	reader = ctbtest.Claims{"sub": "alice", "scope": "openid read:reports"}
	admin  = ctbtest.Claims{"sub": "ada", "org": map[string]any{"role": "admin"}}
)

// exchange sends a request as it is written to an address, and returns the answer with its body.
func exchange(t *testing.T, address, method, target string, lines []string, body string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	var request strings.Builder
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: service.example\r\nConnection: close\r\n", method, target)
	for _, line := range lines {
		request.WriteString(line + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&request, "Content-Length: %d\r\n", len(body))
	}
	fmt.Fprintf(&request, "\r\n%s", body)
	if _, err := io.WriteString(conn, request.String()); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}
