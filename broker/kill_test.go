package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

var kills = flag.Int("kills", 200, "how often TestKilled kills a broker; a tenth of it with -short")

// What the killed broker and its checker share: hardware of one seed, and a clock that runs fast, so that
// keys are announced, used and retired within milliseconds.
const (
	killState = "CTB_KILL_STATE" // the state directory
	killIDP   = "CTB_KILL_IDP"   // where the identity provider has its keys
	killURL   = "CTB_KILL_URL"   // the issuer URL
	killClock = "CTB_KILL_CLOCK" // when the clock started, in nanoseconds of Unix time, and how fast it is

	killIDPName  = "https://idp.example.com/"
	killLifetime = time.Hour // of a token, by the fast clock
)

// fastClock is noon when it starts.
type fastClock struct {
	start time.Time
	speed int64
}

func (c fastClock) String() string { return fmt.Sprint(c.start.UnixNano(), " ", c.speed) }

func parseFastClock(text string) (fastClock, error) {
	var nanos, speed int64
	_, err := fmt.Sscan(text, &nanos, &speed)
	return fastClock{time.Unix(0, nanos), speed}, err
}

// now has no monotonic reading: two processes share it.
func (c fastClock) now() time.Time {
	return noon.Add(time.Duration(int64(time.Since(c.start).Round(0)) * c.speed))
}

// real is how long d of the fast clock takes.
func (c fastClock) real(d time.Duration) time.Duration { return d / time.Duration(c.speed) }

func killHardware() (*simulated.Platform, error) {
	return simulated.New(simulated.Config{Now: noon, Seed: bytes.Repeat([]byte{7}, 32)})
}

// killRules are those of the identity provider, with a comment in them.
func killRules(keys string, comment int) []byte {
	return fmt.Appendf(nil, `{"configs":[{"name":"rule-%d","idp":%q,"jwk_endpoint":%q,"client_id":"client","server_api":["https://api.example.com/a"],"scope":"read","expiration":%d}]}`,
		comment, killIDPName, keys, int(killLifetime/time.Second))
}

// TestBrokerToKill is no test: it is the broker that TestKilled starts, and kills.
func TestBrokerToKill(t *testing.T) {
	dir := os.Getenv(killState)
	if dir == "" {
		t.Skip("it is started by TestKilled")
	}
	clock, err := parseFastClock(os.Getenv(killClock))
	if err != nil {
		t.Fatal(err)
	}
	hardware, err := killHardware()
	if err != nil {
		t.Fatal(err)
	}
	state, err := DirState(dir)
	if err != nil {
		t.Fatal(err)
	}
	keys := os.Getenv(killIDP)
	b, err := New(t.Context(), Config{
		Issuer: os.Getenv(killURL), Rules: parseRules(t, killRules(keys, 0)), Quoter: hardware, Audit: silent(), Client: trusting(10 * time.Second),
		Now: clock.now, RotateEvery: minRotateEvery, State: state, Simulated: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(listener, b)
	fmt.Println("serves", listener.Addr())
	// Run waits by real time. Between the rotations for age there are those for new rules.
	for i := 1; ; i++ {
		if i%16 == 0 {
			if err := b.SetRules(t.Context(), parseRules(t, killRules(keys, i))); err != nil {
				t.Fatal(err)
			}
		}
		b.ring.advance(t.Context())
		time.Sleep(2 * time.Millisecond)
		if os.Getppid() == 1 { // who started it has gone
			return
		}
	}
}

// A broker that is killed at any instant has given no token that the key set of this moment does not verify,
// and when it is started again, the tokens of before verify until they expire.
func TestKilled(t *testing.T) {
	hardware, err := killHardware()
	if err != nil {
		t.Fatal(err)
	}
	rounds := int64(*kills)
	if testing.Short() {
		rounds = max(1, rounds/10)
	}
	provider := newIDP(t, killIDPName, "ES256")
	k := &killing{
		provider: provider,
		hardware: hardware,
		client:   &http.Client{Timeout: time.Minute, Transport: &http.Transport{}},
		idToken:  provider.token(t, noon, map[string]any{"exp": noon.Add(24 * 365 * time.Hour).Unix()}),
		judged:   map[[32]byte]*attest.KeySet{},
		keys:     map[string]bool{},
	}
	defer k.client.CloseIdleConnections()
	k.clock = k.tune(t)
	var done atomic.Int64
	var lanes sync.WaitGroup
	for _, path := range []string{"/a", "/b"} { // two brokers, with a directory each
		dir := t.TempDir()
		lanes.Go(func() {
			lane := &lane{killing: k, dir: dir, path: path}
			for done.Add(1) <= rounds && !t.Failed() {
				lane.round(t)
			}
		})
	}
	lanes.Wait()
	t.Logf("%d kills, a clock of %d times the speed: %d tokens under %d keys, verified at once %d times and after a restart %d times",
		rounds, k.clock.speed, k.tokens.Load(), len(k.keys), k.atOnce.Load(), k.afterwards.Load())
	if rounds >= 20 && (k.tokens.Load() == 0 || k.atOnce.Load() == 0 || k.afterwards.Load() == 0 || len(k.keys) < 2) {
		t.Error("that shows nothing")
	}
}

// killing is what the lanes share.
type killing struct {
	provider *idp
	hardware *simulated.Platform
	client   *http.Client
	clock    fastClock
	idToken  string

	tokens, atOnce, afterwards atomic.Int64

	mu     sync.Mutex
	judged map[[32]byte]*attest.KeySet // by the SHA-256 of a JWK
	keys   map[string]bool             // that have signed
}

// tune starts a broker once, so that the clock is as fast as this machine allows: tokens must live through some restarts.
func (k *killing) tune(t *testing.T) fastClock {
	k.clock = fastClock{time.Now(), 1}
	began := time.Now()
	p := (&lane{killing: k, dir: t.TempDir(), path: "/"}).start(t)
	took := time.Since(began)
	p.kill()
	speed := int64(killLifetime / max(8*took, time.Millisecond))
	return fastClock{time.Now().Round(0), min(max(speed, 200), 4000)}
}

// lane is one broker after the other over the same directory.
type lane struct {
	*killing
	dir  string
	path string  // of its issuer URL: the port of one that was killed may be another's next
	live []token // that may not have expired, of all brokers before
}

type token struct {
	raw     string
	expires time.Time
}

// process is a broker that runs.
type process struct {
	command *exec.Cmd
	url     string
}

func (p *process) kill() {
	_ = p.command.Process.Kill() // SIGKILL
	_ = p.command.Wait()         // "killed"
}

func (l *lane) start(t *testing.T) *process {
	command := exec.Command(os.Args[0], "-test.run=^TestBrokerToKill$", "-test.timeout=5m")
	command.Env = append(os.Environ(), killState+"="+l.dir, killURL+"="+brokerURL+l.path, killIDP+"="+l.provider.server.URL+"/jwks", killClock+"="+l.clock.String())
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "serves "); ok {
			go io.Copy(io.Discard, stdout) // until it is killed
			return &process{command, "http://" + address + l.path}
		}
		t.Log(lines.Text())
	}
	_ = command.Wait()
	t.Errorf("the broker did not start: %s", &stderr)
	return nil
}

