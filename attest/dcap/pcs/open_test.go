package pcs

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	conf := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mine := new(http.Client)
	for where, c := range map[string]struct {
		options Options
		want    Client
	}{
		"intel":                   {Options{HTTP: mine, APIKey: "k", Update: "early"}, Client{HTTP: mine, APIKey: "k", Update: "early"}},
		"https://p.example:8081/": {Options{}, Client{URL: "https://p.example:8081/"}},
		"http://[::1]:8081":       {Options{}, Client{URL: "http://[::1]:8081"}},
		conf("json", `{"pccs_url":"https://p.example","tcb_update_type":"early"}`):      {Options{HTTP: mine}, Client{HTTP: mine, URL: "https://p.example", Update: "early"}},
		conf("ours wins", `{"pccs_url":"https://p.example","tcb_update_type":"early"}`): {Options{Update: "standard"}, Client{URL: "https://p.example", Update: "standard"}},
		conf("lines", "PCCS_URL=https://p.example\n"):                                   {Options{}, Client{URL: "https://p.example"}},
	} {
		t.Run(where, func(t *testing.T) {
			got, warnings, err := Open(where, c.options)
			if err != nil || len(warnings) > 0 {
				t.Fatal(warnings, err)
			}
			if got.URL != c.want.URL || got.APIKey != c.want.APIKey || got.Update != c.want.Update || got.HTTP != c.want.HTTP {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	insecure := conf("insecure", `{"pccs_url":"https://p.example","use_secure_cert":false}`)
	for name, c := range map[string]struct {
		where   string
		options Options
		want    string
	}{
		"nowhere":                     {"", Options{}, "got none"},
		"a file that is not there":    {filepath.Join(dir, "x"), Options{}, "no such file"},
		"a word that there is not":    {"Intel", Options{}, `want "intel", "qcnl", a base URL`},
		"a file that names no URL":    {conf("empty", "{}"), Options{}, "neither collateral_service nor pccs_url"},
		"a file with a mistake":       {conf("bad", "{\n1}"), Options{}, "line 2: malformed JSON"},
		"a URL in the clear":          {"http://p.example", Options{}, "want an https URL"},
		"a file, a URL in the clear":  {conf("clear", "PCCS_URL=http://p.example"), Options{}, "want an https URL"},
		"a channel that there is not": {"intel", Options{Update: "late"}, `got "late"`},
		"a channel of version 3":      {"https://p.example/sgx/certification/v3", Options{Update: "early"}, `no channel "early"`},
		"a key for nobody knows whom": {insecure, Options{APIKey: secret}, "an API key is given: it would go to whoever answers"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Open(c.where, c.options)
			wantError(t, err, "collateral service: ", c.want)
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the key is in the error %q", err)
			}
		})
	}
}

// TestUseSecureCertIsHonoured: what a server with any certificate says is had, and a warning says what that costs.
func TestUseSecureCertIsHonoured(t *testing.T) {
	s := serve(t, issued(t, t0))
	for secure, want := range map[string]string{"true": "not known by its certificate", "false": ""} {
		path := filepath.Join(t.TempDir(), "qcnl.conf")
		if err := os.WriteFile(path, []byte(`{"pccs_url":"`+s.url+`","use_secure_cert":`+secure+`}`), 0o600); err != nil {
			t.Fatal(err)
		}
		c, warnings, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Collateral(t.Context(), sgx)
		if want != "" {
			wantError(t, err, want)
			continue
		}
		if err != nil {
			t.Error(err)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "use_secure_cert is false") || !strings.Contains(warnings[0], "Intel signs all of it") {
			t.Errorf("got the warnings %q", warnings)
		}
	}
}
