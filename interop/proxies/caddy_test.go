package proxies

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCaddy(t *testing.T) {
	caddy := installed(t, "caddy")
	r := newBeside(t)
	address, log := freeAddress(t), filepath.Join(r.dir, "service.log")
	config := shipped(t, r.dir, "Caddyfile.example",
		"127.0.0.1:9998", r.authorize, "127.0.0.1:3000", r.service.Listener.Addr().String(), ":8080", ":"+port(address),
		"/var/log/caddy/service.log", log)
	p := start(t, []string{address}, caddy, "run", "--config", config, "--adapter", "caddyfile")

	r.ask(t, address)
	t.Run("websocket", func(t *testing.T) {
		webSocket(t, address, "/reports/socket", "Authorization: Bearer "+r.issuer.Token(reader))
		r.service.reached()
	})
	r.askWithQuery(t, address, func() string {
		p.stop()
		text, err := os.ReadFile(log)
		if err != nil {
			t.Error(err)
		}
		return string(text) + p.output.String()
	})
}