// round starts a broker, has the tokens of those before checked, gets new ones, and kills it while it makes them.
func (l *lane) round(t *testing.T) {
	p := l.start(t)
	if p == nil {
		return
	}
	l.checkOld(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	var askers sync.WaitGroup
	got := make([][]token, 2)
	for i := range got {
		askers.Go(func() { got[i] = l.ask(ctx, t, p) })
	}
	time.Sleep(time.Duration(rand.Int64N(int64(min(l.clock.real(2*minRotateEvery), 200*time.Millisecond)))))
	p.kill()
	cancel()
	askers.Wait()
	for _, tokens := range got {
		l.live = append(l.live, tokens...)
	}
}

// ask gets tokens and verifies each, until the broker has gone.
func (l *lane) ask(ctx context.Context, t *testing.T, p *process) (tokens []token) {
	for ctx.Err() == nil && !t.Failed() {
		raw, err := l.exchange(ctx, p)
		if err != nil {
			return tokens // killed; every other refusal is counted as no token, and is none
		}
		if raw == "" {
			continue
		}
		expires, kid := inside(t, raw)
		tokens = append(tokens, token{raw, expires})
		l.tokens.Add(1)
		l.mu.Lock()
		l.keys[kid] = true
		l.mu.Unlock()
		keys, at, err := l.keySet(ctx, p)
		if err != nil {
			return tokens
		}
		// The clock may have run past the token while the key set was on its way: then it says nothing.
		if at.Before(expires) && l.verify(t, keys, raw, at, "just issued") {
			l.atOnce.Add(1)
		}
	}
	return tokens
}

// checkOld verifies what brokers before have signed.
func (l *lane) checkOld(t *testing.T, p *process) {
	keys, at, err := l.keySet(t.Context(), p)
	if err != nil {
		t.Errorf("no key set after a restart: %v", err)
		return
	}
	var still []token
	for _, token := range l.live {
		if !at.Before(token.expires) {
			continue
		}
		still = append(still, token)
		if l.verify(t, keys, token.raw, at, "of before a restart") {
			l.afterwards.Add(1)
		}
	}
	l.live = still
}

func (l *lane) verify(t *testing.T, keys ctb.KeySet, raw string, at time.Time, which string) bool {
	v, err := ctb.NewVerifier(ctb.Config{
		Issuer: brokerURL + l.path, Audience: "https://api.example.com/a", Keys: keys, Now: func() time.Time { return at },
	})
	if err == nil {
		_, err = v.Verify(t.Context(), raw)
	}
	if err != nil {
		t.Errorf("a token %s can't be verified at %v: %v", which, at, err)
	}
	return err == nil
}

// inside reads what a token says of itself.
func inside(t *testing.T, raw string) (expires time.Time, kid string) {
	header, claims := parts(t, raw)
	var h struct {
		KeyID string `json:"kid"`
	}
	var c struct {
		Expires int64 `json:"exp"`
	}
	if err := errors.Join(json.Unmarshal([]byte(header), &h), json.Unmarshal([]byte(claims), &c)); err != nil {
		t.Error(err)
	}
	return time.Unix(c.Expires, 0), h.KeyID
}
