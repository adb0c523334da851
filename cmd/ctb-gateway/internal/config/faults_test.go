package config_test

import (
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
)

// mistake is a configuration with one mistake, and what is said of it.
type mistake struct{ name, text, want string }

// How most of them begin.
const (
	up  = "upstream: http://127.0.0.1:3000\n"
	set = up + "authorization:\n  jwt:\n"
	jwt = set + "    public_key_pem_path: jwt.pub\n"
)

func say(t *testing.T, mistakes []mistake) {
	t.Helper()
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			_, err := config.Parse("f", []byte(m.text), nil)
			if err == nil || err.Error() != m.want {
				t.Errorf("got  %v\nwant %s\nof\n%s", err, m.want, m.text)
			}
		})
	}
}

// TestServerFaults: what is wrong with the text itself, the listeners, the upstream and the bounds.
func TestServerFaults(t *testing.T) {
	say(t, []mistake{
		{"nothing", "", "f: the file is empty"},
		{"null", "null", "f:1:1: is empty; give it a value or remove it"},
		{"a list", "- upstream", "f:1:1: got a list, want keys and values"},
		{"a text", "let everything through", "f:1:1: got text, want keys and values"},
		{"two documents", up + "---\nlisten: x", "f: it has more than one document, want one"},
		{"a key twice", jwt + up, `f:5:1: mapping key "upstream" already defined at [1:1]`},
		{"a misspelt key", jwt + "listn: 127.0.0.1:1", `f:5:1: unknown field "listn", did you mean "listen"?`},
		{"a misspelt key within", set + "    jwks_uri: https://a.example", `f:4:5: unknown field "jwks_uri" in authorization.jwt, did you mean "jwks_url"?`},
		{"a key in the wrong place", jwt + "jwks_url: https://a.example", `f:5:1: unknown field "jwks_url"; it belongs in authorization.jwt`},
		{"a key of nowhere", jwt + "frobnicate: 1", `f:5:1: unknown field "frobnicate"`},
		{"a misspelt key of the notary's", jwt + "notarization: {max_send_data: 1}", `f:5:16: unknown field "max_send_data" in notarization, did you mean "max_sent_data"?`},
		{"a misspelt key of the notary's signing", jwt + "notary_key: {private_key_pem: a}", `f:5:14: unknown field "private_key_pem" in notary_key, want one of private_key_pem_path, public_key_pem_path`},
		{"no upstream", "authorization: {jwt: {public_key_pem_path: a}}", "f: upstream: missing; want where requests go that are let through, such as http://127.0.0.1:3000"},
		{"an upstream without a URL", "upstream: {ca_path: ca.pem}", "f:1:11: upstream.url: missing; want a URL such as http://127.0.0.1:3000"},
		{"an upstream that is no URL", "upstream: 127.0.0.1:3000", `f:1:11: upstream: got "127.0.0.1:3000", want http or https, a host and perhaps a path, such as http://127.0.0.1:3000`},
		{"an upstream with a password", "upstream: http://admin:s3cret@127.0.0.1", `f:1:11: upstream: got "http://admin:xxxxx@127.0.0.1", want http or https, a host and perhaps a path, such as http://127.0.0.1:3000`},
		{"an upstream of files", "upstream: file:///etc", `f:1:11: upstream: got "file:///etc", want http or https, a host and perhaps a path, such as http://127.0.0.1:3000`},
		{"an upstream with a query", "upstream: {url: \"http://127.0.0.1/?a\"}", `f:1:17: upstream.url: got "http://127.0.0.1/?a", want http or https, a host and perhaps a path, such as http://127.0.0.1:3000`},
		{"CAs for an upstream in the clear", "upstream: {url: \"http://127.0.0.1:1\", ca_path: a}", "f:1:48: upstream.ca_path: has no effect here: it is for an https upstream"},
		{"half of a client certificate", "upstream: {url: \"https://a.example\", key: a}", "f:1:11: upstream: want both certificate and key, PEM files that the gateway shows the upstream; or neither"},
		{"an upstream that is the gateway", jwt + "listen: localhost:3000", "f:1:11: upstream: got http://127.0.0.1:3000, which is where the gateway itself listens: it would ask itself"},
		{"the notary server where it was", "upstream: http://127.0.0.1:7047\nserver: {host: 0.0.0.0, port: 7047}", "f:1:11: upstream: got http://127.0.0.1:7047, which is where the gateway itself listens: it would ask itself"},
		{"a gateway as its own upstream, on a port that is not named", jwt[len(up):] + "upstream: {url: \"https://gw.example/\"}\nlisten: gw.example:443", "f:4:17: upstream.url: got https://gw.example/, which is where the gateway itself listens: it would ask itself"},
		{"a profile of nobody", jwt + "profile: lax", `f:5:10: profile: got "lax", want strict or notary`},
		{"listen without a port", jwt + "listen: localhost", `f:5:9: listen: got "localhost", want an address and a port such as 127.0.0.1:9999`},
		{"listen on a named port", jwt + "listen: localhost:http", `f:5:9: listen: got "localhost:http", want an address and a port such as 127.0.0.1:9999`},
		{"an address twice", jwt + "admin: :9999", "f:5:8: admin: got :9999, which listen listens on: want another port"},
		{"an address twice, in other words", jwt + "listen: 127.0.0.1:1\nauthorize: {listen: \"127.0.0.1:2\"}\next_authz: 0.0.0.0:2", "f:7:12: ext_authz: got 0.0.0.0:2, which authorize listens on: want another port"},
		{"a listener without an address", jwt + "admin: {}", "f:5:8: admin.listen: missing; want an address and a port such as 127.0.0.1:9998"},
		{"host twice", jwt + "host: a\nserver: {host: b}", "f:5:7: host: got this and server.host, want one of the two"},
		{"a port that is none", jwt + "port: 70000", "f:5:7: port: got 70000, want a port, 1 to 65535"},
		{"a port of text", jwt + "port: high", "f:5:7: port: got text, want a number"},
		{"a certificate alone", jwt + "tls: {certificate: a}", "f:5:6: tls: want both certificate and key, PEM files; or enabled: false, or no tls, for plain HTTP"},
		{"tls switched on alone", jwt + "tls: {enabled: true, private_key_path: null, certificate_path: null}", "f:5:6: tls: want both certificate and key, PEM files; or enabled: false, or no tls, for plain HTTP"},
		{"an empty block", jwt + "tls:", "f:5:6: tls: is empty; give it a value or remove it"},
		{"a switch of text", jwt + "forward_token: perhaps", "f:5:16: forward_token: got text, want true or false"},
		{"two spellings", jwt + "auth: {enabled: true}", "f:5:1: got authorization and auth, want one of the two: they are the same key"},
		{"a proxy that is no address", jwt + "trusted_proxies: [proxy.internal]", `f:5:19: trusted_proxies[0]: got "proxy.internal", want an address such as 10.0.0.7, or a network such as 10.0.0.0/8`},
		{"a network with a host in it", jwt + "trusted_proxies: [10.0.0.7/8]", `f:5:19: trusted_proxies[0]: got "10.0.0.7/8", want 10.0.0.0/8, or 10.0.0.7 alone`},
		{"an origin with a path", jwt + "cors: {origins: [\"https://a.example/\"]}", `f:5:18: cors.origins[0]: got "https://a.example/", want scheme, host and perhaps a port, such as https://app.example.com, or "*" for all`},
		{"no origins", jwt + "cors: {}", `f:5:7: cors.origins: missing; want origins such as https://app.example.com, or "*" for all`},
		{"cors under profile notary", jwt + "profile: notary\ncors: {origins: [\"*\"]}", "f:6:7: cors: has no effect here: under profile notary every origin may read answers, as with the notary server"},
		{"sessions that may be", jwt + "sessions: perhaps", `f:5:11: sessions: got "perhaps", want on, off, or keys and values`},
		{"sessions of a third kind", jwt + "sessions: {issue: client}", `f:5:19: sessions.issue: got "client", want upstream (its answers tell the ids) or gateway (which hands them out)`},
		{"sessions on one path", jwt + "sessions: {create: /a, use: /a}", `f:5:29: sessions.use: got "/a", which is the path that hands out ids, too: want another`},
		{"a session path with a star", jwt + "sessions: {use: \"/a/*\"}", `f:5:17: sessions.use: got "/a/*", want a path such as /reports; it may have no other *, and none of ?#%;\ in it`},
		{"a session of an instant", jwt + "sessions: {ttl: 10ms}", "f:5:17: sessions.ttl: got 10ms, want 1s to 24h"},
		{"no sessions at all", jwt + "sessions: {max: 0}", "f:5:17: sessions.max: got 0, want 1 to 1000000"},
		{"more of one than of all", jwt + "sessions: {max: 10, max_per_identity: 11}", "f:5:39: sessions.max_per_identity: got 11, want 1 to 10"},
		{"a claim of nothing", jwt + "sessions: {max_sent_claim: limits..sent}", "f:5:28: sessions.max_sent_claim: got an empty step, want a claim such as limits.sent, or a list of steps"},
		{"no bytes", jwt + "sessions: on\nnotarization: {max_sent_data: 0}", "f:6:31: notarization.max_sent_data: got 0, want 1 to 9007199254740992 bytes"},
		{"negative bytes", jwt + "notarization: {max_sent_data: -1}", "f:5:31: notarization.max_sent_data: got -1, want a number that is not negative"},
		{"a duration of text", jwt + "timeouts: {idle: forever}", `f:5:18: timeouts.idle: got "forever", want a duration such as 10m, or a number of seconds`},
		{"a duration without end", jwt + "timeouts: {connect: 1e300}", `f:5:21: timeouts.connect: got "1e300", want a duration such as 10m, or a number of seconds`},
		{"a timeout of a week and more", jwt + "timeouts: {idle: 200h}", "f:5:18: timeouts.idle: got 200h, want 1ms to 168h"},
		{"no connections", jwt + "limits: {connections: 0}", "f:5:23: limits.connections: got 0, want 1 to 1000000"},
		{"a limit of nothing", jwt + "limits: {per_identity: {}}", "f:5:24: limits.per_identity: got no limit, want requests_per_second or concurrent"},
		{"a limit of zero", jwt + "limits: {per_identity: {requests_per_second: 0}}", "f:5:46: limits.per_identity.requests_per_second: got 0, want 0.001 to 1000000"},
		{"a burst alone", jwt + "limits: {per_identity: {burst: 3, concurrent: 1}}", "f:5:32: limits.per_identity.burst: has no effect without requests_per_second"},
		{"a level of nobody", jwt + "logging: {level: loud}", `f:5:18: logging.level: got "loud", want debug, info, warn or error`},
		{"a tag", jwt + "listen: !!binary aGk=", `f:5:9: got the tag "!!binary", want a value without a tag`},
		{"an alias of nothing", jwt + "listen: *a", "f:5:9: no anchor of the name stands before this alias"},
		{"no listener without an upstream", "authorize: 127.0.0.1:1\nlisten: 127.0.0.1:2", "f:2:9: listen: has no effect without an upstream; want upstream, such as http://127.0.0.1:3000, or not this key"},
		{"sessions without an upstream", "authorize: 127.0.0.1:1\nsessions: on\nauthorization: {whitelist: a}", "f:2:11: sessions: has no effect without an upstream, which the connections of sessions go to"},
	})
}
