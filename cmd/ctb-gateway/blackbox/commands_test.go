package blackbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/devidp"
)

// commands are those of the language, but for the ones that readScript takes itself.
var commands = map[string]func(*world, step) error{
	"key": (*world).makeKey, "jwks": (*world).writeJWKS, "secret": (*world).keepSecret, "issuer": (*world).serveJWKS, "fetches": (*world).countFetches,
	"token": (*world).makeToken, "env": (*world).setEnv,
	"start": (*world).start, "stop": (*world).stop, "hup": (*world).hangUp,
	"check": checks(0), "fails": checks(1), "says": (*world).says, "silent": (*world).silent,
	"log": (*world).awaitLog, "nolog": (*world).noLog,
	"replace": (*world).replace, "overwrite": (*world).overwrite, "link": (*world).link,
	"listener": func(w *world, s step) error { w.listener = s.words[1]; return nil },
	"connect":  (*world).connect, "keep": (*world).keep, "on": (*world).switchTo, "close": (*world).close, "reset": (*world).reset,
	"send": (*world).sendText, "expect": (*world).expectText, "half-close": (*world).halfClose,
	"ended": (*world).ended,
}

func (w *world) makeKey(s step) error {
	name, algorithm := s.words[1], s.words[2]
	w.keys[name] = newKey(w.t, algorithm)
	if w.signer == "" {
		w.signer = name
	}
	if len(s.words) > 3 {
		w.write(s.words[3], publicPEM(w.t, w.keys[name]))
	}
	return nil
}

func (w *world) keysOf(names []string) []*devidp.Key {
	var keys []*devidp.Key
	for _, n := range names {
		keys = append(keys, w.keys[n])
	}
	return keys
}

func (w *world) writeJWKS(s step) error {
	w.write(s.words[1], jwks(w.t, w.keysOf(s.words[2:])...))
	return nil
}

func (w *world) serveJWKS(s step) error {
	i := newIssuer(w.t, jwks(w.t, w.keysOf(s.words[2:])...))
	w.issuers[s.words[1]], w.vars[s.words[1]] = i, i.url
	return nil
}

func (w *world) countFetches(s step) error {
	if got := fmt.Sprint(w.issuers[s.words[1]].fetches.Load()); got != s.words[2] {
		return fmt.Errorf("%s was asked for %s times, want %s", s.words[1], got, s.words[2])
	}
	return nil
}

