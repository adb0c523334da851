package config_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
)

// FuzzLoad: no text makes it panic, each error has a place and is the same each time, and what is good can be described.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(jwt + "  open: [/a]\n  claim_headers: [{header: X-A, path: [\"a.b\"]}]\n"))
	f.Add([]byte("x: &a [1]\ny: [*a, *a]\n<<: {up: *a}\n" + jwt))
	f.Add([]byte("!!str a: !!str 1\n? b\n: |\n  c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("f", text, nil)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("got %v, want a place", err)
			}
			if _, again := config.Parse("f", text, nil); again == nil || again.Error() != err.Error() {
				t.Errorf("got %v, then %v", err, again)
			}
			return
		}
		if err := c.Describe(io.Discard); err != nil {
			t.Error(err)
		}
		for _, path := range c.Files() {
			if path == "" {
				t.Error("a file has no name")
			}
		}
		if !c.Enabled && !strings.Contains(strings.Join(c.Warnings, "\n"), "EVERYTHING IS OPEN") {
			t.Error("everything is open, and there is no warning")
		}
		if c.Enabled && len(c.Issuers) == 0 && c.Whitelist == nil {
			t.Error("it asks for credentials, and none is good")
		}
	})
}

// FuzzEnvironment: no variable makes it panic, and an error names the variable or has another place.
func FuzzEnvironment(f *testing.F) {
	f.Add("AUTH__JWT__CLAIMS", "tlsn1 tlsn2:is:cool")
	f.Add("PORT", "8080")
	f.Add("TLS", "{certificate: a, key: b}")
	f.Add("SESSIONS__MAX", "1")
	f.Add("UPSTREAM__URL", "'https://a'")
	f.Add("AUTHORIZATION__ROUTES__0", "[]")
	f.Fuzz(func(t *testing.T, key, value string) {
		for _, name := range []string{"NS_" + key, "CTB_GATEWAY_" + key} {
			c, err := config.Parse("f", []byte(jwt), []string{name + "=" + value})
			switch {
			case err == nil:
				if err := c.Describe(io.Discard); err != nil {
					t.Error(err)
				}
			case !strings.HasPrefix(err.Error(), "environment variable ") && !strings.HasPrefix(err.Error(), "f:"):
				t.Errorf("got %v, want a variable or a place", err)
			}
		}
	})
}
