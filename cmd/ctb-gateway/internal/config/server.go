package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway"
)

const (
	defaultListen = "127.0.0.1:9999"
	// Those of the notary server, where one of the two is given.
	defaultHost = "0.0.0.0"
	defaultPort = 7047
)

// notarysOwn are the keys that tell a configuration of the notary server, of any generation, from one of ours.
var notarysOwn = []string{"server", "host", "port", "html_info", "notarization", "notary_key", "plugin"}

// profile says in which form refusals are answered.
func (r *reader) profile() error {
	c := r.config
	switch given := strings.ToLower(r.schema.Profile); {
	case given == string(gateway.Strict) || given == string(gateway.Notary):
		c.Profile, c.ProfileReason = gateway.Profile(given), "as profile says"
		return nil
	case given != "":
		return r.file.Fault("profile", "got %q, want %s or %s", r.schema.Profile, gateway.Strict, gateway.Notary)
	}
	for _, key := range notarysOwn {
		if r.file.Has(key) {
			c.Profile, c.ProfileReason = gateway.Notary, fmt.Sprintf("for %s is a key of the notary server; profile: %s changes it", r.file.Written(key), gateway.Strict)
			return nil
		}
	}
	if c.Path == "" && slices.ContainsFunc(r.variable, func(v variable) bool { return strings.HasPrefix(v.name, notaryPrefix) }) {
		c.Profile, c.ProfileReason = gateway.Notary, "for there is no file, and "+notaryPrefix+" variables are the notary server's"
		return nil
	}
	c.Profile, c.ProfileReason = gateway.Strict, "the default"
	return nil
}

// upstream is where requests go that are let through; there may be none if others ask for decisions.
func (r *reader) upstream() error {
	given := r.schema.Upstream
	if given == nil {
		if r.schema.Authorize == nil && r.schema.ExtAuthz == nil {
			return r.file.Fault("upstream", "missing; want where requests go that are let through, such as http://127.0.0.1:3000")
		}
		for _, key := range []string{"listen", "server.host", "server.port", "host", "port", "tls", "forward_token", "timeouts", "cors"} {
			if r.file.Has(key) {
				return r.file.Fault(key, "has no effect without an upstream; want upstream, such as http://127.0.0.1:3000, or not this key")
			}
		}
		return nil
	}
	if given.URL == "" {
		return r.file.Fault("upstream.url", "missing; want a URL such as http://127.0.0.1:3000")
	}
	u, err := url.Parse(given.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return r.file.Fault("upstream.url", "got %s, want http or https, a host and perhaps a path, such as http://127.0.0.1:3000", redact(given.URL, u))
	}
	if (given.Certificate == "") != (given.Key == "") {
		return r.file.Fault("upstream", "want both certificate and key, PEM files that the gateway shows the upstream; or neither")
	}
	for _, key := range []string{"upstream.ca_path", "upstream.certificate", "upstream.server_name"} {
		if r.file.Has(key) && u.Scheme != "https" {
			return r.file.Fault(key, "has no effect here: it is for an https upstream")
		}
	}
	r.config.Upstream = &Upstream{URL: u, CAs: given.CAs, Certificate: given.Certificate, Key: given.Key, ServerName: given.ServerName}
	r.config.ForwardToken = r.schema.ForwardToken
	return nil
}

// redact keeps a password in a URL out of messages.
func redact(raw string, u *url.URL) string {
	switch {
	case u != nil && u.User != nil:
		return strconv.Quote(u.Redacted())
	case strings.Contains(raw, "@"):
		return "a text that is no URL"
	}
	return fmt.Sprintf("%.100q", raw)
}

// addresses are those of all listeners.
func (r *reader) addresses() error {
	c, s := r.config, &r.schema
	if c.Upstream != nil {
		if err := r.listen(); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		key   string
		given *listener
		to    *string
	}{{"authorize", s.Authorize, &c.Authorize}, {"ext_authz", s.ExtAuthz, &c.ExtAuthz}, {"admin", s.Admin, &c.Admin}} {
		if l.given == nil {
			continue
		}
		if l.given.Listen == "" {
			return r.file.Fault(l.key+".listen", "missing; want an address and a port such as 127.0.0.1:9998")
		}
		*l.to = l.given.Listen
		if err := r.address(l.key+".listen", *l.to); err != nil {
			return err
		}
	}
	if c.Upstream != nil && c.Upstream.is(c.Listen) {
		return r.file.Fault("upstream.url", "got %s, which is where the gateway itself listens: it would ask itself", c.Upstream.URL.Redacted())
	}
	return r.distinct()
}

// is tells whether an address that is listened on is the upstream's.
func (u *Upstream) is(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return false
	}
	to := u.URL.Port()
	if to == "" {
		to = map[string]string{"http": "80", "https": "443"}[u.URL.Scheme]
	}
	name := u.URL.Hostname()
	local := isLoopback(net.JoinHostPort(name, to))
	return port == to && (name == host || local && everywhere(host) || local && isLoopback(address) && (name == "localhost" || host == "localhost"))
}

