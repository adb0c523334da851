package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// edit changes one text in a file.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s lacks %q:\n%s", path, old, text)
	}
	replace(t, path, []byte(strings.Replace(string(text), old, new, 1)))
}

// TestConfigurationIsReadAgain: what a new configuration says counts from then on, and one that is
// not good changes nothing.
func TestConfigurationIsReadAgain(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, _ := configure(t, iss, "admin: {listen: 127.0.0.1:0}\n")
	p := startGateway(t, config)
	reader, writer := iss.Token(ctbtest.Claims{"scope": "read:reports"}), iss.Token(ctbtest.Claims{"scope": "write:reports"})
	expect := func(when string, read, write int) {
		t.Helper()
		for name, tt := range map[string]struct {
			token string
			want  int
		}{"reader": {reader, read}, "writer": {writer, write}} {
			if got := p.status(http.DefaultClient, "http", tt.token); got != tt.want {
				t.Errorf("%s: %s: got %d, want %d\n%s", when, name, got, tt.want, p.output())
			}
		}
	}
	expect("at the start", 200, 403)

	mark := p.mark()
	edit(t, config, `["read:reports"]`, `["write:reports"]`)
	p.waitSince(mark, `"msg":"reloaded","what":"configuration"`)
	expect("with the other scope", 403, 200)

	for _, bad := range []struct{ name, old, new, want string }{
		{"an unknown key", "upstream:", "upstrem: x\nupstream:", "gateway.yaml:3:1"},
		{"a file that is absent", "jwks_path: jwks.json", "jwks_path: absent.json", "absent.json: no such file"},
		{"another address", "listen: 127.0.0.1:0\nupstream", "listen: 127.0.0.1:1\nupstream", "restart"},
		{"another address for probes", "admin: {listen: 127.0.0.1:0}", "admin: {listen: 127.0.0.1:1}", "restart"},
		{"no address for probes", "admin: {listen: 127.0.0.1:0}", "", "restart"},
		{"TLS all of a sudden", "upstream:", "tls: {certificate: a, key: b}\nupstream:", "restart"},
		{"another number of connections", "upstream:", "limits: {connections: 7}\nupstream:", "restart"},
	} {
		good, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		mark := p.mark()
		edit(t, config, bad.old, bad.new)
		p.waitSince(mark, "reload failed")
		if got := p.output()[mark:]; !strings.Contains(got, bad.want) {
			t.Errorf("%s: want %q in the log:\n%s", bad.name, bad.want, got)
		}
		expect(bad.name, 403, 200)
		replace(t, config, good)
	}
	p.counts(`ctb_gateway_reloads_total{result="success",what="configuration"} 1`)
}

// TestReloadOpensNothingByOmission: a file that was cut off before authorization begins is a whole
// one of the notary server, and would open everything. While the gateway runs it must be said.
func TestReloadOpensNothingByOmission(t *testing.T) {
	config, _ := configure(t, ctbtest.NewIssuer(t), "")
	edit(t, config, "upstream:", "profile: notary\nupstream:")
	good, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(good), "authorization:")
	p := startGateway(t, config)
	replace(t, config, []byte(head))
	p.wait(`"msg":"reload failed`)
	if got := p.status(http.DefaultClient, "http", ""); got != http.StatusUnauthorized {
		t.Errorf("without authorization: got %d, want 401 as before", got)
	}
	if !strings.Contains(p.output(), "authorization: missing, but what runs asks for credentials") {
		t.Errorf("the log does not say why:\n%s", p.output())
	}
	mark := p.mark()
	replace(t, config, []byte(head+"authorization: {enabled: false}\n"))
	p.waitSince(mark, "EVERYTHING IS OPEN")
	if got := p.status(http.DefaultClient, "http", ""); got != http.StatusOK {
		t.Errorf("with enabled: false: got %d, want 200", got)
	}
	mark = p.mark()
	replace(t, config, []byte(head)) // it changes nothing
	p.waitSince(mark, `"msg":"reloaded"`)
}

