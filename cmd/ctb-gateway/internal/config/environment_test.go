package config_test

import (
	"bytes"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/gateway"
)

// TestEnvironmentAlone: as the notary server's last releases could, the gateway runs without a file.
func TestEnvironmentAlone(t *testing.T) {
	c, err := config.Load("", []string{
		"CTB_GATEWAY_UPSTREAM=http://127.0.0.1:3000", "PATH=/bin", "NS_PORT=8080", "NS_HOST=127.0.0.1",
		"NS_AUTH__ENABLED=true", "NS_AUTH__JWT__ALGORITHM=RS256", "NS_AUTH__JWT__PUBLIC_KEY_PATH=./jwt.pub",
		"NS_AUTH__JWT__CLAIMS=tlsn1 tlsn2:is:cool", "NS_NOTARIZATION__MAX_SENT_DATA=2048", "NS_HTML_INFO=<b>: {x}",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []ctb.Requirement{{Name: "tlsn1", Values: []any{}}, {Name: "tlsn2", Values: []any{"is", "cool"}}}
	if !reflect.DeepEqual(c.Requirements, want) {
		t.Errorf("got %+v, want %+v", c.Requirements, want)
	}
	if c.Listen != "127.0.0.1:8080" || c.Profile != gateway.Notary || c.Sessions.MaxSent != 2048 || c.Issuers[0].PublicKeyPEM != "jwt.pub" ||
		c.Issuers[0].Algorithms[0] != "RS256" || c.Upstream.URL.String() != "http://127.0.0.1:3000" || c.Path != "" {
		t.Errorf("%+v", c)
	}
	var page bytes.Buffer
	if err := c.Describe(&page); err != nil || !strings.HasPrefix(page.String(), "The environment is good. It would\n") || !strings.Contains(page.String(), "NS_PORT (port)") {
		t.Error(page.String(), err)
	}
}

// TestEnvironmentOverrides: a variable takes the place of what the file says, however either spells the key.
func TestEnvironmentOverrides(t *testing.T) {
	for _, c := range []struct {
		name, file string
		environ    []string
		want       func(*config.Config) bool
	}{
		{"another spelling", jwt, []string{"NS_AUTH__JWT__PUBLIC_KEY_PATH=other.pub"},
			func(c *config.Config) bool { return c.Issuers[0].PublicKeyPEM == filepath.FromSlash("dir/other.pub") }},
		{"as the notary server's first releases had them", jwt, []string{"NOTARY_SERVER__SERVER__PORT=3001", "NOTARY_SERVER__AUTHORIZATION__ENABLED=false"},
			func(c *config.Config) bool { return c.Listen == "0.0.0.0:3001" && !c.Enabled }},
		{"a text that is no YAML", jwt, []string{"CTB_GATEWAY_LISTEN=[::1]:80"},
			func(c *config.Config) bool { return c.Listen == "[::1]:80" }},
		{"a text in quotes", jwt, []string{`CTB_GATEWAY_LISTEN="[::1]:80"`},
			func(c *config.Config) bool { return c.Listen == "[::1]:80" }},
		{"a list", jwt, []string{"CTB_GATEWAY_TRUSTED_PROXIES=[10.0.0.0/8, 192.0.2.1]"},
			func(c *config.Config) bool { return len(c.TrustedProxies) == 2 }},
		{"claims as YAML", jwt, []string{"NS_AUTHORIZATION__JWT__CLAIMS=[{name: a, values: [1], value_type: int}]"},
			func(c *config.Config) bool { return c.Requirements[0].Type == ctb.Int }},
		{"what a token must not have", jwt, []string{"CTB_GATEWAY_AUTHORIZATION__JWT__DENY=sub:eve:mallory"},
			func(c *config.Config) bool { return len(c.Deny) == 1 && len(c.Deny[0].Values) == 2 }},
		{"within a short form", jwt, []string{"CTB_GATEWAY_UPSTREAM__URL=https://up.example", "CTB_GATEWAY_UPSTREAM__SERVER_NAME=up"},
			func(c *config.Config) bool {
				return c.Upstream.ServerName == "up" && c.Upstream.URL.Host == "up.example"
			}},
		{"a mapping, and a key of it", jwt, []string{"CTB_GATEWAY_TIMEOUTS__IDLE=7", "CTB_GATEWAY_TIMEOUTS={idle: 1, connect: 2}"},
			func(c *config.Config) bool {
				return c.Timeouts.Idle == 7*time.Second && c.Timeouts.Connect == 2*time.Second
			}},
		{"off", jwt + "profile: notary\n", []string{"CTB_GATEWAY_SESSIONS=off"},
			func(c *config.Config) bool { return c.Sessions == nil }},
		{"a switch", jwt, []string{"NS_AUTH__ENABLED=false"},
			func(c *config.Config) bool {
				return !c.Enabled && strings.Contains(c.Warnings[0], "EVERYTHING IS OPEN: authorization.enabled is false, as the environment variable NS_AUTH__ENABLED says, so")
			}},
		{"a text of digits", up, []string{"NS_AUTH__WHITELIST=0123"},
			func(c *config.Config) bool { return c.Whitelist.Path == filepath.FromSlash("dir/0123") }},
		{"through an alias", "timeouts: &a {idle: 5}\n" + jwt, []string{"CTB_GATEWAY_TIMEOUTS__IDLE=6"},
			func(c *config.Config) bool { return c.Timeouts.Idle == 6*time.Second }},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := config.Parse("dir/f", []byte(c.file), c.environ)
			if err != nil || !c.want(got) {
				t.Errorf("%v: %+v", err, got)
			}
		})
	}
}