// makeToken takes options up to the claims.
func (w *world) makeToken(s step) error {
	_, text, _ := strings.Cut(s.text, " ")
	key, header, kid, expires, hidden := w.keys[w.signer], "", "", true, true
	for {
		option, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "by":
			key = w.keys[value]
		case "header":
			header = value
		case "kid":
			if kid = value; value == "own" {
				kid = key.ID
			}
		case "noexp":
			expires = false
		case "public":
			hidden = false
		default:
			if kid != "" {
				header = fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q}`, key.Algorithm, kid)
			}
			token := sign(w.t, key, header, claims(expand(w.vars, text), expires))
			w.vars[s.words[1]] = token
			if hidden {
				w.hide(token)
			}
			return nil
		}
		text = rest
	}
}

// hide holds a credential back from the upstream and the log, whatever the script does with it.
func (w *world) hide(secret string) {
	w.secrets = append(w.secrets, secret)
	w.up.hide(secret)
}

func (w *world) keepSecret(s step) error {
	w.hide(expand(w.vars, s.text))
	return nil
}

func (w *world) setEnv(s step) error {
	w.env = append(w.env, expand(w.vars, s.text))
	return nil
}

// config is the configuration with its variables replaced; its name stays.
func (w *world) config(s step) (string, error) {
	name := "config.yaml"
	if len(s.words) > 1 {
		name = s.words[1]
	}
	data, err := w.expanded(name)
	if err == nil {
		w.write(name, data)
	}
	return name, err
}

func (w *world) start(s step) error {
	if w.gateway != nil {
		return errors.New("the gateway runs already")
	}
	name, err := w.config(s)
	if err == nil {
		w.gateway = run(w.t, w.dir, name, w.env...)
	}
	return err
}

func (w *world) stop(step) error {
	w.gateway.stop()
	for _, s := range w.secrets {
		if strings.Contains(w.gateway.logged(), s) {
			return fmt.Errorf("the log has a credential in it: %s", s)
		}
	}
	w.gateway, w.read = nil, 0
	return nil
}

func (w *world) hangUp(step) error {
	w.gateway.hangUp()
	return nil
}

// checks is the command that wants this exit status.
func checks(status int) func(*world, step) error {
	return func(w *world, s step) error {
		name, err := w.config(s)
		if err != nil && status == 0 {
			return err
		}
		cmd := exec.Command(executable, append([]string{"-config", name, "-check"}, s.words[2:]...)...)
		cmd.Dir = w.dir
		cmd.Env = environment(w.env)
		out, err := cmd.CombinedOutput()
		w.output = string(out)
		if got := cmd.ProcessState.ExitCode(); got != status {
			return fmt.Errorf("exit %d, %w, want %d\n%s", got, err, status, out)
		}
		return nil
	}
}

func (w *world) says(s step) error {
	if text := expand(w.vars, s.text); !strings.Contains(w.output, text) {
		return fmt.Errorf("want %q in\n%s", text, w.output)
	}
	return nil
}

func (w *world) silent(s step) error {
	if text := expand(w.vars, s.text); strings.Contains(w.output, text) {
		return fmt.Errorf("want no %q in\n%s", text, w.output)
	}
	return nil
}

// awaitLog waits for what comes behind that which was waited for before.
func (w *world) awaitLog(s step) error {
	w.read = w.gateway.awaitLog(expand(w.vars, s.text), w.read)
	return nil
}

func (w *world) noLog(s step) error {
	if text := expand(w.vars, s.text); strings.Contains(w.gateway.logged(), text) {
		return fmt.Errorf("the log has %q", text)
	}
	return nil
}

func (w *world) replace(s step) error {
	data, err := w.expanded(s.words[2])
	if err != nil {
		return err
	}
	w.write(s.words[1]+".new", data)
	return os.Rename(w.path(s.words[1]+".new"), w.path(s.words[1]))
}

func (w *world) overwrite(s step) error {
	data, err := w.expanded(s.words[2])
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.path(s.words[1]), os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for len(data) > 0 { // in pieces, so that it can be caught half written
		n := min(len(data), 7)
		if _, err := f.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (w *world) link(s step) error {
	fresh := w.path(s.words[1] + ".new")
	if err := os.Symlink(s.words[2], fresh); err != nil {
		return err
	}
	return os.Rename(fresh, w.path(s.words[1]))
}

func (w *world) connect(s step) error {
	w.current = "it"
	if len(s.words) > 1 {
		w.current = s.words[1]
	}
	w.clients[w.current] = dial(w.t, w.gateway.address(w.listener))
	w.asked = w.clients[w.current]
	return nil
}

// keep gives the connection of the last request a name; the next one has another.
func (w *world) keep(s step) error {
	w.clients[s.words[1]] = w.asked
	w.current = ""
	return nil
}

func (w *world) switchTo(s step) error {
	w.current = s.words[1]
	w.asked = w.clients[w.current]
	if w.asked == nil {
		return fmt.Errorf("there is no connection %s", w.current)
	}
	return nil
}

// forget ends the use of a connection: the next request has one of its own.
func (w *world) forget() *client {
	c := w.connection()
	delete(w.clients, w.current)
	w.current = ""
	return c
}

func (w *world) close(step) error { return w.forget().Close() }
func (w *world) reset(step) error { return reset(w.forget().Conn) }
func (w *world) ended(step) error { return w.forget().ended() }

func (w *world) sendText(s step) error {
	text, err := strconv.Unquote(s.text)
	if err == nil {
		_, err = w.connection().Write([]byte(text))
	}
	return err
}

func (w *world) expectText(s step) error {
	text, err := strconv.Unquote(s.text)
	if err != nil {
		return err
	}
	return w.connection().expect(text)
}

func (w *world) halfClose(step) error {
	if c, ok := w.connection().Conn.(half); ok {
		return c.CloseWrite()
	}
	return errors.New("the connection has no half")
}