// TestWatchedFilesFollowTheConfiguration: a file that the new configuration names is watched, also
// while that configuration cannot be used for want of it.
func TestWatchedFilesFollowTheConfiguration(t *testing.T) {
	old, next := ctbtest.NewIssuer(t), ctbtest.NewIssuer(t)
	config, jwks := configure(t, old, "")
	p := startGateway(t, config)
	mark := p.mark()
	edit(t, config, "jwks.json", "next.json")
	p.waitSince(mark, "reload failed")
	mark = p.mark()
	replace(t, filepath.Join(filepath.Dir(jwks), "next.json"), old.JWKS())
	p.waitSince(mark, `"msg":"reloaded","what":"configuration"`)
	mark = p.mark()
	replace(t, filepath.Join(filepath.Dir(jwks), "next.json"), next.JWKS())
	p.waitSince(mark, `"msg":"reloaded","what":"keys"`)
	if got := p.status(http.DefaultClient, "http", next.Token(ctbtest.Claims{"iss": old.URL, "scope": "read:reports"})); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
	mark = p.mark()
	replace(t, jwks, next.JWKS()) // which nobody reads any more
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.waitSince(mark, "files are unchanged")
}

// TestFetchedKeysSurviveTheConfiguration: keys that were fetched for one configuration are at hand for the
// next, though their source is away.
func TestFetchedKeysSurviveTheConfiguration(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	var away atomic.Bool
	var fetches atomic.Int64
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		if away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(iss.JWKS())
	}))
	t.Cleanup(source.Close)
	config, _ := configure(t, iss, "")
	edit(t, config, "jwks_path: jwks.json", fmt.Sprintf("jwks_url: %q", source.URL))
	p := startGateway(t, config)
	p.wait("keys are at hand")
	away.Store(true)
	mark := p.mark()
	edit(t, config, `["read:reports"]`, `["write:reports"]`)
	p.waitSince(mark, `"msg":"reloaded","what":"configuration"`)
	if got := p.status(http.DefaultClient, "http", iss.Token(ctbtest.Claims{"scope": "write:reports"})); got != 200 {
		t.Errorf("got %d, want 200 with the keys that were fetched before", got)
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// TestReloadDropsNothing: while configurations come and go, every request is answered, and
// upgraded connections go on.
func TestReloadDropsNothing(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, release := configureEcho(t, iss)
	close(release)
	p := startGateway(t, config)
	token := iss.Token(ctbtest.Claims{"scope": "read:reports"})
	tunnel := p.tunnel(token)
	ctx, stop := context.WithCancel(t.Context())
	var asked atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for ctx.Err() == nil {
				if got := p.status(client, "http", token); got != 200 {
					t.Errorf("got %d, want 200", got)
					return
				}
				asked.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	for i := 0; i < 4 || asked.Load() < 20 && !t.Failed(); i++ { // a slow machine may need more, to show anything
		mark := p.mark()
		edit(t, config, "upstream:", fmt.Sprintf("# %d\nupstream:", i))
		p.cmd.Process.Signal(syscall.SIGHUP)
		p.waitSince(mark, `"msg":"reloaded","what":"configuration"`)
	}
	stop()
	clients.Wait()
	tunnel.echoes("still here")
}

const someKeys = "Name,ApiKey,CreatedAt\nAlice,key-of-alice,2023-09-18T07:38:53Z\nBob,key-of-bob,2023-09-18T07:38:53Z\n"

// configureWhitelist writes a configuration for API keys. The whitelist is reached by two links, as in Kubernetes.
func configureWhitelist(t *testing.T) (config, list string) {
	t.Helper()
	config, jwks := configure(t, ctbtest.NewIssuer(t), "")
	dir := filepath.Dir(jwks)
	if err := os.Mkdir(filepath.Join(dir, "v1"), 0o700); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "v1", "whitelist.csv"), []byte(someKeys))
	link(t, filepath.Join(dir, "..data"), "v1")
	list = filepath.Join(dir, "whitelist.csv")
	link(t, list, filepath.Join("..data", "whitelist.csv"))
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "authorization:")
	replace(t, config, []byte(head+"admin: {listen: 127.0.0.1:0}\nauthorization: {whitelist: whitelist.csv}\n"))
	return config, list
}

