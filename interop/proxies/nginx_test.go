package proxies

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// nginxMain is what Debian's /etc/nginx/nginx.conf is to the shipped file. Everything is below %[1]s.
const nginxMain = `daemon off;
worker_processes 1;
pid %[1]s/pid;
error_log stderr warn;
events { worker_connections 64; }
http {
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	include %[2]s;
}
`

func TestNginx(t *testing.T) {
	nginx := installed(t, "nginx")
	r := newBeside(t)
	address, log := freeAddress(t), filepath.Join(r.dir, "service.log")
	site := shipped(t, r.dir, "nginx.example.conf",
		"127.0.0.1:9998", r.authorize, "127.0.0.1:3000", r.service.Listener.Addr().String(), "127.0.0.1:8080", address,
		"/var/log/nginx/service.log", log, "/var/log/nginx/service-error.log", log)
	main := write(t, r.dir, "nginx.conf", fmt.Sprintf(nginxMain, r.dir, site))
	p := start(t, []string{address}, nginx, "-p", r.dir, "-c", main)

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