// TestEnvironmentInAnyCase: the notary server read its variables so, and one that switches authorization on
// must not be overlooked.
func TestEnvironmentInAnyCase(t *testing.T) {
	c, err := config.Parse("f", []byte("upstream: http://127.0.0.1:3000\nhost: 127.0.0.1\n"), []string{"ns_auth__Whitelist=list.csv", "Ctb_Gateway_admin=127.0.0.1:1"})
	if err != nil || !c.Enabled || c.Whitelist == nil || c.Admin == "" {
		t.Errorf("got %+v and %v, want the whitelist", c, err)
	}
}

// TestEnvironmentFaults: errors name the variable, and do not show a value that may be secret.
func TestEnvironmentFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		want    string
	}{
		{"a key that is none", []string{"NS_PROT=1"}, `environment variable NS_PROT: unknown field "prot", did you mean "port"?`},
		{"a key that is none within", []string{"NS_AUTH__JWT__ISUER=s3cret"}, `environment variable NS_AUTH__JWT__ISUER: unknown field "isuer" in authorization.jwt, did you mean "issuer"?`},
		{"nothing within a text", []string{"CTB_GATEWAY_LISTEN__PORT=1"}, "environment variable CTB_GATEWAY_LISTEN__PORT: listen has no keys of its own: give the whole as YAML in one variable"},
		{"nothing within a list", []string{"CTB_GATEWAY_AUTHORIZATION__ROUTES__0__PATH=/a"}, "environment variable CTB_GATEWAY_AUTHORIZATION__ROUTES__0__PATH: authorization.routes has no keys of its own: give the whole as YAML in one variable"},
		{"no name", []string{"NS_=1"}, `environment variable NS_: unknown field ""`},
		{"unset", []string{"NS_AUTH__JWT__ISSUER="}, "environment variable NS_AUTH__JWT__ISSUER: is empty; give it a value or remove it"},
		{"null", []string{"CTB_GATEWAY_TIMEOUTS=null"}, "environment variable CTB_GATEWAY_TIMEOUTS: timeouts: is empty; give it a value or remove it"},
		{"both prefixes", []string{"NS_AUTH__JWT__ISSUER=a", "CTB_GATEWAY_AUTHORIZATION__JWT__ISSUER=b"},
			"environment variables CTB_GATEWAY_AUTHORIZATION__JWT__ISSUER and NS_AUTH__JWT__ISSUER: both set authorization.jwt.issuer, want one of the two"},
		{"no YAML", []string{"CTB_GATEWAY_TIMEOUTS={s3cret"}, "environment variable CTB_GATEWAY_TIMEOUTS: it is no YAML value"},
		{"two documents", []string{"CTB_GATEWAY_TIMEOUTS={}\n---\n{}"}, "environment variable CTB_GATEWAY_TIMEOUTS: it is no YAML value"},
		{"another kind", []string{"CTB_GATEWAY_FORWARD_TOKEN=s3cret"}, "environment variable CTB_GATEWAY_FORWARD_TOKEN: forward_token: got text, want true or false"},
		{"a value that can't be", []string{"NS_PORT=70000"}, "environment variable NS_PORT: port: got 70000, want a port, 1 to 65535"},
		{"a password", []string{"CTB_GATEWAY_UPSTREAM=http://a:s3cret@127.0.0.1"}, `environment variable CTB_GATEWAY_UPSTREAM: upstream: got "http://a:xxxxx@127.0.0.1", want http or https, a host and perhaps a path, such as http://127.0.0.1:3000`},
		{"an empty claim", []string{"NS_AUTH__JWT__CLAIMS=:is"}, "environment variable NS_AUTH__JWT__CLAIMS: authorization.jwt.claims[0]: a claim rule has either a name or a path"},
		{"within what has other kinds", []string{"CTB_GATEWAY_TIMEOUTS=[1]", "CTB_GATEWAY_TIMEOUTS__IDLE=1"},
			"environment variable CTB_GATEWAY_TIMEOUTS__IDLE: timeouts: there is a list already, want keys and values for a variable to change"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Parse("f", []byte(jwt), c.environ)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a value is shown: %v", err)
			}
		})
	}
	if _, err := config.Load("", []string{"PATH=/bin"}); err == nil || !strings.Contains(err.Error(), "CTB_GATEWAY_UPSTREAM") {
		t.Errorf("got %v, want what would be enough", err)
	}
	if _, err := config.Load("", []string{"NS_PORT=1"}); err == nil || err.Error() != "environment: upstream: missing; want where requests go that are let through, such as http://127.0.0.1:3000" {
		t.Error(err)
	}
}