// link makes a link in one step, in place of what is there.
func link(t *testing.T, path, target string) {
	t.Helper()
	if err := os.Symlink(target, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// statusOfKey asks with an API key.
func (p *process) statusOfKey(key string) int {
	p.t.Helper()
	req, err := http.NewRequest("GET", "http://"+p.address+"/api", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// TestWhitelistReload replaces the whitelist in all the ways in which files are replaced, good and bad.
// Whatever happens to the file, who stands in every good version of it is let through at every moment.
func TestWhitelistReload(t *testing.T) {
	config, list := configureWhitelist(t)
	p := startGateway(t, config)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	clients.Go(func() {
		for ctx.Err() == nil {
			if got := p.statusOfKey("key-of-alice"); got != 200 {
				t.Errorf("Alice: got %d, want 200 at every moment", got)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	dir := filepath.Dir(list)
	with := func(name string) string { return someKeys + name + ",key-of-" + strings.ToLower(name) + ",\n" }
	steps := []struct {
		name  string
		do    func()
		fails bool
		good  string // who is let through then
	}{
		{"symlink swap", func() {
			if err := os.Mkdir(filepath.Join(dir, "v2"), 0o700); err != nil {
				t.Fatal(err)
			}
			replace(t, filepath.Join(dir, "v2", "whitelist.csv"), []byte(with("Carol")))
			link(t, filepath.Join(dir, "..data"), "v2")
		}, false, "carol"},
		{"atomic rename", func() { replace(t, list, []byte(with("Dave"))) }, false, "dave"},
		{"garbage", func() { replace(t, list, []byte("\x00\xff garbage")) }, true, "dave"},
		{"truncate then write", func() {
			f, err := os.Create(list)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for part := range strings.SplitAfterSeq(with("Erin"), "\n") {
				time.Sleep(20 * time.Millisecond)
				f.WriteString(part)
			}
		}, false, "erin"},
		{"a ragged row", func() { replace(t, list, []byte(with("Frank")+"Grace\n")) }, true, "erin"},
		{"empty", func() { replace(t, list, nil) }, true, "erin"},
		{"absent", func() { os.Remove(list); p.cmd.Process.Signal(syscall.SIGHUP) }, true, "erin"},
		{"back again", func() { replace(t, list, []byte(with("Heidi"))) }, false, "heidi"},
	}
	for _, step := range steps {
		mark := p.mark()
		step.do()
		if step.fails {
			p.waitSince(mark, `"msg":"reload failed, what was read last is kept","what":"whitelist"`)
		} else {
			p.waitSince(mark, `"msg":"reloaded","what":"whitelist"`)
		}
		for range 500 { // a writer whom the machine holds up is seen half done for a moment
			if p.statusOfKey("key-of-"+step.good) == 200 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		if got := p.statusOfKey("key-of-" + step.good); got != 200 {
			t.Errorf("%s: %s: got %d, want 200", step.name, step.good, got)
		}
	}
	if got := p.statusOfKey("key-of-frank"); got != 401 {
		t.Errorf("a key that stands in a bad list alone: got %d, want 401", got)
	}
	stop()
	clients.Wait()
	_, body := p.get("admin", "/metrics")
	if !strings.Contains(body, "ctb_gateway_whitelist_keys 3\n") || strings.Contains(body, `ctb_gateway_reloads_total{result="failure",what="whitelist"} 0`) {
		t.Errorf("want three keys and failures in the metrics:\n%s", body)
	}
	if strings.Contains(p.output(), "key-of-") {
		t.Error("the log has a key in it")
	}
}

// TestEmptyWhitelist: a list whose last key was withdrawn lets nobody in, once it has
// been so long enough that nobody can be writing it.
func TestEmptyWhitelist(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some seconds")
	}
	config, list := configureWhitelist(t)
	p := startGateway(t, config)
	replace(t, list, []byte("Name,ApiKey\n"))
	p.wait("reload failed")
	const believed = `"msg":"reloaded","what":"whitelist"`
	if got := p.statusOfKey("key-of-alice"); got != 200 && !strings.Contains(p.output(), believed) { // on a slow machine, it is by then
		t.Errorf("at first: got %d, want 200", got)
	}
	p.wait(believed)
	if got := p.statusOfKey("key-of-alice"); got != 401 {
		t.Errorf("then: got %d, want 401", got)
	}
}

// TestEmptyWhitelistIsNotBelievedForAnOlderOne: a list that was seen without a key, and then again as it
// was, counts as written anew when it is without a key the next time.
func TestEmptyWhitelistIsNotBelievedForAnOlderOne(t *testing.T) {
	path, list := configureWhitelist(t)
	c, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		value, err := openWhitelist(c, new(live.Set), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for _, text := range []string{"Name,ApiKey\n", someKeys} {
				replace(t, list, []byte(text))
				if _, err := value.Refresh(t.Context()); (err == nil) != (text == someKeys) || value.Get().Len() != 2 {
					t.Fatalf("%q: got %v and %d keys, want the two of before", text, err, value.Get().Len())
				}
			}
			time.Sleep(time.Hour)
		}
		replace(t, list, []byte("Name,ApiKey\n"))
		for _, wait := range []time.Duration{0, emptyAfter / 2, emptyAfter} {
			time.Sleep(wait)
			_, err = value.Refresh(t.Context())
		}
		if err != nil || value.Get().Len() != 0 {
			t.Errorf("without a key all the time: got %v and %d keys, want none", err, value.Get().Len())
		}
	})
}