// listen is the address of the gateway itself: our key, or the notary server's.
func (r *reader) listen() error {
	c, s := r.config, &r.schema
	host, port, hostKey, portKey := s.Host, s.Port, "host", "port"
	if s.Server != nil {
		if s.Server.Host != "" {
			if host != "" {
				return r.file.Fault("host", "got this and server.host, want one of the two")
			}
			host, hostKey = s.Server.Host, "server.host"
		}
		if s.Server.Port != nil {
			if port != nil {
				return r.file.Fault("port", "got this and server.port, want one of the two")
			}
			port, portKey = s.Server.Port, "server.port"
		}
	}
	if s.Listen != "" {
		c.Listen = s.Listen
		for _, key := range []string{hostKey, portKey} { // where the notary server itself listens
			if r.file.Has(key) {
				c.ForUpstream = append(c.ForUpstream, key)
			}
		}
		return r.address("listen", c.Listen)
	}
	if host == "" && port == nil {
		c.Listen = defaultListen
		return nil
	}
	if host == "" {
		host = defaultHost
	}
	number := defaultPort
	if port != nil {
		number = *port
	}
	if number < 0 || number > 65535 {
		return r.file.Fault(portKey, "got %d, want a port, 1 to 65535", number)
	}
	c.Listen = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(number))
	if strings.ContainsAny(host, "/ \t\r\n@") || strings.Contains(host, ":") && net.ParseIP(strings.Trim(host, "[]")) == nil {
		return r.file.Fault(hostKey, "got %.80q, want an address such as 127.0.0.1, or a host's name", host)
	}
	return nil
}

func (r *reader) address(key, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(host, "/ \t\r\n@") {
		return r.file.Fault(key, "got %.80q, want an address and a port such as 127.0.0.1:9999", address)
	}
	return nil
}

// distinct wants no address to be listened on twice. Port 0 is any that is free.
func (r *reader) distinct() error {
	c := r.config
	type taken struct{ key, host, port string }
	var before []taken
	for _, l := range [][2]string{{"listen", c.Listen}, {"authorize", c.Authorize}, {"ext_authz", c.ExtAuthz}, {"admin", c.Admin}} {
		host, port, err := net.SplitHostPort(l[1])
		if err != nil || port == "0" {
			continue
		}
		for _, b := range before {
			if b.port == port && (b.host == host || everywhere(b.host) || everywhere(host)) {
				return r.file.Fault(l[0], "got %s, which %s listens on: want another port", l[1], b.key)
			}
		}
		before = append(before, taken{l[0], host, port})
	}
	return nil
}

func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func (r *reader) tls() error {
	given := r.schema.TLS
	if given == nil || given.Enabled != nil && !*given.Enabled {
		return nil
	}
	if given.Certificate == "" || given.Key == "" {
		return r.file.Fault("tls", "want both certificate and key, PEM files; or enabled: false, or no tls, for plain HTTP")
	}
	r.config.TLS = &TLS{Certificate: given.Certificate, Key: given.Key}
	return nil
}

// proxies are whose word about the client counts, and which pages may read answers.
func (r *reader) proxies() error {
	c := r.config
	for i, text := range r.schema.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if addr, single := netip.ParseAddr(text); single == nil {
			prefix, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		key := fmt.Sprintf("trusted_proxies[%d]", i)
		switch {
		case err != nil || prefix.Addr().Zone() != "":
			return r.file.Fault(key, "got %.60q, want an address such as 10.0.0.7, or a network such as 10.0.0.0/8", text)
		case prefix != prefix.Masked():
			return r.file.Fault(key, "got %.60q, want %s, or %s alone", text, prefix.Masked(), prefix.Addr())
		}
		c.TrustedProxies = append(c.TrustedProxies, prefix)
	}
	given := r.schema.CORS
	if given == nil {
		return nil
	}
	if c.Profile == gateway.Notary {
		return r.file.Fault("cors", "has no effect here: under profile notary every origin may read answers, as with the notary server")
	}
	if len(given.Origins) == 0 {
		return r.file.Fault("cors.origins", "missing; want origins such as https://app.example.com, or \"*\" for all")
	}
	for i, origin := range given.Origins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			return r.file.Fault(fmt.Sprintf("cors.origins[%d]", i), "got %.80q, want scheme, host and perhaps a port, such as https://app.example.com, or \"*\" for all", origin)
		}
	}
	c.CORS = &gateway.CORS{Origins: given.Origins}
	if err := c.CORS.Validate(); err != nil {
		return r.file.Fault("cors", "%w", err)
	}
	return nil
}

func (r *reader) logging() error {
	given := r.schema.Logging.Level
	switch strings.ToLower(given) {
	case "", "info":
		r.config.LogLevel = slog.LevelInfo
	case "trace", "debug":
		r.config.LogLevel = slog.LevelDebug
	case "warn", "warning":
		r.config.LogLevel = slog.LevelWarn
	case "error":
		r.config.LogLevel = slog.LevelError
	default:
		return r.file.Fault("logging.level", "got %.40q, want debug, info, warn or error", given)
	}
	return nil
}
