package blackbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// stand starts the gateway in front of an upstream, for tests that no script can be. The
// configuration gets listen, upstream and profile; tokens of the key jwt.pub are good.
func stand(t testing.TB, profile, config string, files ...txtar.File) *world {
	t.Helper()
	return standWith(t, func(*world) {}, profile, config, files...)
}

// standWith is stand after a change of what there is before the program starts.
func standWith(t testing.TB, change func(*world), profile, config string, files ...txtar.File) *world {
	t.Helper()
	config = "listen: 127.0.0.1:0\nupstream: http://$upstream\nprofile: $profile\n" + config
	files = append(files, txtar.File{Name: "config.yaml", Data: []byte(config)})
	w := newWorld(t, &script{files: files}, profile)
	change(w)
	w.keys["notary"] = newKey(t, "ES256")
	w.write("jwt.pub", publicPEM(t, w.keys["notary"]))
	data, err := w.expanded("config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w.write("config.yaml", data)
	w.gateway = run(t, w.dir, "config.yaml")
	return w
}

// tokens is the authorization of most stands.
const tokens = "authorization: {jwt: {public_key_pem_path: jwt.pub}}\n"

// bearer is a header with a good token.
func (w *world) bearer(subject string) string {
	w.t.Helper()
	return "Authorization: Bearer " + sign(w.t, w.keys["notary"], "", claims(fmt.Sprintf(`{"sub":%q}`, subject), true)) + "\r\n"
}

// get asks for a path, on a connection of its own.
func (w *world) get(path, headers string) *answer {
	w.t.Helper()
	return ask(w.t, w.gateway.address("main"), "GET "+path+" HTTP/1.1\r\nHost: gw\r\n"+headers+"\r\n")
}

// session asks for a session id, on a connection that stays open.
func (w *world) session(c *client, headers string) (id string) {
	w.t.Helper()
	const body = `{"clientType":"Tcp"}`
	c.send(fmt.Sprintf("POST http://gw:7047/session HTTP/1.1\r\nHost: gw\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", len(body), headers, body))
	a := c.receive()
	vars := map[string]string{}
	if err := matchBody(vars, `{"sessionId":"$id"}`, a.body); a.status != 200 || err != nil {
		w.t.Fatalf("POST /session: got %d %v, %v, %v", a.status, a.err, a.header, err)
	}
	return vars["id"]
}

// upgrade asks for the connection of a session.
func (w *world) upgrade(c *client, id, headers string) *answer {
	w.t.Helper()
	c.send(fmt.Sprintf("GET http://gw:7047/notarize?sessionId=%s HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\n%s\r\n", id, headers))
	return c.receive()
}

// slot is upgrade, again and again on one connection while all slots are taken.
func (w *world) slot(c *client, id, headers string) *answer {
	w.t.Helper()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if a := w.upgrade(c, id, headers); a.status != 503 || time.Since(start) > patience {
			return a
		}
	}
}

// dial connects to the gateway.
func (w *world) dial() *client {
	w.t.Helper()
	return dial(w.t, w.gateway.address("main"))
}

// opened is a fresh connection with a session that is upgraded to TCP, past the greeting. It waits for a slot.
func (w *world) opened(subject string) *client {
	w.t.Helper()
	c := w.dial()
	id := w.session(c, w.bearer(subject))
	if a := w.slot(c, id, "Upgrade: TCP\r\n"); a.status != 101 {
		w.t.Fatalf("/notarize: got %d %q %v, want 101", a.status, a.body, a.err)
	}
	if err := c.expect("the notary speaks first\n"); err != nil {
		w.t.Fatal(err)
	}
	return c
}
