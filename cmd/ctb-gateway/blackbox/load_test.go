package blackbox

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/confidential-token-broker/ctb/internal/devidp"
)

// verdicts are what credentials are answered: some always, others until the next reload begins.
type verdicts struct {
	always map[string]int // statuses

	mu   sync.Mutex
	now  map[string]int
	turn int // of now
}

// become says what holds from now on; during a reload that is nothing.
func (v *verdicts) become(now map[string]int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = now
	v.turn++
}

func (v *verdicts) get() (now map[string]int, turn int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now, v.turn
}

// judge asks once.
func (v *verdicts) judge(credential string, ask func() *answer) error {
	now, before := v.get()
	a := ask()
	want := v.always[credential]
	if _, after := v.get(); want == 0 && before == after {
		want = now[credential]
	}
	switch {
	case a.err != nil:
		return fmt.Errorf("%s: the connection is dropped: %w", credential, a.err)
	case want == 0 && (a.status == 200 || a.status == 401), a.status == want:
		return nil
	}
	return fmt.Errorf("%s: got %d %q, want %d (0: 200 or 401)", credential, a.status, a.body, want)
}

// underLoad asks a hundred times a second, over ten connections that must all stay, while
// change runs. It returns how many requests there were.
func underLoad(t *testing.T, w *world, v *verdicts, header func(credential string) string, credentials []string, change func()) int64 {
	t.Helper()
	var asked atomic.Int64
	var workers sync.WaitGroup
	stop := make(chan struct{})
	for range 10 {
		c := w.dial()
		workers.Go(func() {
			ticker := time.NewTicker(100 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-stop:
					return
				case <-ticker.C:
				}
				credential := credentials[rand.IntN(len(credentials))]
				err := v.judge(credential, func() *answer {
					c.SetDeadline(time.Now().Add(patience))
					c.send("GET / HTTP/1.1\r\nHost: gw\r\n" + header(credential) + "\r\n")
					return c.receive()
				})
				asked.Add(1)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	change()
	close(stop)
	workers.Wait()
	if asked.Load() == 0 {
		t.Error("nobody asked: that shows nothing")
	}
	return asked.Load()
}

// becomes waits until a credential is answered with a status.
func (w *world) becomes(header string, status int) {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		a := w.get("/", header)
		if a.status == status {
			return
		}
		if time.Since(start) > patience {
			w.t.Fatalf("%q: got %d, want %d at last\n%s", header, a.status, status, w.gateway.logged())
		}
	}
}

// list is a whitelist with these keys. The last row's name is quoted: cut off before
// the quote ends, no part of the file is a list.
func list(keys ...string) string {
	text := "ApiKey,Name\n"
	for _, k := range keys {
		text += k + ",\"" + k + "\"\n"
	}
	return text
}

// TestWhitelistUnderLoad changes the whitelist in every way that there is, with 100 requests a
// second: a key of both lists is never refused, one of neither never accepted, no connection is lost.
func TestWhitelistUnderLoad(t *testing.T) {
	t.Parallel()
	w := stand(t, "strict", "authorization: {whitelist: list/whitelist.csv}\n",
		txtar.File{Name: "list/0/whitelist.csv", Data: []byte(list("odd", "both"))},
		txtar.File{Name: "list/..data/whitelist.csv", Data: []byte(list("odd", "both"))},
		txtar.File{Name: "list/whitelist.csv", Data: []byte(list("odd", "both"))})
	v := &verdicts{always: map[string]int{"both": 200, "neither": 401}}
	header := func(key string) string { return "X-API-Key: " + key + "\r\n" }
	// Each way writes a list to the file that the configuration names.
	ways := []struct {
		name  string
		write func(content string)
	}{
		{"rename", func(content string) {
			w.write("list/whitelist.csv.new", []byte(content))
			w.must(os.Rename(w.path("list/whitelist.csv.new"), w.path("list/whitelist.csv")))
		}},
		{"truncate, then write", func(content string) {
			f, err := os.OpenFile(w.path("list/whitelist.csv"), os.O_WRONLY|os.O_TRUNC, 0)
			w.must(err)
			_, err = f.WriteString(content[:len(content)-2]) // within the last name's quotes
			w.must(err)
			_, err = f.WriteString(content[len(content)-2:])
			w.must(err)
			w.must(f.Close())
		}},
		{"garbage, then a rename", func(content string) {
			w.write("list/whitelist.csv", []byte("Name,ApiKey\n\"half"))
			w.gateway.hangUp() // it is read as it is, and is no list
			w.write("list/whitelist.csv.new", []byte(content))
			w.must(os.Rename(w.path("list/whitelist.csv.new"), w.path("list/whitelist.csv")))
		}},
		{"gone, and there again", func(content string) {
			w.must(os.Remove(w.path("list/whitelist.csv")))
			w.write("list/whitelist.csv", []byte(content))
		}},
		{"a symlink further up", func(content string) { // as Kubernetes does
			dir := fmt.Sprint("v", time.Now().UnixNano())
			w.write("list/"+dir+"/whitelist.csv", []byte(content))
			w.must(os.RemoveAll(w.path("list/old")))
			w.must(os.Symlink(dir, w.path("list/..data.new")))
			if info, err := os.Lstat(w.path("list/..data")); err == nil && info.IsDir() {
				w.must(os.Rename(w.path("list/..data"), w.path("list/old")))
			}
			w.must(os.Rename(w.path("list/..data.new"), w.path("list/..data")))
			w.must(os.RemoveAll(w.path("list/whitelist.csv.new")))
			w.must(os.Symlink("..data/whitelist.csv", w.path("list/whitelist.csv.new")))
			w.must(os.Rename(w.path("list/whitelist.csv.new"), w.path("list/whitelist.csv")))
		}},
	}
	v.become(map[string]int{"odd": 200, "even": 401})
	n := underLoad(t, w, v, header, []string{"both", "neither", "odd", "even"}, func() {
		old, fresh := "odd", "even"
		for range 2 {
			for _, way := range ways {
				v.become(nil)
				way.write(list(fresh, "both"))
				w.becomes(header(fresh), 200)
				w.becomes(header(old), 401)
				v.become(map[string]int{fresh: 200, old: 401})
				old, fresh = fresh, old
			}
		}
	})
	t.Logf("%d requests during %d reloads", n, 2*len(ways))
}

// TestReloadUnderLoad changes keys and configuration, by themselves and at a SIGHUP: a token
// of a key that stays is never refused.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	const iss = "https://issuer.example"
	stays, odd, even, never := newKey(t, "ES256"), newKey(t, "ES256"), newKey(t, "ES256"), newKey(t, "ES256")
	token := func(k *devidp.Key) string {
		return sign(t, k, fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":%q}`, k.ID), claims(fmt.Sprintf(`{"iss":%q,"aud":"api"}`, iss), true))
	}
	headers := map[string]string{"both": token(stays), "odd": token(odd), "even": token(even), "neither": token(never)}
	header := func(name string) string { return "Authorization: Bearer " + headers[name] + "\r\n" }
	w := stand(t, "notary", "authorization: {jwt: {jwks_path: jwks.json, type: JWT, issuer: "+iss+", audience: api}}\n",
		txtar.File{Name: "jwks.json", Data: jwks(t, stays, odd)},
		txtar.File{Name: "next.yaml", Data: []byte("listen: 127.0.0.1:0\nupstream: http://$upstream\nprofile: strict\n" +
			"authorization: {jwt: {jwks_path: other.json, type: JWT, issuer: " + iss + ", audience: api}}\n")})
	first, err := w.expanded("config.yaml")
	w.must(err)
	next, err := w.expanded("next.yaml")
	w.must(err)
	put := func(name string, content []byte) {
		w.write(name+".new", content)
		w.must(os.Rename(w.path(name+".new"), w.path(name)))
	}
	v := &verdicts{always: map[string]int{"both": 200, "neither": 401}}
	v.become(map[string]int{"odd": 200, "even": 401})
	n := underLoad(t, w, v, header, []string{"both", "neither", "odd", "even"}, func() {
		for range 3 {
			v.become(nil)
			put("jwks.json", jwks(t, stays, even)) // the keys, by themselves
			w.becomes(header("even"), 200)
			w.becomes(header("odd"), 401)
			v.become(map[string]int{"odd": 401, "even": 200})

			v.become(nil)
			w.write("other.json", jwks(t, odd, stays)) // the configuration, at a SIGHUP
			put("config.yaml", next)
			w.gateway.hangUp()
			w.becomes(header("odd"), 200)
			w.becomes(header("even"), 401)
			v.become(map[string]int{"odd": 200, "even": 401})

			// What is not good, and a SIGHUP: all stays as it is.
			put("config.yaml", []byte("authorization: {jwt: {jwks_path: gone.json}}\n"))
			w.gateway.hangUp()
			put("other.json", []byte(`{"keys":[`))
			w.gateway.hangUp()

			v.become(nil)
			w.write("jwks.json", jwks(t, stays, odd))
			put("config.yaml", first)
			w.gateway.hangUp()
			v.become(map[string]int{"odd": 200, "even": 401})
		}
	})
	t.Logf("%d requests during 9 reloads", n)
}

// must fails the test on an error of its own.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
